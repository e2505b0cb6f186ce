#include "planner/search.h"

#include <algorithm>
#include <cmath>

#include "planner/lower.h"

namespace tplan {
namespace {

/// Memory is not a sum over decisions alone (activations are a peak), so that the cap on weights
/// and cache is found in a few rounds.
constexpr int kMemoryRounds = 6;
constexpr double kSameCap = 1e-6;
/// Sums of the same numbers in another order.
constexpr double kRounding = 1e-9;

/// Layouts of one link that are kept: as many as moving one field to and fro may visit.
constexpr std::size_t kMostKnown = 8;

double log10_layouts(const ChoiceChain& chain) {
    double digits = 0;
    for (const int b : chain.sequence) {
        const auto& block = chain.blocks[static_cast<std::size_t>(b)];
        for (const auto& decision : block.decisions) digits += std::log10(decision.size());
    }
    return digits;
}

std::shared_ptr<const WorkedLayout> work_out(const LayoutSearch& search,
                                             const Assignment& assignment, DType dtype) {
    auto worked = std::make_shared<WorkedLayout>();
    worked->assignment = assignment;
    worked->layout = layout_of(*search.space, assignment);
    worked->laid_out = apply_layout(*search.space->model, search.space->options, worked->layout);
    worked->program = lower(worked->laid_out.model, worked->laid_out.plan, dtype);
    worked->compiled = compile(worked->program, *search.hardware, search.cost);
    return worked;
}

/// The layout of an assignment, worked out or known; it then is the latest.
std::shared_ptr<const WorkedLayout> worked_layout(LayoutSearch& search,
                                                  const Assignment& assignment, DType dtype) {
    auto& known = search.known;
    const auto found = std::find_if(known.begin(), known.end(), [&](const auto& worked) {
        return worked->assignment == assignment;
    });
    if (found != known.end()) {
        std::rotate(known.begin(), found, found + 1);
        return known.front();
    }
    if (known.size() == kMostKnown) known.pop_back();
    known.insert(known.begin(), work_out(search, assignment, dtype));
    return known.front();
}

/// The solution's layout with its price, without a certificate.
FoundLayout realise(LayoutSearch& search, const ChoiceSolution& solution,
                    const Workload& workload) {
    FoundLayout found;
    found.worked = worked_layout(search, solution.assignment, workload.dtype);
    found.totals = price(found.worked->compiled, workload);
    return found;
}

Certificate certify(const LayoutSearch& search, const ChoiceSolution& solution, Seconds step,
                    Nullable<double> bytes_cap) {
    Certificate certificate;
    certificate.step = step;
    certificate.bound = Seconds(solution.potentials.bound);
    certificate.gap = std::max(0.0, step.value / solution.potentials.bound - 1);
    if (certificate.gap < kRounding) certificate.gap = 0;
    certificate.exact = solution.exact;
    certificate.bytes_cap = bytes_cap;
    certificate.log10_layouts = search.log10_layouts;
    certificate.potentials = solution.potentials;
    return certificate;
}

}  // namespace

LayoutSearch make_layout_search(const LayoutSpace& space, const HardwareProfile& hardware,
                                const CostOptions& cost) {
    LayoutSearch search;
    search.space = &space;
    search.hardware = &hardware;
    search.cost = cost;
    search.catalogue = compile(space.catalogue, hardware, cost);
    search.chain = space.chain;
    search.log10_layouts = log10_layouts(space.chain);
    return search;
}

namespace {

/// What a search has come to: the fastest assignment, or another one where memory or the goal asks
/// for it.
struct SearchState {
    ChoiceEnds ends;
    std::optional<ChoiceSolution> other;
    Nullable<double> bytes_cap;  // that made it another

