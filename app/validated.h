#pragma once
#include <optional>
#include <string>
#include <vector>

#include "executor/measure.h"
#include "executor/trail.h"
#include "planner/check.h"

/// The validated plan: a plan plus the measurements of a run of exactly that plan. Here predictions
/// and measurements meet, joined by step id; nothing else in the program sees both.

namespace tplan {

/// Median over the clean repetitions, slowest rank. `wait` = time a collective stood waiting for
/// another rank.
struct MeasuredOp {
    std::string id;
    Seconds time, wait;
    static void fields(auto& self, auto&& field) {
        field("id", self.id);
        field("time_s", self.time);
        field("wait_s", self.wait);
    }
    bool operator==(const MeasuredOp&) const = default;
};

/// What one step took, repetition by repetition, on the slowest rank. The means are there for the
/// checker: no median tells that a single sample was edited.
struct OpSamples {
    std::string id;
    std::vector<Seconds> times = {}, waits = {};  // [repetitions]; `times` without the waiting
    std::string clean = {};  // per repetition 'c', or 'p' where a rank was preempted
    Seconds mean_time = {}, mean_wait = {};
    static void fields(auto& self, auto&& field) {
        field("id", self.id);
        field("times_s", self.times);
        field("waits_s", self.waits);
        field("clean", self.clean);
        field("mean_time_s", self.mean_time);
        field("mean_wait_s", self.mean_wait);
    }
    bool operator==(const OpSamples&) const = default;
};

/// A point of the profile's tables, revisited between repetitions. `then` is the profile's own.
struct DriftProbe {
    std::string name;
    Seconds then, now;
    std::vector<TimedSample> samples = {};
    Seconds mean = {};
    static void fields(auto& self, auto&& field) {
        field("name", self.name);
        field("then_s", self.then);
        field("now_s", self.now);
        field("samples", self.samples);
        field("mean_s", self.mean);
    }
    bool operator==(const DriftProbe&) const = default;
};

struct Measured {
    std::string backend;
    int ranks = 1;
    std::vector<std::string> devices;
    int layers = 0;   // of the model that were run
    int samples = 0;  // repetitions
    double clean_fraction = 0;
    Spread step;
    std::vector<MeasuredOp> ops;
    double speedup_vs_tp1 = 1;
    Spread step_tp1;  // the same layers on one rank, interleaved
    std::vector<TimedSample> step_samples, step_tp1_samples;  // the latter empty for one rank
    Seconds step_mean, step_tp1_mean;
    std::vector<OpSamples> op_samples;  // in the order of `ops`
    std::vector<DriftProbe> probes;
    Named<std::string> environment;
    static void fields(auto& self, auto&& field) {
        field("backend", self.backend);
        field("ranks", self.ranks);
        field("devices", self.devices);
        field("layers", self.layers);
        field("samples", self.samples);
        field("clean_fraction", self.clean_fraction);
        field("step_s", self.step);
        field("ops", self.ops);
        field("speedup_vs_tp1", self.speedup_vs_tp1);
        field("step_tp1_s", self.step_tp1);
        field("step_samples", self.step_samples);
        field("step_tp1_samples", self.step_tp1_samples);
        field("step_mean_s", self.step_mean);
        field("step_tp1_mean_s", self.step_tp1_mean);
        field("op_samples", self.op_samples);
        field("probes", self.probes);
        field("environment", self.environment);
    }
    bool operator==(const Measured&) const = default;
};

/// One comparison of numbers against a reference.
struct NumericsCheck {
    std::string what;  // "logits against TP=1", "small copy against the scalar reference"
    double max_abs_diff = 0, max_rel_diff = 0, tolerance = 0;
    bool pass = false;
    double largest = 0;  // of the reference, which max_rel_diff is relative to: its largest
                         // absolute value, of gradients and updates their length
    static void fields(auto& self, auto&& field) {
        field("what", self.what);
        field("max_abs_diff", self.max_abs_diff);
        field("largest", self.largest);
        field("max_rel_diff", self.max_rel_diff);
        field("tolerance", self.tolerance);
        field("pass", self.pass);
    }
    bool operator==(const NumericsCheck&) const = default;
};

struct Numerics {
    double max_abs_diff = 0, max_rel_diff = 0, tolerance = 0;  // the worst of the references
    bool ranks_agree = false;  // bitwise equal after every all-reduce, and finite
    std::string disagreement;  // the first step where they are not; empty when they agree
    std::vector<NumericsCheck> reference;
    bool pass = false;
    static void fields(auto& self, auto&& field) {
        field("max_abs_diff", self.max_abs_diff);
        field("max_rel_diff", self.max_rel_diff);
        field("tolerance", self.tolerance);
        field("ranks_agree", self.ranks_agree);
        field("disagreement", self.disagreement);
        field("reference", self.reference);
        field("pass", self.pass);
    }
    bool operator==(const Numerics&) const = default;
};

struct ComparedOp {
    std::string id;
    Seconds predicted, measured;
    double error = 0;  // predicted / measured - 1
    static void fields(auto& self, auto&& field) {
        field("id", self.id);
        field("predicted_s", self.predicted);
        field("measured_s", self.measured);
        field("error", self.error);
    }
    bool operator==(const ComparedOp&) const = default;
};

struct Comparison {
    double step_error = 0;               // predicted / measured - 1, for the layers that ran
    double drift = 1;                    // median over the probes of now / then; 1 without probes
    double step_error_recalibrated = 0;  // with the prediction scaled by the drift
    Seconds predicted_step;              // for the layers that ran
    std::array<Seconds, 2> interval_90;
    /// "" when the profile describes the machine that ran; else the two machines: the errors then
    /// say nothing about the prediction.
    std::string across_machines;
    std::vector<ComparedOp> ops;
    static void fields(auto& self, auto&& field) {
        field("step_error", self.step_error);
        field("drift", self.drift);
        field("step_error_recalibrated", self.step_error_recalibrated);
        field("predicted_step_s", self.predicted_step);
        field("interval_90_s", self.interval_90);
        field("across_machines", self.across_machines);
        field("ops", self.ops);
    }
    bool operator==(const Comparison&) const = default;
};

enum class RunVerdict { validated, out_of_interval, numerics_failed, inconclusive, failed };
constexpr auto enum_names(RunVerdict) {
    return std::array<std::string_view, 5>{"validated", "out-of-interval", "numerics-failed",
                                           "inconclusive", "failed"};
}

/// What a run adds to a plan.
struct Validation {
    Measured measured;
    Numerics numerics;
    Comparison comparison;
    RunVerdict verdict = RunVerdict::inconclusive;
    std::vector<std::string> reasons{};                  // for a verdict other than `validated`
    std::optional<std::vector<RankTrail>> last_steps{};  // of a run that was cut short
    static void fields(auto& self, auto&& field) {
        field("measured", self.measured);
        field("numerics", self.numerics);
        field("comparison", self.comparison);
        field("verdict", self.verdict);
        field("reasons", self.reasons);
        field("last_steps", self.last_steps);
    }
    bool operator==(const Validation&) const = default;
};

/// Fills in everything that follows from the raw samples, the references' deviations and the plan:
/// statistics, passes, comparison and verdict. A run ends with it, and `check`
/// holds a document against it. Requires `measured.layers` from 0 to the plan's own.
void derive(const PlanDocument& plan, Validation& validation);

/// The largest difference that may be: of the small copy (always fp32), and of the plan itself.
/// Reason: executor/numerics.h.
double small_copy_tolerance();
double tolerance_of(DType dtype);

/// Why a run on one backend says nothing about a prediction for another.
constexpr std::string_view kDoesNotJudge =
    "a step of one machine does not judge a prediction for another";

/// "predicted for h100-sxm (cuda), measured on cpu"; empty where the profile is of that backend.
std::string across_backends(const HardwareProfile& predicted, std::string_view backend);

/// What terminal, page and window say of a comparison across machines; empty for an empty text.
std::string across_machines_line(const std::string& machines);

/// What was compared, how far apart it is and may be, and whether that passes.
std::string numerics_sentence(const NumericsCheck& check);

/// predicted / measured - 1; 0 where nothing was measured.
double error_of(Seconds predicted, Seconds measured);

/// An op of the comparison, its layers added up.
struct ComparedSum {
    std::string name;  // without the layer
    int times = 0;
    Seconds predicted, measured, wait;
};

/// In the order of the comparison's ops.
std::vector<ComparedSum> compared_sums(const Validation& validation);

/// Joins prediction and measurement by step id. `predicted` must cover the layers that ran.
Comparison compare(const Estimate& predicted, const Measured& measured);

/// Numerics first; then `inconclusive` for a machine too noisy or adrift (clean fraction below one
/// half, median more than 15 % above p10, |drift - 1| > 0.10), never for the size of the error;
/// then the interval, in which no step of another machine lies.
RunVerdict judge_run(const Measured& measured, const Numerics& numerics,
                     const Comparison& comparison);

/// What of the above led to judge_run()'s verdict, one sentence each; empty for `validated`.
std::vector<std::string> verdict_reasons(const Measured& measured, const Numerics& numerics,
                                         const Comparison& comparison);

/// Predicted beside measured, for a terminal.
std::string validation_text(const PlanDocument& plan, const Validation& validation);

}  // namespace tplan
