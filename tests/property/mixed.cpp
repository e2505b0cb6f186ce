// Unequal shares over two kinds of device: the shards tile, equal shares are none, the prices of
// the search are those of the program, and the executor computes the same logits.
#include <random>

#include "cost_model/mixed_hardware.h"
#include "cost_model/rank_view.h"
#include "executor/execute.h"
#include "executor/numerics.h"
#include "planner/lower.h"
#include "planner/mixed_plan.h"
#include "planner/search.h"
#include "tests/property/random_layout.h"
#include "tests/support/catch.h"
#include "tests/unit/planner/programs.h"

using namespace tplan;
using namespace tplan::test;

namespace {

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

PlanOptions options_with(int tp, std::optional<Shares> shares) {
    auto options = options_for(tp, LayoutChoice::best, Kernels::served);
    options.shares = shares;
    return options;
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

TEST_CASE("mixed: unequal shares tile whatever is cut") {
    std::mt19937 random(7);
    const auto draw = [&](int low, int high) {
        return low + static_cast<int>(random() % static_cast<unsigned>(high - low + 1));
    };
    for (int i = 0; i < 2000; ++i) {
        const int first = draw(1, 5), parts = first + draw(1, 5);
        Split split{.kind = i % 2 == 0 ? SplitKind::balanced : SplitKind::packed,
                    .parts = parts,
                    .blocks = 2,
                    .unit = draw(2, 48),
                    .shares = Shares{first, draw(1, 9), draw(1, 9)}};
        const std::int64_t n = 2 * draw(1, 3000);
        std::vector<int> owners(static_cast<std::size_t>(n), 0);
        std::int64_t largest = 0;
        for (int rank = 0; rank < parts; ++rank) {
            largest = std::max(largest, local_extent(split, n, rank));
            for (const auto& slice : slices(split, n, rank)) {
                for (auto at = slice.offset; at < slice.offset + slice.extent; ++at)
                    ++owners[static_cast<std::size_t>(at)];
            }
        }
        INFO(n << " by " << split.unit << " over " << first << " of " << parts << ", "
               << split.shares->first << ":" << split.shares->rest);
        CHECK(std::ranges::count(owners, 1) == n);
        CHECK(largest == largest_extent(split, n));
        // No rank is further from its share than a unit at each end of each half.
        const auto all = first * split.shares->first + (parts - first) * split.shares->rest;
        const double share = static_cast<double>(n) * split.shares->first / all;
        const auto own = static_cast<double>(local_extent(split, n, 0));
        CHECK(std::abs(own - share) <= 4 * static_cast<double>(split.unit));
    }
}

TEST_CASE("mixed: equal shares are the plans without any") {
    for (const auto& family : tiny_families()) {
        const auto model = build_model(tiny(family));
        for (int tp = 1; tp <= 5; ++tp) {
            const auto plain = search_layout(model, options_with(tp, {}), load_hardware("l40s"), {},
                                             prefill(2, 512));
            const auto shared = search_layout(model, options_with(tp, Shares{1, 3, 3}),
                                              load_hardware("l40s"), {}, prefill(2, 512));
            INFO(family << " TP " << tp);
            CHECK(plain.program == shared.program);
            CHECK(plain.layout == shared.layout);
            CHECK(plain.certificate == shared.certificate);
        }
    }
}

TEST_CASE("mixed: equal shares of the presets cut as none") {
    for (const auto* preset : {"llama-3.1-70b", "qwen3-0.6b", "mixtral-8x7b"}) {
        const auto model = build_model(load_model_config(preset));
        for (const int tp : {2, 3, 8}) {
            for (const auto& block : model.blocks) {
                for (const auto& op : block.ops) {
                    const auto plain = op_choices(block, op, tp);
                    const auto shared = op_choices(block, op, tp, Shares{1, 2, 2});
                    REQUIRE(plain.size() == shared.size());
                    for (std::size_t i = 0; i < plain.size(); ++i)
                        CHECK(plain[i].weights == shared[i].weights);
                }
            }
        }
    }
}

TEST_CASE("mixed: the view of all ranks is the program") {
    for (const auto& family : tiny_families()) {
        const auto model = build_model(tiny(family));
        for (const int tp : {1, 2, 3}) {
            for (const auto& shares : {std::optional<Shares>{}, std::optional(Shares{1, 3, 1})}) {
                const auto space = make_layout_space(model, options_with(tp, shares), DType::fp32);
                INFO(family << " TP " << tp);
                CHECK(rank_view(space.catalogue, {}) == space.catalogue);
            }
        }
    }
}

TEST_CASE("mixed: the costs of every layout are those of its program") {
    const auto group = load_group("l40s:1+rtx-4090:2");
    for (const auto& family : tiny_families()) {
        const auto model = build_model(tiny(family));
        const auto options = options_with(3, Shares{1, 2, 1});
        for (const auto& workload : {decode(5), prefill(2, 64)}) {
            const auto space = make_layout_space(model, options, workload.dtype);
            const auto chain = price_layouts(space, group, {}, workload);
            const auto best = search_layout(space, group, {}, workload);
            INFO(family << " " << name_of(workload.phase));
            CHECK(best.certificate.gap == 0);
            CHECK(certificate_fault(model, options, group, {}, workload, best.layout,
                                    best.certificate) == "");
            for (unsigned seed = 0; seed < 4; ++seed) {
                const auto assignment = random_assignment(space, chain, seed);
                const auto laid_out = apply_layout(model, options, layout_of(space, assignment));
                const auto program = lower(laid_out.model, laid_out.plan, workload.dtype);
                const auto totals = price(compile(program, group, {}), workload);
                CHECK(totals.step.value ==
                      Catch::Approx(evaluate(chain, assignment).seconds).epsilon(1e-9));
                CHECK(totals.step.value >= best.totals.step.value * (1 - 1e-9));
            }
        }
    }
}

TEST_CASE("mixed: whatever the shares, the logits are those of one rank") {
    const auto l40s = load_hardware("l40s");
    for (const auto& family : tiny_families()) {
        const auto model = build_model(tiny(family));
        const auto alone = search_layout(model, options_with(1, {}), l40s, {}, decode(1)).program;
        for (const auto& shares : {Shares{1, 3, 1}, Shares{1, 1, 3}, Shares{2, 2, 1}}) {
            const int tp = shares.ranks + 1;
            const auto options = options_with(tp, shares);
            const auto space = make_layout_space(model, options, DType::fp32);
            for (const auto& workload : {decode(5), prefill(2, 7)}) {
                const auto chain = price_layouts(space, l40s, {}, workload);
                const auto expected = run(alone, workload);
                for (unsigned seed = 0; seed < 3; ++seed) {
                    const auto layout =
                        layout_of(space, random_assignment(space, chain, 100 + seed));
                    const auto laid_out = apply_layout(model, options, layout);
                    INFO(family << " " << shares.first << ":" << shares.rest << " TP " << tp << " "
                                << name_of(workload.phase) << " seed " << seed);
                    const auto found =
                        run(lower(laid_out.model, laid_out.plan, DType::fp32), workload);
                    CHECK(deviation(found, expected).max_rel <= kToleranceFp32);
                }
            }
        }
    }
}
