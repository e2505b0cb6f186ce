#include "app/figures/figure.h"

#include <cmath>
#include <set>

#include "tests/support/catch.h"
#include "tests/unit/app/studies.h"

using namespace tplan;
using namespace tplan::test;

namespace {

struct Drawn {
    const char* model;
    const char* hardware;
    int tp;
    Phase phase;
    LayoutChoice layout = LayoutChoice::hf;
};

/// Small and huge models, every kind of layer, degrees that work, that copy KV heads, that do not
/// work and that do not fit; searched layouts that are uneven, replicated and split by tokens.
constexpr std::array kDrawn = {
    Drawn{"llama-3.1-405b", "h100-sxm", 8, Phase::decode},
    Drawn{"llama-3.1-8b", "h100-sxm", 4, Phase::prefill},
    Drawn{"llama-3.1-8b", "h100-sxm", 3, Phase::decode},
    Drawn{"llama-3.1-70b", "l4", 1, Phase::decode},
    Drawn{"deepseek-v3", "h200-sxm", 8, Phase::decode},
    Drawn{"qwen3-0.6b", "l40s", 2, Phase::decode},
    Drawn{"qwen2.5-0.5b", "rtx-4090", 2, Phase::decode},
    Drawn{"gpt2", "v100-sxm", 1, Phase::prefill},
    Drawn{"gpt2", "v100-sxm", 2, Phase::prefill},
    Drawn{"mixtral-8x7b", "a100-sxm", 2, Phase::decode},
    Drawn{"gemma-3-27b", "b200-sxm", 4, Phase::decode},
    Drawn{"gpt-oss-20b", "h100-pcie", 1, Phase::decode},
    Drawn{"qwen3-32b-fp8", "h100-sxm", 8, Phase::decode},
    Drawn{"llama-3.1-70b", "h100-sxm", 8, Phase::prefill, LayoutChoice::best},
    Drawn{"llama-3.1-8b", "h100-sxm", 3, Phase::decode, LayoutChoice::best},
    Drawn{"mixtral-8x7b", "h100-sxm", 3, Phase::decode, LayoutChoice::best},
    Drawn{"deepseek-v3", "h200-sxm", 8, Phase::prefill, LayoutChoice::best},
    Drawn{"qwen3-0.6b", "l40s", 3, Phase::prefill, LayoutChoice::best},
    Drawn{"phi-4", "h100-sxm", 3, Phase::decode, LayoutChoice::best},
};

/// Calls `check(study, list)` for every figure of every study at three widths.
template <class Check>
void for_each_figure(const Check& check) {
    for (const auto& drawn : kDrawn) {
        const auto study =
            study_for(drawn.model, drawn.hardware, drawn.tp, drawn.phase, drawn.layout);
        for (const auto& figure : figures()) {
            for (const double width : {40.0, 62.0, 100.0}) {
                FigureOptions options;
                options.width = width;
                options.heads = true;
                INFO(drawn.model << " on " << drawn.hardware << " at TP " << drawn.tp << ": "
                                 << figure.name << ", " << width << " em wide");
                check(study, figure.draw(study, options, standard_metrics()));
            }
        }
    }
}

}  // namespace

TEST_CASE("figures: no two texts overlap") {
    for_each_figure([](const Study&, const DisplayList& list) {
        std::vector<const Shape*> texts;
        for (const auto& shape : list.shapes) {
            if (shape.kind != ShapeKind::text) continue;
            for (const auto* other : texts) {
                if (!overlap(shape.box, other->box, 0.02)) continue;
                FAIL_CHECK("\"" << shape.text << "\" over \"" << other->text << "\"");
            }
            texts.push_back(&shape);
        }
    });
}

TEST_CASE("figures: every shape is finite and inside the canvas") {
    for_each_figure([](const Study&, const DisplayList& list) {
        const Box canvas{0, 0, list.width, list.height};
        for (const auto& shape : list.shapes) {
            const auto& box = shape.box;
            REQUIRE(std::isfinite(box.x + box.y + box.width + box.height));
            if (!contains(canvas, box, 0.3)) {
                FAIL_CHECK("\"" << shape.id << shape.text << "\" at " << box.x << "," << box.y
                                << " size " << box.width << "x" << box.height << " of canvas "
                                << list.width << "x" << list.height);
            }
        }
    });
}

TEST_CASE("figures: ids are unique") {
    for_each_figure([](const Study&, const DisplayList& list) {
        std::set<std::string> ids;
        for (const auto& shape : list.shapes) {
            if (!shape.id.empty() && !ids.insert(shape.id).second)
                FAIL_CHECK("twice: " << shape.id);
        }
    });
}

TEST_CASE("figures: each says what it is") {
    for_each_figure([](const Study&, const DisplayList& list) {
        CHECK_FALSE(list.name.empty());
        CHECK_FALSE(list.title.empty());
        CHECK_FALSE(list.description.empty());
        CHECK_FALSE(list.shapes.empty());
    });
}

TEST_CASE("figures: drawing again gives the same list") {
    const auto study = study_for("llama-3.1-8b", "h100-sxm", 4);
    for (const auto& figure : figures()) {
        INFO(figure.name);
        CHECK(figure.draw(study, {}, standard_metrics()) ==
              figure.draw(study, {}, standard_metrics()));
    }
}

TEST_CASE("figures: an unknown name is refused with the nearest") {
    CHECK_THROWS_WITH(figure_named("rooflin"), Catch::Contains("roofline"));
}
