#include "app/study.h"

#include "app/explain.h"
#include "tests/support/catch.h"
#include "tests/unit/app/studies.h"

using namespace tplan;
using namespace tplan::test;

TEST_CASE(
    "study: parts of the step add up, and the degree's curve point is the study's own price") {
    const auto study = study_for("llama-3.1-8b", "h100-sxm", 4);
    REQUIRE(study.totals);
    const auto* own = point_at(study.curves.front(), 4);
    REQUIRE(own);
    CHECK(own->totals.step == study.totals->step);
    const auto sum = own->work + own->transfer + own->launch;
    CHECK(sum / study.totals->step == Catch::Approx(1));
    Seconds steps;
    for (const auto& section : study.steps) {
        for (const auto& step : section) steps += step.cost.time * step.repeats;
    }
    CHECK(steps / study.totals->step == Catch::Approx(1));
}

TEST_CASE("study: the answer names the fastest degree that fits, and why") {
    const auto study = study_for("llama-3.1-70b", "h100-sxm", 8);
    const auto& curve = study.curves.front();
    REQUIRE(curve.best >= 0);
    const auto& best = curve.points[static_cast<std::size_t>(curve.best)];
    for (const auto& point : curve.points) {
        if (point.feasible && point.totals.memory.fits)
            CHECK(best.totals.step <= point.totals.step);
    }
    CHECK_THAT(study.answer,
               Catch::StartsWith(fmt::format("Use TP {} over {}", best.tp, curve.link)));
    CHECK_THAT(study.answer, Catch::Contains("because"));
    CHECK_THAT(study.answer, Catch::Contains(format_time(best.totals.step)));
    CHECK(study.answer.find('.', study.answer.size() - 1) != std::string::npos);
}

TEST_CASE("study: no degree fits, or only one works") {
    CHECK_THAT(study_for("llama-3.1-405b", "l4", 8).answer,
               Catch::StartsWith("No degree fits: at TP 8"));
    CHECK_THAT(study_for("gpt2", "h100-sxm", 1).answer,
               Catch::StartsWith("Use TP 1") && Catch::Contains("no other degree works"));
}

TEST_CASE("study: a degree that does not work keeps its cut and its reasons") {
    const auto study = study_for("llama-3.1-8b", "h100-sxm", 3);
    CHECK_FALSE(study.totals);
    CHECK(study.lowered->plan);
    CHECK_FALSE(study.lowered->feasibility.violations.empty());
    CHECK(study.working == std::vector<int>{1, 2, 4, 8});
    CHECK_FALSE(point_at(study.curves.front(), 3)->reason.empty());
}

TEST_CASE("study: a degree is worked out once; another workload works it out anew") {
    auto degrees = degrees_of(load_model_config("qwen3-0.6b"), {}, DType::bf16);
    Circumstance around{std::make_shared<const HardwareProfile>(load_hardware("h100-sxm")), {}, {}};
    around.cost.link = "nvlink";
    const auto first = degree_layout(degrees, 2, around);
    CHECK(degree_layout(degrees, 2, around) == first);
    around.cost.link = "pcie";
    CHECK(degree_layout(degrees, 2, around) != first);
    around.cost.link = "nvlink";
    CHECK(degree_layout(degrees, 2, around) == first);
    around.workload.batch = 64;
    const auto space = degrees.spaces.at(2);
    CHECK(degree_layout(degrees, 2, around) != first);
    CHECK(degrees.spaces.at(2) == space);
}

TEST_CASE("study: what is shown is what `plan` writes, with a searched layout too") {
    for (const auto layout : {LayoutChoice::hf, LayoutChoice::best}) {
        for (const auto& [model, tp] : {std::pair{"llama-3.1-70b", 8}, std::pair{"qwen3-0.6b", 2},
                                        std::pair{"mixtral-8x7b", 4}}) {
            INFO(model << " at TP " << tp << ", layout " << name_of(layout));
            const auto study = study_for(model, "h100-sxm", tp, Phase::decode, layout);
            const auto plan =
                make_plan_document(*study.config, *study.hardware, study.request).document.value();
            CHECK(study.totals->step == plan.predicted.step);
            CHECK(study.totals->memory.total == plan.predicted.memory.total);
            CHECK(study.lowered->program->tensors == plan.program.tensors);
            CHECK(study.lowered->layout == plan.layout.value_or(std::vector<BlockLayout>{}));
            for (const auto& other : plan.alternatives) {
                const auto* point = point_at(study.curves.front(), other.tp);
                if (!point || !other.step.value) continue;
                CHECK(point->totals.step == *other.step.value);
            }
            const auto again = study_of(plan, {});
            CHECK(again.lowered->layout == study.lowered->layout);
            CHECK(again.answer == study.answer);
            CHECK(again.totals->step == study.totals->step);
        }
    }
}

