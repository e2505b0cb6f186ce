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
    auto& certificate = result.certificate;
    certificate.step = result.totals.step;
    certificate.bound = Seconds(solution.potentials.bound);
    certificate.gap = std::max(0.0, result.totals.step.value / solution.potentials.bound - 1);
    if (certificate.gap < kRounding) certificate.gap = 0;
    certificate.potentials = solution.potentials;
    return result;
}

double weights_and_cache(const MemoryUse& memory) {
    return memory.weights.value + memory.kv_cache.value;
}

}  // namespace

LayoutResult search_layout(const LayoutSpace& space, const HardwareProfile& hardware,
                           const CostOptions& cost, const Workload& workload, Effort effort) {
    const auto chain = price_layouts(space, hardware, cost, workload);
    const auto fastest = solve(chain);
    // Everything replicated is always legal.
    auto result = realise(space, fastest.value(), hardware, cost, workload);
    result.certificate.log10_layouts = log10_layouts(chain);
    if (result.totals.memory.fits) return result;

    const auto* memory = &result.totals.memory;
    double cap = memory->capacity.value - (memory->total.value - weights_and_cache(*memory));
    for (int round = 0; round < kMemoryRounds; ++round) {
        const auto solution = solve(chain, cap, effort);
        if (!solution) break;
        auto smaller = realise(space, *solution, hardware, cost, workload);
        memory = &smaller.totals.memory;
        if (memory->fits) {
            smaller.certificate.log10_layouts = result.certificate.log10_layouts;
            smaller.certificate.bytes_cap.value = cap;
            smaller.certificate.exact = effort == Effort::exact || smaller.certificate.gap == 0;
            return smaller;
        }
        const double over = memory->total.value - memory->capacity.value;
        cap = std::min(cap, solution->cost.bytes) - std::max(over, 1.0);
    }
    return result;
}

LayoutResult search_layout(const Model& model, const PlanOptions& options,
                           const HardwareProfile& hardware, const CostOptions& cost,
                           const Workload& workload) {
    return search_layout(make_layout_space(model, options, workload.dtype), hardware, cost,
                         workload);
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