    const ChoiceSolution& solution() const { return other ? *other : ends.fastest; }
};

/// Takes the cheapest within a cap on bytes. The smallest is known: only its proof takes solving.
void take_within(SearchState& state, const LayoutSearch& search, const SearchGoal& goal,
                 double cap) {
    auto& ends = state.ends;
    state.bytes_cap = {cap};
    if (!goal.proof && cap == ends.smallest.cost.bytes) {
        state.other = ends.smallest;
        return;
    }
    if (!goal.proof && ends.fastest.potentials.blocks.empty())
        ends = solve_ends(search.chain).value();
    state.other = solve(search.chain, ends, cap, goal.effort).value();
}

/// Bytes of the tightest device in those of the chain, see price_layouts().
double in_chain_bytes(const LayoutSearch& search, const MemoryUse& memory, double bytes) {
    const double capacity = memory.capacity.value;
    return search.catalogue.second && capacity > 0
               ? bytes * search.catalogue.memory.capacity / capacity
               : bytes;
}

/// What a layout needs beside the bytes that a cap counts differs from one to another: the cap that
/// led to one that fits may leave room for a faster one. Looks for it below `misfit`, the bytes of
/// the smallest assignment that was seen not to fit.
void raise_cap(SearchState& best, FoundLayout& found, LayoutSearch& search,
               const Workload& workload, const SearchGoal& goal, double misfit) {
    double fits = best.bytes_cap.value.value();
    for (int round = 0; round < kMemoryRounds; ++round) {
        const auto& memory = found.totals.memory;
        double cap = best.solution().cost.bytes +
                     in_chain_bytes(search, memory, memory.capacity.value - memory.total.value);
        if (cap >= misfit) cap = (fits + misfit) / 2;
        if (cap <= fits * (1 + kSameCap)) return;
        auto tried = best;
        take_within(tried, search, goal, cap);
        auto other = realise(search, tried.solution(), workload);
        if (!other.totals.memory.fits) {
            misfit = std::min(misfit, tried.solution().cost.bytes);
            continue;
        }
        fits = cap;
        if (other.totals.step >= found.totals.step) continue;
        best = std::move(tried);
        found = std::move(other);
    }
}

}  // namespace

FoundLayout search_layout(LayoutSearch& search, const Workload& workload, const SearchGoal& goal) {
    price_layouts(*search.space, search.catalogue, workload, search.chain);
    // Everything replicated is always legal.
    SearchState best{solve_ends(search.chain, goal.proof).value(), {}, {}};
    const double least = best.ends.smallest.cost.bytes;
    if (goal.least_memory) take_within(best, search, goal, least);
    auto found = realise(search, best.solution(), workload);
    double misfit = kIllegal;
    for (int round = 0; !found.totals.memory.fits && best.solution().cost.bytes > least; ++round) {
        misfit = std::min(misfit, best.solution().cost.bytes);
        const auto& memory = found.totals.memory;
        const double over = in_chain_bytes(
            search, memory, std::max(1.0, memory.total.value - memory.capacity.value));
        take_within(
            best, search, goal,
            round < kMemoryRounds ? std::max(least, best.solution().cost.bytes - over) : least);
        found = realise(search, best.solution(), workload);
    }
    if (misfit < kIllegal && found.totals.memory.fits && !goal.least_memory)
        raise_cap(best, found, search, workload, goal, misfit);
    if (goal.proof)
        found.certificate = certify(search, best.solution(), found.totals.step, best.bytes_cap);
    if (best.solution().cost.bytes > least) {
        const auto smallest_memory = realise(search, best.ends.smallest, workload).totals.memory;
        auto& memory = found.totals.memory;
        memory.max_batch = std::max(smallest_memory.max_batch, memory.fits ? workload.batch : 0);
        memory.max_context =
            std::max(smallest_memory.max_context, memory.fits ? workload.cached_tokens() : 0);
    }
    return found;
}

LayoutResult search_layout(const LayoutSpace& space, const HardwareProfile& hardware,
                           const CostOptions& cost, const Workload& workload,
                           const SearchGoal& goal) {
    auto search = make_layout_search(space, hardware, cost);
    auto proven = goal;
    proven.proof = true;
    auto found = search_layout(search, workload, proven);
    const auto& worked = *found.worked;
    return {.layout = worked.layout,
            .laid_out = worked.laid_out,
            .program = worked.program,
            .totals = std::move(found.totals),
            .link = worked.compiled.link,
            .notes = worked.compiled.notes,
            .certificate = std::move(found.certificate.value())};
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
