// The checker of plan files: a plan from its configuration and profile (planner/check.h), what a
// run adds from its own samples.
#include "app/validated_check.h"
#include "app/first_layers.h"
#include "app/plan_file.h"

#include <algorithm>

namespace tplan {
namespace {

/// Measured times as a file has them: beyond these a quotient of two would not be a number.
struct TimeCheck {
    std::vector<Difference> differences;

    void time(Seconds time, const std::string& path) {
        constexpr double kShortest = 1e-12, kLongest = 1e9;
        if (time.value == 0 || (time.value >= kShortest && time.value <= kLongest)) return;
        if (differences.size() >= kMostDifferences) return;
        differences.push_back({"measured/" + path, fmt::format("{} s", time.value),
                               fmt::format("0, or {} to {} s", kShortest, kLongest)});
    }
    void samples(const std::vector<TimedSample>& samples, const std::string& path) {
        for (std::size_t i = 0; i < samples.size(); ++i)
            time(samples[i].time, fmt::format("{}/{}/time_s", path, i));
    }
    void times(const std::vector<Seconds>& times, const std::string& path) {
        for (std::size_t i = 0; i < times.size(); ++i)
            time(times[i], fmt::format("{}/{}", path, i));
    }
};

std::vector<Difference> impossible_times(const Measured& measured) {
    TimeCheck check;
    check.samples(measured.step_samples, "step_samples");
    check.samples(measured.step_tp1_samples, "step_tp1_samples");
    for (std::size_t i = 0; i < measured.op_samples.size(); ++i) {
        check.times(measured.op_samples[i].times, fmt::format("op_samples/{}/times_s", i));
        check.times(measured.op_samples[i].waits, fmt::format("op_samples/{}/waits_s", i));
    }
    for (std::size_t i = 0; i < measured.probes.size(); ++i)
        check.samples(measured.probes[i].samples, fmt::format("probes/{}/samples", i));
    return std::move(check.differences);
}

int layers_of(const PlanDocument& plan) {
    return 1 + *std::ranges::max_element(plan.program.order_layer);
}

/// What must hold before anything can be derived: the steps of as many layers as were measured, and
/// as many samples of each as there were repetitions.
std::vector<Difference> wrong_counts(const PlanDocument& plan, const Validation& validation) {
    const auto& measured = validation.measured;
    const auto differ = [](std::string path, auto found, std::string expected) {
        return std::vector<Difference>{
            {"measured/" + path, std::to_string(found), std::move(expected)}};
    };
    const int most = layers_of(plan);
    if (measured.layers < 0 || measured.layers > most)
        return differ("layers", measured.layers, fmt::format("0 to {}", most));
    if (measured.op_samples.empty() && measured.step_samples.empty()) return {};
    const auto steps = estimate_of_layers(plan, measured.layers).ops;
    if (measured.op_samples.size() != steps.size())
        return differ("layers", measured.layers,
                      fmt::format("the layers of the {} steps that were measured",
                                  measured.op_samples.size()));
    for (std::size_t i = 0; i < measured.op_samples.size(); ++i) {
        const auto& op = measured.op_samples[i];
        if (op.id != steps[i].id)
            return {{fmt::format("measured/op_samples/{}/id", i), op.id, steps[i].id}};
        const auto count = measured.step_samples.size();
        if (op.times.size() == count && op.waits.size() == count && op.clean.size() == count)
            continue;
        return differ(fmt::format("op_samples/{}", i), op.times.size(),
                      fmt::format("{} samples, one for every repetition", count));
    }
    return {};
}

std::vector<Difference> check_validation(const PlanDocument& plan, const Validation& validation) {
    if (auto wrong = impossible_times(validation.measured); !wrong.empty()) return wrong;
    if (auto wrong = wrong_counts(plan, validation); !wrong.empty()) return wrong;
    auto expected = validation;
    derive(plan, expected);
    if (validation.verdict == RunVerdict::failed) {  // what cut it short is not in its samples
        expected.verdict = RunVerdict::failed;
        expected.reasons = validation.reasons;
    }
    return compare_json(to_json(validation), to_json(expected), kMostDifferences);
}

}  // namespace

CheckReport check_file(const std::string& path) {
    auto document = load_json(path);
    try {
        return check_plan_file(take_apart(std::move(document), path), path);
    } catch (const OutOfRange& error) {
        return {.file = path, .ok = false, .differences = {edit_of(error, path)}};
    }
}

CheckReport check_plan_file(const PlanFile& file, const std::string& where) {
    CheckReport report;
    report.file = where;
    report.differences = check_plan(file.plan, where);
    if (file.validation && report.differences.empty()) {
        try {
            report.differences = check_validation(read_plan(file.plan, where), *file.validation);
        } catch (const Error& error) {  // everything has been read: numbers that do not go together
            report.differences = {edit_of(error, where)};
        }
    }
    report.ok = report.differences.empty();
    return report;
}

std::string check_text(const CheckReport& report) {
    if (report.ok) return report.file + ": everything recomputes to the same\n";
    std::string text;
    for (const auto& difference : report.differences) {
        text += fmt::format("{}: found {}, expected {}\n", difference.path, difference.found,
                            difference.expected);
    }
    return text;
}

std::string check_refusal(const CheckReport& report) {
    return fmt::format("{}: {}; make the plan again with `tplan plan`", report.file,
                       first_of(report.differences));
}

}  // namespace tplan
