#include "app/validated.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include "core/files.h"
#include "core/statistics.h"

namespace tplan {
namespace {

constexpr double kMinCleanFraction = 0.5;
constexpr double kMaxMedianOverP10 = 1.15;
constexpr double kMaxDrift = 0.10;
constexpr std::array kValidationKeys = {"measured", "numerics", "comparison", "verdict"};
constexpr const char* kLastSteps = "last_steps";  // only in a run that was cut short

/// The text under "schema"; empty when there is none.
std::string named_schema(const Json& document) {
    if (!document.is_object()) return {};
    const auto found = document.find("schema");
    return found != document.end() && found->is_string() ? found->get<std::string>() : "";
}

double error_of(Seconds predicted, Seconds measured) {
    return measured.value > 0 ? predicted / measured - 1 : 0;
}

/// Measured times as a file has them: beyond these a quotient of two would not be a number.
void require_times(const Measured& measured, const std::string& where) {
    constexpr double kShortest = 1e-12, kLongest = 1e9;
    const auto check = [&](Seconds time, const std::string& path) {
        if (time.value == 0 || (time.value >= kShortest && time.value <= kLongest)) return;
        throw Error(where + "/measured/" + path, fmt::format("{} s is out of range", time.value),
                    fmt::format("0, or {} to {} s was expected", kShortest, kLongest));
    };
    for (std::size_t i = 0; i < measured.step_samples.size(); ++i)
        check(measured.step_samples[i].time, fmt::format("step_samples/{}/time_s", i));
    for (std::size_t i = 0; i < measured.ops.size(); ++i)
        check(measured.ops[i].time, fmt::format("ops/{}/time_s", i));
    check(measured.step_tp1.median, "step_tp1_s/median");
    for (std::size_t i = 0; i < measured.probes.size(); ++i) {
        check(measured.probes[i].now, fmt::format("probes/{}/now_s", i));
        check(measured.probes[i].then, fmt::format("probes/{}/then_s", i));
    }
}

/// Buffers that a section reads before it writes them.
std::vector<int> carried_into(const Section& section) {
    std::vector<int> carried, written;
    for (const auto& step : section.steps) {
        for (const int b : step.inputs) {
            if (!std::ranges::count(written, b) && !std::ranges::count(carried, b))
                carried.push_back(b);
        }
        written.insert(written.end(), step.outputs.begin(), step.outputs.end());
    }
    return carried;
}

/// Does `next` begin with what `section` leaves with its last step, or anywhere before the
/// layers?
bool hands_on(const Section& section, const Section& next, bool layer) {
    std::vector<int> left;
    for (const auto& step : section.steps) {
        if (layer) left.clear();
        left.insert(left.end(), step.outputs.begin(), step.outputs.end());
    }
    return std::ranges::all_of(carried_into(next),
                               [&](int buffer) { return std::ranges::count(left, buffer) > 0; });
}

/// Names of the parameters a section works with: layers of one kind have the same.
std::vector<std::string> parameters_of(const Program& program, const Section& section) {
    std::vector<std::string> names;
    for (const auto& step : section.steps) {
        for (const auto& weight : step.weights)
            names.push_back(program.tensors[static_cast<std::size_t>(weight.tensor)].name);
    }
    return names;
}

/// The last layer may lie otherwise than those before it (the head needs every row on every
/// rank): a program cut short ends with the layout of its kind that the head can begin with.
void end_as_the_head_begins(Program& program) {
    if (program.order.size() < 3) return;
    const auto section = [&](std::size_t place) -> const Section& {
        return program.sections[static_cast<std::size_t>(program.order[place])];
    };
    const auto last = program.order.size() - 2;
    const auto& head = section(last + 1);
    if (hands_on(section(last), head, true)) return;
    const auto kind = parameters_of(program, section(last));
    for (std::size_t s = 0; s < program.sections.size(); ++s) {
        const auto& other = program.sections[s];
        const auto place = static_cast<int>(s);
        const bool layer = place != program.order.front() && place != program.order.back();
        if (!layer || parameters_of(program, other) != kind || !hands_on(other, head, true) ||
            !hands_on(section(last - 1), other, last > 1))
            continue;
        program.order[last] = static_cast<int>(s);
        return;
    }
    throw Error("--layers", fmt::format("the plan cannot be cut to {} layers", last),
                "its last layer lies otherwise than the first ones: give more layers");
}

}  // namespace

void derive(const PlanDocument& plan, Validation& validation) {
    auto& measured = validation.measured;
    measured.samples = static_cast<int>(measured.step_samples.size());
    measured.clean_fraction = clean_fraction(measured.step_samples);
    measured.step = spread_of(measured.step_samples);
    measured.ranks = plan.tp;
    measured.speedup_vs_tp1 = plan.tp == 1 ? 1.0
                              : measured.step.median.value > 0
                                  ? measured.step_tp1.median / measured.step.median
                                  : 0;
    auto& numerics = validation.numerics;
    numerics.max_abs_diff = numerics.max_rel_diff = numerics.tolerance = 0;
    numerics.pass = numerics.ranks_agree && !numerics.reference.empty();
    for (auto& check : numerics.reference) {
        check.pass = check.max_rel_diff <= check.tolerance;
        numerics.max_abs_diff = std::max(numerics.max_abs_diff, check.max_abs_diff);
        numerics.max_rel_diff = std::max(numerics.max_rel_diff, check.max_rel_diff);
        numerics.tolerance = std::max(numerics.tolerance, check.tolerance);
        numerics.pass = numerics.pass && check.pass;
    }
    validation.comparison = compare(estimate_of_layers(plan, measured.layers), measured);
    validation.verdict = judge_run(measured, numerics, validation.comparison);
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
    const bool noisy = measured.clean_fraction < kMinCleanFraction ||
                       measured.step.median > measured.step.p10 * kMaxMedianOverP10 ||
                       std::abs(comparison.drift - 1) > kMaxDrift;
    if (noisy) return RunVerdict::inconclusive;
    const auto step = measured.step.median;
    const bool inside = step >= comparison.interval_90[0] && step <= comparison.interval_90[1];
    return inside ? RunVerdict::validated : RunVerdict::out_of_interval;
}

Program first_layers(const Program& program, int layers) {
    auto cut = program;
    cut.order.clear();
    cut.order_layer.clear();
    for (std::size_t i = 0; i < program.order.size(); ++i) {
        if (program.order_layer[i] >= layers) continue;
        cut.order.push_back(program.order[i]);
        cut.order_layer.push_back(program.order_layer[i]);
    }
    end_as_the_head_begins(cut);
    for (auto& section : cut.sections) section.layers.clear();
    for (std::size_t i = 0; i < cut.order.size(); ++i)
        cut.sections[static_cast<std::size_t>(cut.order[i])].layers.push_back(cut.order_layer[i]);
    return cut;
}

Estimate estimate_of_layers(const PlanDocument& plan, int layers) {
    auto options = plan.request.plan;
    options.tp = plan.tp;
    return make_estimate(plan.model_source, first_layers(plan.program, layers), plan.hardware,
                         options, plan.request.cost, plan.workload);
}

Json write_validated(const PlanDocument& plan, const Validation& validation) {
    auto document = to_json(plan);
    document["schema"] = kValidatedSchema;
    document.update(to_json(validation));
    return document;
}

PlanFile read_plan_file(const std::string& path) {
    return take_apart(load_json(path), path);
}

PlanFile take_apart(Json document, const std::string& where) {
    PlanFile file{std::move(document), {}};
    if (named_schema(file.plan) != kValidatedSchema) return file;
    auto extra = Json::object();
    for (const auto* key : kValidationKeys) {
        if (!file.plan.contains(key))
            throw Error(where + "/" + key, "missing key", "make the file again with `tplan run`");
        extra[key] = file.plan[key];
        file.plan.erase(key);
    }
    if (file.plan.contains(kLastSteps)) {
        extra[kLastSteps] = file.plan[kLastSteps];
        file.plan.erase(kLastSteps);
    }
    file.plan["schema"] = PlanDocument{}.schema;
    file.validation = from_json<Validation>(extra, where);
    return file;
}

bool is_plan_file(const std::string& path) {
    std::error_code ignored;
    if (!std::filesystem::is_regular_file(path, ignored)) return false;
    const auto schema = named_schema(load_json(path));
    return schema == PlanDocument{}.schema || schema == kValidatedSchema;
}

CheckReport check_file(const std::string& path) {
    return check_plan_file(read_plan_file(path), path);
}

CheckReport check_plan_file(const PlanFile& file, const std::string& where) {
    CheckReport report;
    report.file = where;
    report.differences = check_plan(file.plan, where);
    if (file.validation && report.differences.empty()) {
        const auto plan = read_plan(file.plan, where);
        require_times(file.validation->measured, where);
        auto expected = *file.validation;
        derive(plan, expected);
        // What cut a run short is in none of its numbers.
        if (file.validation->verdict == RunVerdict::failed) expected.verdict = RunVerdict::failed;
        report.differences = compare_json(to_json(*file.validation), to_json(expected), 50);
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
    const auto& first = report.differences.front();
    return fmt::format(
        "{}: {} values differ, the first at {}: found {}, expected {}; make the plan again with "
        "`tplan plan`",
        report.file, report.differences.size(), first.path, first.found, first.expected);
}

std::string validation_text(const PlanDocument& plan, const Validation& validation) {
    const auto& measured = validation.measured;
    const auto& comparison = validation.comparison;
    auto text = fmt::format("{}: TP {} on {} ({} layers, {} repetitions, {} clean)\n\n",
                            plan.model_source, plan.tp, measured.backend, measured.layers,
                            measured.samples, format_percent(measured.clean_fraction));
    text += format_table(
        {{"step", "time", "note"},
         {"predicted", format_time(comparison.predicted_step),
          fmt::format("90 % interval {} to {}, {}", format_time(comparison.interval_90[0]),
                      format_time(comparison.interval_90[1]), name_of(plan.predicted.provenance))},
         {"measured", format_time(measured.step.median),
          fmt::format("p10 {}, p90 {}", format_time(measured.step.p10),
                      format_time(measured.step.p90))},
         {"error", format_percent(comparison.step_error),
          fmt::format("{} with the machine's drift of {:.3f} taken out",
                      format_percent(comparison.step_error_recalibrated), comparison.drift)},
         {"speedup", fmt::format("{:.2f}x", measured.speedup_vs_tp1), "measured, over one rank"}});
    struct Row {
        int count = 0;
        Seconds predicted, measured, wait;
    };
    std::map<std::string, Seconds> waits;
    for (const auto& op : measured.ops) waits[op.id] = op.wait;
    std::vector<std::string> order;
    std::map<std::string, Row> rows;
    for (const auto& op : comparison.ops) {
        auto name = op.id;
        if (name.starts_with("layers.")) name = name.substr(name.find('.', 7) + 1);
        const auto [it, inserted] = rows.try_emplace(name);
        if (inserted) order.push_back(name);
        ++it->second.count;
        it->second.predicted += op.predicted;
        it->second.measured += op.measured;
        it->second.wait += waits[op.id];
    }
    std::vector<std::vector<std::string>> table{
        {"op", "times", "predicted", "measured", "error", "waited for peers"}};
    for (const auto& name : order) {
        const auto& row = rows[name];
        table.push_back(
            {name, std::to_string(row.count), format_time(row.predicted), format_time(row.measured),
             format_percent(error_of(row.predicted, row.measured)), format_time(row.wait)});
    }
    text += "\n" + format_table(table) + "\n";
    for (const auto& check : validation.numerics.reference) {
        text += fmt::format("numerics: {}: {:.2g} of the largest value, {:.0e} allowed: {}\n",
                            check.what, check.max_rel_diff, check.tolerance,
                            check.pass ? "ok" : "FAILED");
    }
    text += fmt::format("ranks {} bitwise after every all-reduce\n",
                        validation.numerics.ranks_agree ? "agree" : "DO NOT agree");
    text += fmt::format("verdict: {}\n", name_of(validation.verdict));
    return text;
}

}  // namespace tplan