TEST_CASE("study: a searched layout works at every degree and is never slower than transformers'") {
    const auto study = study_for("llama-3.1-8b", "h100-sxm", 3, Phase::prefill, LayoutChoice::best);
    REQUIRE(study.totals);
    CHECK(study.working == std::vector<int>{1, 2, 3, 4, 5, 6, 7, 8});
    REQUIRE(study.hf);
    CHECK_FALSE(study.hf->feasible);
    CHECK_THAT(study.hf->reason, Catch::Contains("32 attention heads"));
    const auto four = study_for("llama-3.1-8b", "h100-sxm", 4, Phase::prefill, LayoutChoice::best);
    REQUIRE(four.hf);
    REQUIRE(four.hf->step.value);
    CHECK(four.totals->step <= *four.hf->step.value);
}

TEST_CASE("study: a close call says how sure it is") {
    const auto study = study_for("llama-3.1-8b", "h100-sxm", 8, Phase::decode, LayoutChoice::best);
    auto curve = study.curves.front();
    REQUIRE(curve.second >= 0);
    CHECK(curve.sure >= 0.5);
    const auto second = curve.points[static_cast<std::size_t>(curve.second)].tp;
    const auto said = fmt::format("TP {} is close: 72 % sure", second);
    curve.sure = 0.72;
    CHECK_THAT(answer_sentence(curve, study.request.workload, *study.hardware),
               Catch::Contains(said));
    curve.sure = 0.99;
    CHECK_THAT(answer_sentence(curve, study.request.workload, *study.hardware),
               !Catch::Contains("sure"));
}

TEST_CASE("study: a degree beyond the GPUs there are is an error") {
    CHECK_THROWS_WITH(study_for("llama-3.1-8b", "h100-sxm", 16), Catch::Contains("give 1 to 8"));
}

TEST_CASE("explain: the arithmetic of a product, with its values put in") {
    const auto study = study_for("llama-3.1-8b", "h100-sxm", 4);  // batch 8, hidden 4096
    const auto& steps = study.lowered->program->sections[1].steps;
    for (std::size_t i = 0; i < steps.size(); ++i) {
        const auto lines = explain_step(study, 1, static_cast<int>(i));
        CHECK(lines.size() >= 3);
        if (steps[i].name == "self_attn.o_proj") {
            // 2 x 8 x 4096 x 1024 = 67.1 MFLOP
            CHECK_THAT(lines.front(), Catch::Contains("2 x 8 rows x 4096 x 1024 = 67.1 MFLOP"));
        }
        if (steps[i].name == "self_attn.o_proj.all_reduce") {
            // 8 rows x 4096 columns x 2 bytes
            CHECK_THAT(lines.front(), Catch::Contains("8 rows x 4096 columns = 64.0 KiB"));
        }
    }
}

TEST_CASE("explain: parts of the memory add up to the total") {
    const auto lines = explain_memory(study_for("llama-3.1-70b", "h100-sxm", 8));
    Bytes sum;
    for (const auto& line : lines) {
        if (line.name == "total") {
            CHECK(sum / line.bytes == Catch::Approx(1));
            return;
        }
        sum += line.bytes;
    }
    FAIL("no total");
}

TEST_CASE("explain: the command line says every input that is not the default") {
    auto study = study_for("llama-3.1-8b", "h100-sxm", 4);
    CHECK(command_line(study, "estimate") ==
          "tplan estimate llama-3.1-8b --hw h100-sxm --tp 4 --link nvlink --phase decode --batch 8 "
          "--context 4096 --dtype bf16 --layout hf");
    auto config = *study.config;
    config.source = "my model's/config.json";
    study.config = std::make_shared<const ModelConfig>(std::move(config));
    CHECK_THAT(command_line(study, "sweep"),
               Catch::Contains("'my model'\\''s/config.json'") && Catch::Contains("--tp 1,2,4,8"));
}
