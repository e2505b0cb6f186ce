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
    for (const auto* rank : {"0", "1", "2", "3"}) {  // told apart without colour
        const auto* slice = find_shape(list, std::string("w:self_attn.q_proj/r:") + rank);
        REQUIRE(slice);
        CHECK(std::ranges::any_of(list.shapes, [&](const Shape& shape) {
            return shape.text == rank && contains(slice->box, shape.box, 0.1);
        }));
    }
    CHECK(sharded == 7);
    CHECK(whole == 2);
    CHECK(collectives == 2);
}

TEST_CASE("shard map: slices cover their box exactly, without overlap") {
    struct Case {
        const char* model;
        int tp;
        LayoutChoice layout = LayoutChoice::hf;
    };
    // Even cuts, copied KV heads (8 at TP 16 would need two nodes; 2 at TP 4), packed experts.
    // Searched: heads that do not divide, KV heads shared at a boundary, uneven experts.
    for (const auto& [model, tp, layout] :
         {Case{"llama-3.1-8b", 1}, Case{"llama-3.1-8b", 2}, Case{"llama-3.1-8b", 8},
          Case{"qwen2.5-7b", 4}, Case{"mixtral-8x7b", 4}, Case{"deepseek-v3", 8},
          Case{"llama-3.1-8b", 3, LayoutChoice::best}, Case{"llama-3.1-8b", 7, LayoutChoice::best},
          Case{"qwen3-0.6b", 5, LayoutChoice::best}, Case{"mixtral-8x7b", 3, LayoutChoice::best},
          Case{"phi-4", 3, LayoutChoice::best}}) {
        INFO(model << " at TP " << tp << ", " << name_of(layout));
        for (auto& [weight, parts] :
             parts_of(map_of(study_for(model, "h200-sxm", tp, Phase::decode, layout)), "w:")) {
            INFO(weight);
            if (parts.back().id.ends_with("/idle")) parts.pop_back();  // lies beyond the box
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
    CHECK(cut_words(weight, 4) == std::vector<std::string>{"split out / 4", "KV heads x2"});
}

TEST_CASE(
    "shard map: a searched uneven cut says how many heads each rank has, and which it shares") {
    // 32 heads and 8 KV heads over 3 ranks: 11, 11 and 10 heads; heads 0..10 read KV heads 0..2,
    // 11..21 read 2..5 and 22..31 read 5..7, so that KV heads 2 and 5 lie on two ranks.
    const auto study = study_for("llama-3.1-8b", "h100-sxm", 3, Phase::decode, LayoutChoice::best);
    FlowWeight q, k;
    const auto sections = layer_flow(study);
    for (const auto& item : sections.at(1).items) {
        for (const auto& weight : item.weights) {
            if (weight.name == "self_attn.q_proj") q = weight;
            if (weight.name == "self_attn.k_proj") k = weight;
        }
    }
    CHECK(cut_words(q, 3) == std::vector<std::string>{"split out / 3", "10 to 11 heads each"});
    CHECK(cut_words(k, 3) ==
          std::vector<std::string>{"split out / 3", "2 KV heads on 2 ranks", "3 to 4 heads each"});
    CHECK_THAT(slice_title(k, 1, 3), Catch::Contains("rows (outputs) 256..767"));
    const auto list = map_of(study);
    // Rank 1 shares KV heads 2 and 5 with its neighbours and has 3 and 4 alone: three parts.
    const auto* shared = find_shape(list, "w:self_attn.k_proj/r:1");
    const auto* own = find_shape(list, "w:self_attn.k_proj/r:1.1");
    REQUIRE(shared);
    REQUIRE(own);
    CHECK(find_shape(list, "w:self_attn.k_proj/r:1.2"));
    CHECK_FALSE(find_shape(list, "w:self_attn.k_proj/r:1.3"));
    CHECK(own->box.width == Catch::Approx(2 * shared->box.width));
    CHECK(own->box.height == Catch::Approx(2 * shared->box.height));
}

TEST_CASE("shard map: activations cut by tokens stand side by side and are called so") {
    const auto study =
        study_for("llama-3.1-70b", "h100-sxm", 8, Phase::prefill, LayoutChoice::best);
    bool found = false;
    for (const auto& section : layer_flow(study)) {
        const auto list = section_map(study, section, {}, standard_metrics());
        const bool said = std::ranges::any_of(list.shapes, [](const Shape& shape) {
            return shape.text.find("each rank its own tokens") != std::string::npos;
        });
        bool drawn = false;
        for (const auto& item : section.items) {
            if (item.out != FlowLayout::tokens || item.residual) continue;
            const auto* first = find_shape(list, "a:" + item.name + "/r:0");
            const auto* second = find_shape(list, "a:" + item.name + "/r:1");
            if (!first || !second) continue;
            drawn = true;
            CHECK(second->box.y == first->box.y);
            CHECK(second->box.x == Catch::Approx(first->box.right()));
            CHECK_THAT(first->title, Catch::Contains("its own tokens"));
        }
        CHECK(said == drawn);
        found = found || drawn;
    }
    CHECK(found);
}

TEST_CASE("shard map: sums that are added before they are reduced are drawn as partial") {
    const auto study = study_for("deepseek-v3", "h200-sxm", 8, Phase::decode, LayoutChoice::best);
    const auto sections = layer_flow(study);
    int sums = 0;
    for (const auto& item : sections.at(2).items) {
        const auto part = item.name.substr(item.name.rfind('.') + 1);
        if (part != "experts" && part != "down_proj" && part != "add_shared") continue;
        INFO(item.name);
        CHECK(item.out == FlowLayout::partial);
        ++sums;
    }
    CHECK(sums == 3);
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
