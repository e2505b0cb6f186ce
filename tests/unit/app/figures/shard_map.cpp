#include "app/figures/shard_map.h"

#include <algorithm>
#include <map>

#include "tests/support/catch.h"
#include "tests/unit/app/studies.h"

using namespace tplan;
using namespace tplan::test;

namespace {

DisplayList map_of(const Study& study) {
    FigureOptions options;
    options.width = 100;
    return shard_map(study, options, standard_metrics());
}

/// Shapes whose id begins with `prefix`, by the weight or activation they are part of.
std::map<std::string, std::vector<Shape>> parts_of(const DisplayList& list,
                                                   std::string_view prefix) {
    std::map<std::string, std::vector<Shape>> parts;
    for (const auto& shape : list.shapes) {
        if (shape.id.starts_with(prefix))
            parts[shape.id.substr(0, shape.id.rfind('/'))].push_back(shape);
    }
    return parts;
}

double area(const Box& box) {
    return box.width * box.height;
}

}  // namespace

TEST_CASE(
    "shard map: a Llama layer at TP 4 has 7 weights in 4 slices, 2 whole norms, 2 all-reduces") {
    const auto list = map_of(study_for("llama-3.1-8b", "h100-sxm", 4));
    int sharded = 0, whole = 0, collectives = 0;
    for (const auto& [weight, parts] : parts_of(list, "w:")) {
        if (parts.size() == 1) {
            CHECK(parts.front().id == weight + "/all");
            CHECK(parts.front().pattern == Pattern::hatch);
            ++whole;
        } else {
            CHECK(parts.size() == 4);
            ++sharded;
        }
    }
    for (const auto& shape : list.shapes) collectives += shape.id.starts_with("c:");
    CHECK(sharded == 7);
    CHECK(whole == 2);
    CHECK(collectives == 2);
}

TEST_CASE("shard map: slices cover their box exactly, without overlap") {
    struct Case {
        const char* model;
        int tp;
    };
    // Even cuts, copied KV heads (8 at TP 16 would need two nodes; 2 at TP 4), packed experts.
    for (const auto& [model, tp] :
         {Case{"llama-3.1-8b", 1}, Case{"llama-3.1-8b", 2}, Case{"llama-3.1-8b", 8},
          Case{"qwen2.5-7b", 4}, Case{"mixtral-8x7b", 4}, Case{"deepseek-v3", 8}}) {
        INFO(model << " at TP " << tp);
        for (const auto& [weight, parts] :
             parts_of(map_of(study_for(model, "h200-sxm", tp)), "w:")) {
            INFO(weight);
            Box hull = parts.front().box;
            double sum = 0;
            for (std::size_t i = 0; i < parts.size(); ++i) {
                const auto& box = parts[i].box;
                const double right = std::max(hull.right(), box.right());
                const double bottom = std::max(hull.bottom(), box.bottom());
                hull.x = std::min(hull.x, box.x);
                hull.y = std::min(hull.y, box.y);
                hull.width = right - hull.x;
                hull.height = bottom - hull.y;
                sum += area(box);
                for (std::size_t j = 0; j < i; ++j) CHECK_FALSE(overlap(box, parts[j].box, 1e-9));
            }
            CHECK(sum == Catch::Approx(area(hull)).epsilon(1e-9));
        }
    }
}

TEST_CASE("shard map: copied KV heads stand side by side and are called so") {
    const auto study = study_for("qwen2.5-7b", "h100-sxm", 4);  // 4 KV heads
    REQUIRE(study.lowered->program);
    const auto over = study_for("qwen2.5-0.5b", "h100-sxm", 2);  // 2 KV heads, 14 heads
    REQUIRE(over.lowered->program);
    FlowWeight weight;
    weight.shape = {256, 896};
    weight.split = {SplitKind::grouped, 0, 4, 2, 128};
    CHECK(cut_words(weight, 4) == "split out / 4, KV heads x2");
}

TEST_CASE("shard map: the tooltip of a slice names parameter, shapes, range, bytes and rank") {
    const auto list = map_of(study_for("llama-3.1-8b", "h100-sxm", 4));
    const auto* slice = find_shape(list, "w:self_attn.o_proj/r:2");
    REQUIRE(slice);
    for (const auto* part : {"model.layers.*.self_attn.o_proj.weight", "4096 x 4096",
                             "rank 2: 4096 x 1024", "8.00 MiB", "columns (inputs) 2048..3071"}) {
        CHECK_THAT(slice->title, Catch::Contains(part));
    }
    // Split in: columns side by side.
    const auto* next = find_shape(list, "w:self_attn.o_proj/r:3");
    REQUIRE(next);
    CHECK(next->box.x == Catch::Approx(slice->box.right()));
    CHECK(next->box.y == slice->box.y);
}

TEST_CASE("shard map: a degree that does not work is still drawn, cuts through heads marked") {
    const auto study = study_for("llama-3.1-8b", "h100-sxm", 3);  // 32 heads
    REQUIRE_FALSE(study.lowered->program);
    const auto list = map_of(study);
    CHECK(find_shape(list, "w:self_attn.q_proj/r:2"));
    CHECK(std::ranges::any_of(list.shapes, [](const Shape& shape) {
        return shape.stroke.role == Role::error && shape.title.starts_with("cuts through head");
    }));
}

TEST_CASE("shard map: an uneven cut shows the room its last rank leaves idle") {
    auto study = study_for("llama-3.1-8b", "h100-sxm", 3);
    const auto list = map_of(study);
    const auto* idle = find_shape(list, "w:self_attn.q_proj/idle");
    REQUIRE(idle);
    CHECK(idle->pattern == Pattern::dots);
    // 4096 rows over 3: chunks of 1366, 1366 and 1364; two rows short.
    const auto* last = find_shape(list, "w:self_attn.q_proj/r:2");
    REQUIRE(last);
    CHECK(idle->box.height / last->box.height == Catch::Approx(2.0 / 1364).epsilon(1e-6));
}

TEST_CASE("shard map: isolating a rank dims the others") {
    FigureOptions options;
    options.isolate = 1;
    const auto list =
        shard_map(study_for("llama-3.1-8b", "h100-sxm", 2), options, standard_metrics());
    CHECK(find_shape(list, "w:self_attn.q_proj/r:1")->fill.opacity == 1);
    CHECK(find_shape(list, "w:self_attn.q_proj/r:0")->fill.opacity == 0.25);
}
