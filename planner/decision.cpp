#include "planner/decision.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "planner/pareto.h"

namespace tplan {
namespace {

/// A 90 % interval is so many standard deviations wide on either side.
constexpr double kDeviations90 = 1.6449;
/// Of the variance of two degrees' errors in one kind of op, what both have in common.
constexpr double kSharedError = 0.8;
constexpr std::size_t kKinds = enum_names(CostKind{}).size();

double bound_of(const PlanRequest& request) {
    const bool decode = request.workload.phase == Phase::decode;
    const auto& bound = decode ? request.max_tpot : request.max_ttft;
    return bound.value ? bound.value->value : 0;
}

/// The best degree under other circumstances; 0 when none is in.
int winner(const LoweredDegrees& degrees, const HardwareProfile& hardware,
           const PlanRequest& request) {
    int best = 0;
    double least = kIllegal;
    for (const auto& [tp, degree] : degrees) {
        if (!works(degree)) continue;
        const auto totals = price_degree(degree, hardware, request.cost, request.workload,
                                         goal_of(request, Effort::quick))
                                .totals;
        if (!totals.memory.fits || !meets_bound(totals, request)) continue;
        const double own = score(totals, tp, request);
        if (own >= least) continue;
        least = own;
        best = tp;
    }
    return best;
}

HardwareProfile with_links(HardwareProfile hardware, double factor) {
    for (auto& link : hardware.links) link.bandwidth = link.bandwidth * factor;
    if (hardware.network) hardware.network->bandwidth = hardware.network->bandwidth * factor;
    return hardware;
}

/// The factor nearest to 1, up to `most` either way, at which the winner changes; looked for in
/// steps of a half octave and then closed in on. 0 where there is none.
struct Turn {
    double factor = 0;
    int tp = 0;
};
Turn nearest_turn(int chosen, double most, const std::function<int(double)>& winner_at) {
    constexpr int kHalvings = 5;
    constexpr double kStep = 1.4142135623730951;
    const auto search = [&](bool up) -> Turn {
        double same = 1;
        for (double factor = kStep; factor <= most * 1.001; factor *= kStep) {
            const double at = up ? factor : 1 / factor;
            int found = winner_at(at);
            if (found == 0) return {};  // nothing is in any more: not a turn
            if (found == chosen) {
                same = at;
                continue;
            }
            Turn turn{at, found};
            for (int i = 0; i < kHalvings; ++i) {
                const double middle = std::sqrt(same * turn.factor);
                found = winner_at(middle);
                if (found == chosen || found == 0) {
                    same = middle;
                } else {
                    turn = {middle, found};
                }
            }
            return turn;
        }
        return {};
    };
    const auto up = search(true), down = search(false);
    if (up.factor == 0) return down;
    if (down.factor == 0) return up;
    return std::log(up.factor) <= -std::log(down.factor) ? up : down;
}

void add_count_flip(std::vector<Flip>& flips, const char* what, std::int64_t Workload::*count,
                    int chosen, const LoweredDegrees& degrees, const Circumstances& around) {
    constexpr double kMost = 32;
    const auto now = around.request.workload.*count;
    const auto at = [&](double factor) {
        return std::max<std::int64_t>(1, std::llround(factor * static_cast<double>(now)));
    };
    const auto turn = nearest_turn(chosen, kMost, [&](double factor) {
        auto request = around.request;
        request.workload.*count = at(factor);
        if (request.workload.*count == now) return chosen;
        return winner(degrees, around.hardware, request);
    });
    if (turn.factor == 0) return;
    flips.push_back({what, format_count(now), format_count(at(turn.factor)),
                     static_cast<double>(at(turn.factor)) / static_cast<double>(now), turn.tp});
}

std::vector<Flip> find_flips(int chosen, const LoweredDegrees& degrees,
                             const Circumstances& around) {
    std::vector<Flip> flips;
    // Measured collectives do not scale with a link's datasheet.
    if (around.hardware.tables.collectives.empty()) {
        const auto turn = nearest_turn(chosen, 16, [&](double factor) {
            return winner(degrees, with_links(around.hardware, factor), around.request);
        });
        if (turn.factor > 0)
            flips.push_back(
                {"link speed", "1x", fmt::format("{:.2f}x", turn.factor), turn.factor, turn.tp});
    }
    add_count_flip(flips, "batch", &Workload::batch, chosen, degrees, around);
    const bool decode = around.request.workload.phase == Phase::decode;
    add_count_flip(flips, decode ? "context" : "input",
                   decode ? &Workload::context : &Workload::input, chosen, degrees, around);
    if (around.hardware.backend != "cuda") return flips;
    auto request = around.request;
    auto& kv = request.workload.kv_dtype;
    const auto before = kv;
    kv = before == DType::fp8 ? DType::bf16 : DType::fp8;
    const int then = winner(degrees, around.hardware, request);
    if (then != chosen && then != 0)
        flips.push_back(
            {"KV dtype", std::string(name_of(before)), std::string(name_of(kv)), 1, then});
    return flips;
}

/// What one measurement tells two candidates apart best: the kind of op whose uncertainty weighs
/// most in their difference.
std::string settling_measurement(const KindSums& a, double a_scale, const KindSums& b,
                                 double b_scale, const Program& program, const Workload& workload) {
    std::size_t widest = 0;
    double most = 0;
    for (std::size_t k = 0; k < kKinds; ++k) {
        const double own = std::abs(a.seconds[k] * a_scale - b.seconds[k] * b_scale) *
                           std::max(a.fraction(k), b.fraction(k));
        if (own <= most) continue;
        most = own;
        widest = k;
    }
    const auto kind = static_cast<CostKind>(widest);
    const auto name = name_of(kind);
    double least = kIllegal, largest = 0;
    for (const auto& section : program.sections) {
        for (const auto& step : section.steps) {
            if (op_cost(step.kind).kind != kind) continue;
            const double bytes =
                static_cast<double>(workload.rows(step.rows) * step.n) * bytes_of(step.dtype);
            least = std::min(least, bytes);
            largest = std::max(largest, bytes);
        }
    }
    if (kind < CostKind::all_reduce || largest == 0) {
        return fmt::format(
            "{} ops weigh most in the difference: measure them into a table and "
            "lay it over the profile with `tplan calibrate --from`",
            name);
    }
    const auto kib = [](double bytes) {
        return std::max<std::int64_t>(1, std::llround(bytes / 1024));
    };
    std::string command(name == "all_to_all" ? "alltoall" : name);
    return fmt::format(
        "{}_perf -b {}K -e {}K on these GPUs would settle it; its log goes to "
        "`tplan calibrate --from`",
        command, kib(least / 2), kib(largest * 2));
}

std::string explain_two_gpus(const std::vector<Candidate>& candidates) {
    const Candidate *one = nullptr, *two = nullptr;
    for (const auto& candidate : candidates) {
        if (candidate.tp == 1) one = &candidate;
        if (candidate.tp == 2) two = &candidate;
    }
    if (!one || !two || two->totals().step <= one->totals().step) return {};
    const auto& a = one->totals();
    const auto& b = two->totals();
    int collectives = 0;
    for (const auto& section : two->planned.program.sections) {
        for (const auto& step : section.steps) {
            if (is_collective(step.kind)) collectives += static_cast<int>(section.layers.size());
        }
    }
    return fmt::format(
        "TP 2 is slower than one GPU: halving the work saves {} a step, and {} collectives cost {}",
        format_time(a.compute - b.compute), collectives, format_time(b.collective));
}

std::string gpus_in_words(const Candidate& candidate, int gpus) {
    if (candidate.replicas == 1) return fmt::format("TP {}", candidate.tp);
    const int idle = gpus - candidate.tp * candidate.replicas;
    return fmt::format("TP {} x {} replicas{}", candidate.tp, candidate.replicas,
                       idle > 0 ? fmt::format(" ({} idle)", idle) : "");
}

void write_sentence(DegreeDecision& decision, const Candidate& chosen,
                    const Circumstances& around) {
    const auto& request = around.request;
    auto& text = decision.sentence;
    text = fmt::format("{} {}: {}", gpus_in_words(chosen, *request.gpus.value),
                       is_best(request.objective), describe(chosen, request.objective));
    if (decision.margin.value) {
        text += fmt::format(", {:.1f} % ahead of TP {}", 100 * *decision.margin.value,
                            *decision.runner_up.value);
    } else {
        text += ", the only degree that works";
    }
    constexpr double kAsGoodAsSure = 0.995;
    if (const auto& sure = decision.probability.value; sure && *sure >= kAsGoodAsSure) {
        text += " (over 99 % sure)";
    } else if (sure && decision.rival.value == decision.runner_up.value) {
        text += fmt::format(" ({:.0f} % sure)", 100 * *sure);
    } else if (sure) {
        text += fmt::format(" ({:.0f} % sure, TP {} being the likeliest to be faster)", 100 * *sure,
                            *decision.rival.value);
    }
    if (const auto* nearest = nearest_flip(decision.flips)) {
        text += fmt::format("; TP {} would be best with {} {} instead of {}", nearest->tp,
                            nearest->what, nearest->to, nearest->from);
    }
    if (decision.usd_per_million_tokens.value)
        text += fmt::format("; ${:.3f} per million tokens", *decision.usd_per_million_tokens.value);
}

}  // namespace

const Flip* nearest_flip(const std::vector<Flip>& flips) {
    const auto nearest = std::ranges::min_element(flips, {}, [](const Flip& flip) {
        return flip.factor == 1 ? std::log(2.0) : std::abs(std::log(flip.factor));
    });
    return nearest == flips.end() ? nullptr : &*nearest;
}

int replicas_of(int tp, const PlanRequest& request) {
    return std::max(1, request.gpus.value.value_or(tp) / tp);
}

double tokens_per_s_per_gpu(const Totals& totals, int tp, const PlanRequest& request) {
    const int gpus = std::max(tp, request.gpus.value.value_or(tp));
    return totals.tokens_per_s * replicas_of(tp, request) / gpus;
}

double score(const Totals& totals, int tp, const PlanRequest& request) {
    switch (request.objective) {
        case Objective::latency:
            return totals.step.value;
        case Objective::throughput:
            return -tokens_per_s_per_gpu(totals, tp, request);
        case Objective::memory:
            return totals.memory.total.value;
    }
    return 0;
}

SearchGoal goal_of(const PlanRequest& request, Effort effort) {
    return {.least_memory = request.objective == Objective::memory, .effort = effort};
}

std::string_view is_best(Objective objective) {
    switch (objective) {
        case Objective::latency:
            return "has the best latency";
        case Objective::throughput:
            return "has the best throughput per GPU";
        case Objective::memory:
            return "needs the least memory";
    }
    return {};
}

std::string describe(const Candidate& candidate, Objective objective) {
    switch (objective) {
        case Objective::latency:
            return format_time(candidate.totals().step) + " a step";
        case Objective::throughput:
            return fmt::format("{:.0f} tokens/s per GPU", candidate.tokens_per_s_per_gpu);
        case Objective::memory:
            return format_bytes(candidate.totals().memory.total) + " per GPU";
    }
    return {};
}

bool meets_bound(const Totals& totals, const PlanRequest& request) {
    const double bound = bound_of(request);
    return bound == 0 || totals.step.value <= bound;
}

std::string does_not_fit(const MemoryUse& memory) {
    return fmt::format("does not fit: needs {} per GPU, {} may be used", format_bytes(memory.total),
                       format_bytes(memory.capacity));
}

std::string refusal(const Totals& totals, const PlanRequest& request) {
    if (!totals.memory.fits) return does_not_fit(totals.memory);
    if (meets_bound(totals, request)) return {};
    return fmt::format("{} is above the bound of {}", format_time(totals.step),
                       format_time(Seconds(bound_of(request))));
}

double probability_ahead(const KindSums& better, double better_scale, const KindSums& worse,
                         double worse_scale) {
    double mean = 0, variance = 0;
    for (std::size_t k = 0; k < better.seconds.size(); ++k) {
        const double difference = worse.seconds[k] * worse_scale - better.seconds[k] * better_scale;
        const double width = std::max(better.fraction(k), worse.fraction(k));
        const double own =
            std::hypot(worse.seconds[k] * worse_scale, better.seconds[k] * better_scale);
        mean += difference;
        variance += (kSharedError * difference * difference + (1 - kSharedError) * own * own) *
                    std::pow(width / kDeviations90, 2);
    }
    if (variance == 0) return mean > 0 ? 1 : mean < 0 ? 0 : 0.5;
    return 0.5 * std::erfc(-mean / std::sqrt(2 * variance));
}

DegreeDecision decide(const std::vector<Candidate>& candidates, const Candidate& chosen,
                      const LoweredDegrees& degrees, const Circumstances& around) {
    const auto& request = around.request;
    DegreeDecision decision;
    const auto weigh = [&](const Candidate& candidate) {
        return score(candidate.totals(), candidate.tp, request);
    };
    const Candidate* second = nullptr;
    for (const auto& candidate : candidates) {
        if (&candidate == &chosen || !refusal(candidate.totals(), request).empty()) continue;
        if (!second || weigh(candidate) < weigh(*second)) second = &candidate;
    }
    if (second) {
        const double best = weigh(chosen), next = weigh(*second);
        decision.runner_up.value = second->tp;
        decision.margin.value =
            request.objective == Objective::throughput ? best / next - 1 : next / best - 1;
        const auto scale = [&](const Candidate& candidate) {
            const bool throughput = request.objective == Objective::throughput;
            return throughput ? 1.0 / candidate.replicas : 1.0;
        };
        if (request.objective != Objective::memory) {
            const auto& own = chosen.totals().kinds;
            const Candidate* rival = second;
            for (const auto& candidate : candidates) {
                if (&candidate == &chosen || !refusal(candidate.totals(), request).empty())
                    continue;
                const double ahead = probability_ahead(own, scale(chosen), candidate.totals().kinds,
                                                       scale(candidate));
                if (decision.probability.value && ahead >= *decision.probability.value) continue;
                decision.probability.value = ahead;
                rival = &candidate;
            }
            decision.rival.value = rival->tp;
            if (*decision.probability.value < kSure) {
                const auto& wider = chosen.tp > rival->tp ? chosen : *rival;
                decision.measurement =
                    settling_measurement(own, scale(chosen), rival->totals().kinds, scale(*rival),
                                         wider.planned.program, request.workload);
            }
        }
    }
    decision.flips = find_flips(chosen.tp, degrees, around);
    decision.two_gpus = explain_two_gpus(candidates);
    if (request.workload.phase == Phase::decode) decision.pareto = pareto(degrees, around);
    decision.usd_per_million_tokens =
        usd_per_million_tokens(around.hardware, chosen.tokens_per_s_per_gpu);
    write_sentence(decision, chosen, around);
    return decision;
}

}  // namespace tplan
