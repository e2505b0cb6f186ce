#pragma once
#include <optional>
#include <string>
#include <vector>

#include "planner/request.h"

/// Which degree: candidates side by side, how sure the answer is, and what would change it.

namespace tplan {

/// One way to use `gpus` GPUs: as many replicas of a TP group as go in. A replica serves the whole
/// batch of the workload.
struct Candidate {
    int tp = 1;
    int replicas = 1;
    PlannedProgram planned;
    Feasibility feasibility;
    double tokens_per_s_per_gpu = 0;  // over all GPUs, idle ones included

    const Totals& totals() const { return planned.totals; }
};

/// A call is close below this probability.
constexpr double kSure = 0.95;

/// Groups of `tp` GPUs that go into those of the request; one where a degree was asked for.
int replicas_of(int tp, const PlanRequest& request);

/// Tokens/s of all replicas over all GPUs, idle ones included.
double tokens_per_s_per_gpu(const Totals& totals, int tp, const PlanRequest& request);

/// By the request's objective; smaller is better: seconds a step, minus tokens/s per GPU, or bytes
/// on the fullest GPU.
double score(const Totals& totals, int tp, const PlanRequest& request);
std::string describe(const Candidate& candidate, Objective objective);

/// What the candidate of the best score does: "has the best latency".
std::string_view is_best(Objective objective);

/// The goal of a layout search that serves the objective.
SearchGoal goal_of(const PlanRequest& request, Effort effort = Effort::exact);

/// Does a step take no longer than the request allows?
bool meets_bound(const Totals& totals, const PlanRequest& request);

/// "does not fit: needs X of Y per GPU".
std::string does_not_fit(const MemoryUse& memory);

/// Why a degree is out before objectives are compared: memory, the bounds; empty when it is in.
std::string refusal(const Totals& totals, const PlanRequest& request);

/// A change of one circumstance that makes another degree the best.
struct Flip {
    std::string what;      // "link speed", "batch", "context", "KV dtype"
    std::string from, to;  // in words: "1x", "1.4x"
    double factor = 1;     // to / from; 1 where it is no number
    int tp = 1;            // the best degree then
    static void fields(auto& self, auto&& field) {
        field("what", self.what);
        field("from", self.from);
        field("to", self.to);
        field("factor", self.factor);
        field("tp", self.tp);
    }
    bool operator==(const Flip&) const = default;
};

/// The smallest of the changes, a change of dtype counting as a factor of two; nullptr for none.
const Flip* nearest_flip(const std::vector<Flip>& flips);

/// A point that no other beats in both: what a user sees against what a GPU gives.
struct ParetoPoint {
    int tp = 1, replicas = 1;
    std::int64_t batch = 1;  // of each replica
    double tokens_per_s_per_user = 0, tokens_per_s_per_gpu = 0;
    Nullable<double> usd_per_million_tokens;
    static void fields(auto& self, auto&& field) {
        field("tp", self.tp);
        field("replicas", self.replicas);
        field("batch", self.batch);
        field("tokens_per_s_per_user", self.tokens_per_s_per_user);
        field("tokens_per_s_per_gpu", self.tokens_per_s_per_gpu);
        field("usd_per_million_tokens", self.usd_per_million_tokens);
    }
    bool operator==(const ParetoPoint&) const = default;
};

/// The answer to "which degree" with its grounds.
struct DegreeDecision {
    std::string sentence;
    Nullable<int> runner_up;       // degree; null where nothing else is in
    Nullable<double> margin;       // by how much the runner-up is worse, as a fraction
    Nullable<double> probability;  // that the answer is right against the rival
    Nullable<int> rival;           // degree that is likeliest to be better
    std::vector<Flip> flips;       // the smallest change of each circumstance
    std::string measurement;       // that would settle a close call; else empty
    std::string two_gpus;          // why TP 2 is slower than one GPU, where it is; else empty
    Nullable<double> usd_per_million_tokens;
    std::vector<ParetoPoint> pareto;  // decode only
    static void fields(auto& self, auto&& field) {
        field("sentence", self.sentence);
        field("runner_up", self.runner_up);
        field("margin", self.margin);
        field("probability", self.probability);
        field("rival", self.rival);
        field("flips", self.flips);
        field("measurement", self.measurement);
        field("two_gpus", self.two_gpus);
        field("usd_per_million_tokens", self.usd_per_million_tokens);
        field("pareto", self.pareto);
    }
    bool operator==(const DegreeDecision&) const = default;
};

/// What the alternatives were weighed under.
struct Circumstances {
    const HardwareProfile& hardware;
    const PlanRequest& request;  // `gpus` set
};

/// Degrees lowered once, priced under many circumstances.
using LoweredDegrees = std::vector<std::pair<int, LoweredDegree>>;

/// `candidates` holds every degree that can be planned; `chosen` is one of them.
DegreeDecision decide(const std::vector<Candidate>& candidates, const Candidate& chosen,
                      const LoweredDegrees& degrees, const Circumstances& around);

/// Probability that `better` takes less than `worse`. Errors are normal with the kinds' 90 % half
/// widths and independent between kinds; of one kind, four fifths of the variance are the same
/// fraction for both and a fifth is each one's own, since their shapes differ (assumed;
/// derivation.md 6).
/// `better_scale` and `worse_scale` turn seconds into the score that is compared.
double probability_ahead(const KindSums& better, double better_scale, const KindSums& worse,
                         double worse_scale);

}  // namespace tplan
