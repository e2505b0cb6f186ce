// The layout search against the street itself: whatever layout is chosen, the problem's costs are
// those of the lowered and priced program, no layout beats the one that is called the fastest, and
// the executor computes the same logits under it as on one rank.
#include "cost_model/hardware.h"
#include "executor/execute.h"
#include "executor/numerics.h"
#include "planner/lower.h"
#include "planner/search.h"
#include "tests/property/random_layout.h"
#include "tests/support/catch.h"
#include "tests/unit/planner/programs.h"

using namespace tplan;
using namespace tplan::test;

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kLayouts = 2;
#else
constexpr int kLayouts = 8;
#endif

Workload decode(std::int64_t batch) {
    Workload workload;
    workload.batch = batch;
    workload.context = 9;
    workload.dtype = workload.kv_dtype = DType::fp32;
    return workload;
}

Workload prefill(std::int64_t batch, std::int64_t input) {
    auto workload = decode(batch);
    workload.phase = Phase::prefill;
    workload.input = input;
    return workload;
}

void check_layouts(const std::string& family, int tp, Kernels kernels) {
    INFO(family << " TP " << tp << " kernels " << name_of(kernels));
    const auto config = tiny(family);
    const auto model = build_model(config);
    const auto hardware = load_hardware("h100-sxm");
    const auto options = options_for(tp, LayoutChoice::best, kernels);
    for (const auto& workload : {decode(5), prefill(2, 64)}) {
        const auto space = make_layout_space(model, options, workload.dtype);
        const auto chain = price_layouts(space, hardware, {}, workload);
        const auto best = search_layout(space, hardware, {}, workload);
        CHECK(best.certificate.gap == 0);
        CHECK(certificate_fault(model, options, hardware, {}, workload, best.layout,
                                best.certificate) == "");
        CHECK(best.totals.step.value == Catch::Approx(best.certificate.bound.value).epsilon(1e-9));
        for (unsigned seed = 0; seed < kLayouts; ++seed) {
            const auto assignment = random_assignment(space, chain, seed);
            const auto laid_out = apply_layout(model, options, layout_of(space, assignment));
            const auto program = lower(laid_out.model, laid_out.plan, workload.dtype);
            const auto totals = price(compile(program, hardware, {}), workload);
            INFO("layout " << seed << " " << json_text(layout_of(space, assignment).front()));
            CHECK(totals.step.value ==
                  Catch::Approx(evaluate(chain, assignment).seconds).epsilon(1e-9));
            CHECK(totals.step.value >= best.totals.step.value * (1 - 1e-9));
        }
    }
}

Outputs run(const Program& program, const Workload& workload) {
    Runner runner(program, workload, {});
    const auto checks = runner.check();
    CHECK(checks.ranks_agree);
    CHECK(checks.finite);
    runner.run();
    return runner.outputs();
}

}  // namespace

TEST_CASE("layouts: the costs of every layout are those of its program") {
    for (const auto& family : tiny_families()) {
        for (const int tp : {2, 3}) {
            check_layouts(family, tp, Kernels::served);
            if (tp == 2) check_layouts(family, tp, Kernels::hf);
        }
    }
}

TEST_CASE("layouts: one rank has one layout") {
    const auto config = tiny("llama");
    const auto model = build_model(config);
    const auto best = search_layout(model, options_for(1, LayoutChoice::best, Kernels::served),
                                    load_hardware("h100-sxm"), {}, decode(4));
    const auto alone = lowered(config, options_for(1, LayoutChoice::hf, Kernels::served));
    CHECK(best.program.sections == alone.sections);
    CHECK(best.certificate.gap == 0);
}

TEST_CASE("layouts: whatever the layout, the logits are those of one rank") {
    const auto hardware = load_hardware("h100-sxm");
    for (const auto& family : tiny_families()) {
        const auto config = tiny(family);
        const auto model = build_model(config);
        const auto alone = search_layout(model, options_for(1, LayoutChoice::best, Kernels::served),
                                         hardware, {}, decode(1))
                               .program;
        for (const int tp : {2, 3}) {
            const auto options = options_for(tp, LayoutChoice::best, Kernels::served);
            const auto space = make_layout_space(model, options, DType::fp32);
            for (const auto& workload : {decode(5), prefill(2, 7)}) {
                const auto chain = price_layouts(space, hardware, {}, workload);
                const auto expected = run(alone, workload);
                for (unsigned seed = 0; seed < kLayouts / 2; ++seed) {
                    const auto layout =
                        layout_of(space, random_assignment(space, chain, 100 + seed));
                    const auto laid_out = apply_layout(model, options, layout);
                    INFO(family << " TP " << tp << " " << name_of(workload.phase) << " seed "
                                << seed);
                    const auto found =
                        run(lower(laid_out.model, laid_out.plan, DType::fp32), workload);
                    CHECK(deviation(found, expected).max_rel <= kToleranceFp32);
                }
            }
        }
    }
}

TEST_CASE("layouts: whatever the layout, the token is that of one rank") {
    const auto hardware = load_hardware("h100-sxm");
    for (const std::string family : {"llama", "cohere", "gemma2", "gpt2"}) {
        const auto config = tiny(family);
        const auto model = build_model(config);
        for (const int tp : {2, 3, 5}) {
            auto options = options_for(tp, LayoutChoice::best, Kernels::served);
            options.sampling = Sampling::greedy;
            const auto space = make_layout_space(model, options, DType::fp32);
            auto alone = options;
            alone.tp = 1;
            for (const auto& workload : {decode(5), prefill(2, 7)}) {
                const auto best = search_layout(space, hardware, {}, workload);
                CHECK(best.certificate.gap == 0);
                CHECK(certificate_fault(model, options, hardware, {}, workload, best.layout,
                                        best.certificate) == "");
                const auto chain = price_layouts(space, hardware, {}, workload);
                const auto expected =
                    run(search_layout(model, alone, hardware, {}, workload).program, workload);
                CHECK(expected.chosen);
                for (unsigned seed = 0; seed < kLayouts / 2; ++seed) {
                    const auto assignment = random_assignment(space, chain, 200 + seed);
                    const auto laid_out =
                        apply_layout(model, options, layout_of(space, assignment));
                    INFO(family << " TP " << tp << " " << name_of(workload.phase) << " seed "
                                << seed);
                    const auto program = lower(laid_out.model, laid_out.plan, DType::fp32);
                    const auto totals = price(compile(program, hardware, {}), workload);
                    CHECK(totals.step.value >= best.totals.step.value * (1 - 1e-9));
                    const auto found = run(program, workload);
                    CHECK(found.greedy == expected.greedy);
                    CHECK(deviation(found, expected).max_rel <= kToleranceFp32);
                }
            }
        }
    }
}
