#include "planner/search.h"

#include <algorithm>
#include <cmath>

#include "planner/lower.h"

namespace tplan {
namespace {

/// Memory is not a sum over decisions alone (activations are a peak), so that the cap on weights
/// and cache is found in a few rounds.
constexpr int kMemoryRounds = 6;
/// Sums of the same numbers in another order.
constexpr double kRounding = 1e-9;

double log10_layouts(const ChoiceChain& chain) {
    double digits = 0;
    for (const int b : chain.sequence) {
        const auto& block = chain.blocks[static_cast<std::size_t>(b)];
        for (const auto& decision : block.decisions) digits += std::log10(decision.size());
    }
    return digits;
}

LayoutResult realise(const LayoutSpace& space, const ChoiceSolution& solution,
                     const HardwareProfile& hardware, const CostOptions& cost,
                     const Workload& workload) {
    LayoutResult result;
    result.layout = layout_of(space, solution.assignment);
    result.laid_out = apply_layout(*space.model, space.options, result.layout);
    result.program = lower(result.laid_out.model, result.laid_out.plan, workload.dtype);
    const auto compiled = compile(result.program, hardware, cost);
    result.totals = price(compiled, workload);
    result.link = compiled.link;
    result.notes = compiled.notes;
    return result;
}

Certificate certify(const ChoiceChain& chain, const ChoiceSolution& solution, Seconds step,
                    Nullable<double> bytes_cap) {
    Certificate certificate;
    certificate.step = step;
    certificate.bound = Seconds(solution.potentials.bound);
    certificate.gap = std::max(0.0, step.value / solution.potentials.bound - 1);
    if (certificate.gap < kRounding) certificate.gap = 0;
    certificate.exact = solution.exact;
    certificate.bytes_cap = bytes_cap;
    certificate.log10_layouts = log10_layouts(chain);
    certificate.potentials = solution.potentials;
    return certificate;
}

}  // namespace

LayoutResult search_layout(const LayoutSpace& space, const HardwareProfile& hardware,
                           const CostOptions& cost, const Workload& workload,
                           const SearchGoal& goal) {
    const auto chain = price_layouts(space, hardware, cost, workload);
    // Everything replicated is always legal.
    const auto fastest = solve(chain).value(), smallest = solve_smallest(chain);
    const auto made = [&](const ChoiceSolution& solution, Nullable<double> bytes_cap = {}) {
        auto result = realise(space, solution, hardware, cost, workload);
        result.certificate = certify(chain, solution, result.totals.step, bytes_cap);
        return result;
    };
    const double least = smallest.cost.bytes;
    auto solution = goal.least_memory ? solve(chain, least, goal.effort).value() : fastest;
    auto result =
        made(solution, goal.least_memory ? Nullable{std::optional(least)} : Nullable<double>{});
    for (int round = 0; !result.totals.memory.fits && solution.cost.bytes > least; ++round) {
        const auto& memory = result.totals.memory;
        const double over = std::max(1.0, memory.total.value - memory.capacity.value);
        const double cap =
            round < kMemoryRounds ? std::max(least, solution.cost.bytes - over) : least;
        solution = solve(chain, cap, goal.effort).value();
        result = made(solution, {cap});
    }
    if (fastest.cost.bytes > least) {
        const auto smallest_memory =
            realise(space, smallest, hardware, cost, workload).totals.memory;
        auto& memory = result.totals.memory;
        memory.max_batch = std::max(smallest_memory.max_batch, memory.fits ? workload.batch : 0);
        memory.max_context =
            std::max(smallest_memory.max_context, memory.fits ? workload.cached_tokens() : 0);
    }
    return result;
}

LayoutResult search_layout(const Model& model, const PlanOptions& options,
                           const HardwareProfile& hardware, const CostOptions& cost,
                           const Workload& workload, const SearchGoal& goal) {
    return search_layout(make_layout_space(model, options, workload.dtype), hardware, cost,
                         workload, goal);
}

std::string certificate_fault(const Model& model, const PlanOptions& options,
                              const HardwareProfile& hardware, const CostOptions& cost,
                              const Workload& workload, const std::vector<BlockLayout>& layout,
                              const Certificate& certificate) {
    const auto space = make_layout_space(model, options, workload.dtype);
    const auto chain = price_layouts(space, hardware, cost, workload);
    if (auto fault = potentials_fault(chain, certificate.potentials); !fault.empty()) return fault;
    const auto laid_out = apply_layout(model, options, layout);
    const auto program = lower(laid_out.model, laid_out.plan, workload.dtype);
    const auto totals = price(compile(program, hardware, cost), workload);
    const double step = totals.step.value, bound = certificate.potentials.bound;
    const auto differs = [](double a, double b) {
        return std::abs(a - b) > kRounding * std::max(std::abs(a), std::abs(b));
    };
    if (differs(step, certificate.step.value))
        return fmt::format("the layout takes {} s, not {} s", step, certificate.step.value);
    if (differs(bound, certificate.bound.value))
        return fmt::format("the potentials prove {} s, not {} s", bound, certificate.bound.value);
    if (std::abs(std::max(0.0, step / bound - 1) - certificate.gap) > kRounding)
        return fmt::format("the gap is {}, not {}", step / bound - 1, certificate.gap);
    if (step < bound * (1 - kRounding)) return "the plan is faster than its own bound";
    return {};
}

}  // namespace tplan
