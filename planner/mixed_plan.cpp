#include "planner/mixed_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>

#include "core/text.h"
#include "planner/column_cut.h"
#include "planner/decision.h"

namespace tplan {
namespace {

/// Ratios of whole numbers up to this stand beside those of whole heads.
constexpr int kSmallNumbers = 4;

struct Weighed {
    Shares shares;
    Totals totals;
};

double used_share(const MemoryUse& memory) {
    return memory.capacity.value > 0 ? memory.total / memory.capacity : kIllegal;
}

/// By what the goal asks for; the first of equals stays.
bool is_better(const Totals& a, const Totals& b, const SearchGoal& goal) {
    if (a.memory.fits != b.memory.fits) return a.memory.fits;
    if (!a.memory.fits || goal.least_memory) return used_share(a.memory) < used_share(b.memory);
    return a.step < b.step;
}

Totals search_totals(const Model& model, const PlanOptions& options, const HardwareProfile& group,
                     const CostOptions& cost, const Workload& workload, SearchGoal goal) {
    const auto space = make_layout_space(model, options, workload.dtype);
    auto search = make_layout_search(space, group, cost);
    goal.proof = false;
    return search_layout(search, workload, goal).totals;
}

KindAlone plan_alone(const ModelConfig& config, const Model& model, PlanOptions options,
                     const HardwareProfile& kind, const CostOptions& cost, const Workload& workload,
                     const SearchGoal& goal) {
    options.tp = kind.devices;
    options.shares.reset();
    KindAlone alone{.device = kind.name, .tp = options.tp};
    const auto degree = lower_degree(config, model, options, workload.dtype);
    if (!works(degree)) {
        alone.reason = first_message(degree.feasibility);
        return alone;
    }
    auto quick = goal;
    quick.proof = false;
    const auto totals = price_degree(degree, kind, cost, workload, quick).totals;
    alone.fits = totals.memory.fits;
    alone.step.value = totals.step;
    if (!alone.fits) alone.reason = does_not_fit(totals.memory);
    return alone;
}

/// "8.1 % faster than X", "3.2 times as fast as X", "2.0 % slower than X".
std::string against(Seconds own, Seconds other, const std::string& what) {
    const double times = other / own;
    if (times >= 2) return fmt::format("{:.1f} times as fast as {}", times, what);
    if (std::abs(times - 1) < 5e-4) return "as fast as " + what;
    if (times > 1) return fmt::format("{:.1f} % faster than {}", 100 * (times - 1), what);
    return fmt::format("{:.1f} % slower than {}", 100 * (1 / times - 1), what);
}

std::string against_alone(Seconds own, const KindAlone& alone) {
    const auto what = fmt::format("{} x {} alone", alone.tp, alone.device);
    if (!alone.step.value) return what + " does not work: " + alone.reason;
    if (!alone.fits) return what + " " + alone.reason;
    return against(own, *alone.step.value, what);
}

/// What chose the ratio.
std::string grounds(const std::vector<Weighed>& all, const Weighed& chosen,
                    const SharesDecision& decision, const SearchGoal& goal) {
    if (decision.weighed.empty()) return "evenly, as this layout cuts";
    if (!chosen.totals.memory.fits) return "though none fits: it overfills memory least";
    if (goal.least_memory) return "by memory";
    if (chosen.shares.first == chosen.shares.rest)
        return fmt::format("evenly, as no ratio is {:.0f} % faster", 100 * kWorthUnequal);
    const auto fastest =
        std::ranges::min_element(all, {}, [](const Weighed& entry) { return entry.totals.step; });
    return fastest->totals.memory.fits ? "by speed" : "by memory, as faster ratios do not fit";
}

std::string sentence_of(const std::vector<Weighed>& all, const Weighed& chosen,
                        const SharesDecision& decision, const SearchGoal& goal) {
    const auto& shares = decision.shares;
    auto text = fmt::format("{}:{} for {} x {} and {} x {} {}: {} a step", shares.first,
                            shares.rest, decision.alone[0].tp, decision.alone[0].device,
                            decision.alone[1].tp, decision.alone[1].device,
                            grounds(all, chosen, decision, goal), format_time(chosen.totals.step));
    const auto& even = all.front();
    if (shares.first != shares.rest) {
        text += even.totals.memory.fits
                    ? ", " + against(chosen.totals.step, even.totals.step, "equal shares")
                    : ", equal shares do not fit";
    }
    for (const auto& alone : decision.alone)
        text += (alone.step.value && alone.fits ? ", " : "; ") +
                against_alone(chosen.totals.step, alone);
    const auto better = std::ranges::find_if(decision.alone, [&](const KindAlone& alone) {
        return alone.step.value && alone.fits && *alone.step.value < chosen.totals.step;
    });
    if (better != decision.alone.end() && !goal.least_memory)
        text += fmt::format("; for speed leave the {} out",
                            decision.alone[better == decision.alone.begin() ? 1 : 0].device);
    return text;
}

}  // namespace

std::vector<Shares> shares_to_weigh(int first, int second, std::int64_t heads) {
    const auto add = [&](std::vector<Shares>& to, std::int64_t a, std::int64_t b) {
        const auto divisor = std::gcd(a, b);
        const Shares shares{first, static_cast<int>(a / divisor), static_cast<int>(b / divisor)};
        if (shares != Shares{first, 1, 1} && std::ranges::find(to, shares) == to.end())
            to.push_back(shares);
    };
    std::vector<Shares> of_heads, small;
    // Of `heads - first * held` heads each other device gets at least one.
    for (std::int64_t held = 1; heads - first * held >= second; ++held)
        add(of_heads, held * second, heads - first * held);
    for (std::int64_t held = 1; heads - second * held >= first; ++held)
        add(of_heads, heads - second * held, held * first);
    for (int a = 1; a <= kSmallNumbers; ++a) {
        for (int b = 1; b <= kSmallNumbers; ++b) {
            const auto whole = std::int64_t{a} * first + std::int64_t{b} * second;
            if (std::min(a, b) * heads >= whole) add(small, a, b);
        }
    }
    // Several ratios may round to the same cuts: the one of whole heads names them best.
    std::vector<Shares> taken{{first, 1, 1}};
    const auto room = kMostShares - 1 - small.size();
    const auto step = std::max<std::size_t>(1, (of_heads.size() + room - 1) / room);
    for (std::size_t i = 0; i < of_heads.size(); i += step) taken.push_back(of_heads[i]);
    for (const auto& shares : small)
        if (std::ranges::find(taken, shares) == taken.end()) taken.push_back(shares);
    return taken;
}

MixedPlan plan_mixed(const ModelConfig& config, const Model& model, const PlanOptions& options,
                     const HardwareProfile& group, const CostOptions& cost,
                     const Workload& workload, const SearchGoal& goal) {
    auto own = options;
    const auto& kinds = group.kinds.value();
    const int first = kinds[0].devices, second = kinds[1].devices;
    own.shares = Shares{first, 1, 1};
    MixedPlan made;
    std::vector<Weighed> all;
    if (is_searched(options)) {
        for (const auto& shares : shares_to_weigh(first, second, config.heads)) {
            own.shares = shares;
            all.push_back({shares, search_totals(model, own, group, cost, workload, goal)});
        }
        const auto& even = all.front();
        const Weighed* best = &even;
        for (const auto& entry : all) {
            if (is_better(entry.totals, best->totals, goal)) best = &entry;
        }
        if (even.totals.memory.fits && !goal.least_memory &&
            even.totals.step <= best->totals.step * (1 + kWorthUnequal))
            best = &even;
        own.shares = best->shares;
    }
    made.planned = plan_program(config, model, own, group, cost, workload, goal);
    if (!made.planned.program) return made;
    made.planned.program->plan.options.shares = own.shares;
    auto& decision = made.decision;
    decision.shares = *own.shares;
    for (const auto& entry : all)
        decision.weighed.push_back({entry.shares, entry.totals.memory.fits, entry.totals.step});
    for (const auto& kind : kinds)
        decision.alone.push_back(plan_alone(config, model, options, kind, cost, workload, goal));
    const Weighed chosen{decision.shares, made.planned.program->totals};
    if (all.empty()) all.push_back(chosen);
    decision.sentence = sentence_of(all, chosen, decision, goal);
    return made;
}

void require_mixed(const PlanRequest& request, const HardwareProfile& group,
                   const std::string& where) {
    const auto refuse = [&](const char* flag, const char* path, const std::string& what,
                            const std::string& hint) {
        throw Error(where.empty() ? flag : where + path, what, hint);
    };
    if (request.training)
        refuse("--phase train", "/training", "training over two kinds of GPU is not planned",
               "give one profile");
    if (request.cost.nodes != 1)
        refuse("--nodes", "/cost/nodes", "a group of two kinds of GPU is one node",
               "drop --nodes, or give one profile");
    if (request.gpus.value)
        refuse("--gpus", "/gpus", "--hw says how many of each kind already",
               "drop it; the degree is all of them");
    if (request.plan.tp != group.devices)
        refuse("--tp", "/plan/tp",
               fmt::format("{} ranks, but --hw names {} GPUs", request.plan.tp, group.devices),
               "drop --tp, or change the counts in --hw");
}

}  // namespace tplan
