#include "app/validated.h"

#include <algorithm>
#include <map>

#include "app/drift.h"
#include "app/first_layers.h"
#include "core/statistics.h"
#include "executor/numerics.h"

namespace tplan {
namespace {

constexpr double kMinCleanFraction = 0.5;
constexpr double kMaxMedianOverP10 = 1.15;
constexpr double kMaxDrift = 0.10;

Seconds mean_of(const std::vector<Seconds>& times) {
    Seconds sum;
    for (const auto time : times) sum += time;
    return times.empty() ? sum : sum / static_cast<double>(times.size());
}

Seconds mean_of(const std::vector<TimedSample>& samples) {
    Seconds sum;
    for (const auto& sample : samples) sum += sample.time;
    return samples.empty() ? sum : sum / static_cast<double>(samples.size());
}

/// Median over the clean repetitions.
Seconds clean_median(const std::vector<Seconds>& times, const std::string& clean) {
    std::vector<TimedSample> samples;
    for (std::size_t i = 0; i < times.size(); ++i)
        samples.push_back({times[i], i < clean.size() && clean[i] == 'c'});
    return spread_of(samples).median;
}

void derive_measured(const PlanDocument& plan, Measured& measured) {
    const bool alone = plan.tp == 1;
    if (alone) measured.step_tp1_samples.clear();
    measured.ranks = plan.tp;
    measured.samples = static_cast<int>(measured.step_samples.size());
    measured.clean_fraction = clean_fraction(measured.step_samples);
    measured.step = spread_of(measured.step_samples);
    measured.step_mean = mean_of(measured.step_samples);
    measured.step_tp1 = alone ? measured.step : spread_of(measured.step_tp1_samples);
    measured.step_tp1_mean = mean_of(measured.step_tp1_samples);
    measured.speedup_vs_tp1 = alone ? 1.0
                              : measured.step.median.value > 0
                                  ? measured.step_tp1.median / measured.step.median
                                  : 0;
    measured.ops.clear();
    for (auto& op : measured.op_samples) {
        op.mean_time = mean_of(op.times);
        op.mean_wait = mean_of(op.waits);
        measured.ops.push_back(
            {op.id, clean_median(op.times, op.clean), clean_median(op.waits, op.clean)});
    }
    const auto points = drift_points(plan.hardware, plan.tp);
    if (!measured.probes.empty()) measured.probes.resize(points.size());
    for (std::size_t i = 0; i < measured.probes.size(); ++i) {
        auto& probe = measured.probes[i];
        probe.name = points[i].probe.name;
        probe.then = points[i].then;
        probe.now = spread_of(probe.samples).median;
        probe.mean = mean_of(probe.samples);
    }
}

void derive_numerics(const PlanDocument& plan, Numerics& numerics) {
    constexpr double kWorst = std::numeric_limits<double>::max();
    numerics.max_abs_diff = numerics.max_rel_diff = numerics.tolerance = 0;
    numerics.pass = numerics.ranks_agree && !numerics.reference.empty();
    for (std::size_t i = 0; i < numerics.reference.size(); ++i) {
        auto& check = numerics.reference[i];
        check.tolerance = plan.request.training ? kToleranceGradient
                          : i == 0              ? small_copy_tolerance()
                                                : tolerance_of(plan.workload.dtype);
        check.max_rel_diff = check.max_abs_diff == 0 ? 0
                             : check.largest > 0
                                 ? std::min(check.max_abs_diff / check.largest, kWorst)
                                 : kWorst;
        check.pass = check.max_rel_diff <= check.tolerance;
        numerics.max_abs_diff = std::max(numerics.max_abs_diff, check.max_abs_diff);
        numerics.max_rel_diff = std::max(numerics.max_rel_diff, check.max_rel_diff);
        numerics.tolerance = std::max(numerics.tolerance, check.tolerance);
        numerics.pass = numerics.pass && check.pass;
    }
}

/// See Comparison::across_machines. The profile that `tplan calibrate` writes is of one processor;
/// others are of a kind of device.
std::string machines_apart(const HardwareProfile& predicted, const Measured& measured) {
    if (predicted.backend != measured.backend) return across_backends(predicted, measured.backend);
    if (predicted.name != "this-cpu") return {};
    for (const auto& [key, cpu] : measured.environment) {
        if (key == "cpu" && cpu != predicted.description)
            return fmt::format("predicted for {}, measured on {}", predicted.description, cpu);
    }
    return {};
}

/// Why a run says nothing about the prediction, whatever the error; empty when it does.
std::vector<std::string> noise_reasons(const Measured& measured, const Comparison& comparison) {
    std::vector<std::string> reasons;
    if (measured.clean_fraction < kMinCleanFraction)
        reasons.push_back(fmt::format(
            "only {} of the repetitions ran without preemption, {} are needed: other work runs on "
            "these cores",
            format_percent(measured.clean_fraction), format_percent(kMinCleanFraction)));
    const auto& step = measured.step;
    if (step.median > step.p10 * kMaxMedianOverP10)
        reasons.push_back(
            fmt::format("the median step of {} is {:.2f} times p10 ({}), {} is allowed: the "
                        "machine is unsteady",
                        format_time(step.median), step.p10.value > 0 ? step.median / step.p10 : 0.0,
                        format_time(step.p10), kMaxMedianOverP10));
    if (std::abs(comparison.drift - 1) > kMaxDrift)
        reasons.push_back(
            fmt::format("the profile's own points take {:.2f} times as long as when it was "
                        "calibrated, {:.2f} to "
                        "{:.2f} is allowed: calibrate again with `tplan calibrate`",
                        comparison.drift, 1 - kMaxDrift, 1 + kMaxDrift));
    return reasons;
}

}  // namespace

double small_copy_tolerance() {
    return kToleranceFp32;
}

double tolerance_of(DType dtype) {
    return dtype == DType::fp32 ? kToleranceFp32 : kToleranceBf16;
}

void derive(const PlanDocument& plan, Validation& validation) {
    derive_measured(plan, validation.measured);
    derive_numerics(plan, validation.numerics);
    const auto predicted = estimate_of_layers(plan, validation.measured.layers);
    validation.comparison = compare(predicted, validation.measured);
    validation.comparison.across_machines = machines_apart(plan.hardware, validation.measured);
    validation.verdict = judge_run(validation.measured, validation.numerics, validation.comparison);
    validation.reasons =
        verdict_reasons(validation.measured, validation.numerics, validation.comparison);
}

std::string across_backends(const HardwareProfile& predicted, std::string_view backend) {
    if (predicted.backend == backend) return {};
    return fmt::format("predicted for {} ({}), measured on {}", predicted.name, predicted.backend,
                       backend);
}

std::string across_machines_line(const std::string& machines) {
    return machines.empty() ? std::string() : "across machines: " + machines;
}

std::string numerics_sentence(const NumericsCheck& check) {
    return fmt::format("{}: relative difference {:.2g}, {:.0e} allowed: {}", check.what,
                       check.max_rel_diff, check.tolerance, check.pass ? "ok" : "FAILED");
}

double error_of(Seconds predicted, Seconds measured) {
    return measured.value > 0 ? predicted / measured - 1 : 0;
}

std::vector<ComparedSum> compared_sums(const Validation& validation) {
    std::map<std::string, Seconds> waits;
    for (const auto& op : validation.measured.ops) waits[op.id] = op.wait;
    std::vector<ComparedSum> sums;
    std::map<std::string, std::size_t> index;
    for (const auto& op : validation.comparison.ops) {
        auto name = op.id;
        if (name.starts_with("layers.")) name = name.substr(name.find('.', 7) + 1);
        const auto [it, inserted] = index.try_emplace(name, sums.size());
        if (inserted) sums.emplace_back().name = name;
        auto& sum = sums[it->second];
        ++sum.times;
        sum.predicted += op.predicted;
        sum.measured += op.measured;
        sum.wait += waits[op.id];
    }
    return sums;
}

Comparison compare(const Estimate& predicted, const Measured& measured) {
    Comparison comparison;
    comparison.predicted_step = predicted.step;
    comparison.interval_90 = predicted.interval_90;
    comparison.step_error = error_of(predicted.step, measured.step.median);
    std::vector<double> ratios;
    for (const auto& probe : measured.probes) {
        if (probe.then.value > 0) ratios.push_back(probe.now / probe.then);
    }
    if (!ratios.empty()) comparison.drift = quantile(ratios, 0.5);
    comparison.step_error_recalibrated =
        error_of(predicted.step * comparison.drift, measured.step.median);
    std::map<std::string_view, const OpEstimate*> by_id;
    for (const auto& op : predicted.ops) by_id.emplace(op.id, &op);
    for (const auto& op : measured.ops) {
        const auto found = by_id.find(op.id);
        if (found == by_id.end()) continue;
        const auto expected = found->second->time;
        comparison.ops.push_back({op.id, expected, op.time, error_of(expected, op.time)});
    }
    return comparison;
}

RunVerdict judge_run(const Measured& measured, const Numerics& numerics,
                     const Comparison& comparison) {
    if (!numerics.pass) return RunVerdict::numerics_failed;
    if (!noise_reasons(measured, comparison).empty()) return RunVerdict::inconclusive;
    const auto step = measured.step.median;
    const bool inside = comparison.across_machines.empty() && step >= comparison.interval_90[0] &&
                        step <= comparison.interval_90[1];
    return inside ? RunVerdict::validated : RunVerdict::out_of_interval;
}

std::vector<std::string> verdict_reasons(const Measured& measured, const Numerics& numerics,
                                         const Comparison& comparison) {
    std::vector<std::string> reasons;
    switch (judge_run(measured, numerics, comparison)) {
        case RunVerdict::numerics_failed:
            if (!numerics.ranks_agree) reasons.push_back(numerics.disagreement);
            for (const auto& check : numerics.reference) {
                if (check.pass) continue;
                reasons.push_back(numerics_sentence(check));
            }
            break;
        case RunVerdict::inconclusive:
            reasons = noise_reasons(measured, comparison);
            break;
        case RunVerdict::out_of_interval:
            reasons.push_back(
                !comparison.across_machines.empty()
                    ? comparison.across_machines +
                          fmt::format(": {}; plan with --hw this after `tplan calibrate`",
                                      kDoesNotJudge)
                    : fmt::format("the measured step of {} is outside {} to {}",
                                  format_time(measured.step.median),
                                  format_time(comparison.interval_90[0]),
                                  format_time(comparison.interval_90[1])));
            break;
        default:
            break;
    }
    return reasons;
}

}  // namespace tplan
