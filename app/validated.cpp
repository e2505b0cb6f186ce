#include "app/validated.h"

#include <algorithm>
#include <map>

#include "core/files.h"

namespace tplan {
namespace {

constexpr double kMinCleanFraction = 0.5;
constexpr double kMaxMedianOverP10 = 1.15;
constexpr double kMaxDrift = 0.10;
constexpr std::string_view kValidatedSchema = "tplan.validated/1";
constexpr std::array kValidationKeys = {"measured", "numerics", "comparison", "verdict"};
constexpr const char* kLastSteps = "last_steps";  // only in a run that was cut short

double error_of(Seconds predicted, Seconds measured) {
    return measured.value > 0 ? predicted / measured - 1 : 0;
}

}  // namespace

void derive(const PlanDocument& plan, Validation& validation) {
    auto& measured = validation.measured;
    measured.samples = static_cast<int>(measured.step_samples.size());
    measured.clean_fraction = clean_fraction(measured.step_samples);
    measured.step = spread_of(measured.step_samples);
    measured.ranks = plan.tp;
    measured.speedup_vs_tp1 = 0;  // of a run without repetitions
    if (measured.step.median.value > 0)
        measured.speedup_vs_tp1 =
            plan.tp == 1 ? 1.0 : measured.step_tp1.median / measured.step.median;
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
    for (const auto& probe : measured.probes) ratios.push_back(probe.now / probe.then);
    std::ranges::sort(ratios);
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
    for (auto& section : cut.sections)
        std::erase_if(section.layers, [&](int layer) { return layer >= layers; });
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
    PlanFile file{load_json(path), {}};
    const auto schema = file.plan.is_object() ? file.plan.find("schema") : file.plan.end();
    if (schema == file.plan.end() || !file.plan.is_object() || *schema != kValidatedSchema)
        return file;
    auto extra = Json::object();
    for (const auto* key : kValidationKeys) {
        if (!file.plan.contains(key))
            throw Error(path + "/" + key, "missing key", "make the file again with `tplan run`");
        extra[key] = file.plan[key];
        file.plan.erase(key);
    }
    if (file.plan.contains(kLastSteps)) {
        extra[kLastSteps] = file.plan[kLastSteps];
        file.plan.erase(kLastSteps);
    }
    file.plan["schema"] = "tplan.plan/1";
    file.validation = from_json<Validation>(extra, path);
    return file;
}

CheckReport check_file(const std::string& path) {
    const auto file = read_plan_file(path);
    CheckReport report;
    report.file = path;
    report.differences = check_plan(file.plan, path);
    if (file.validation && report.differences.empty()) {
        const auto plan = read_plan(file.plan, path);
        auto expected = *file.validation;
        derive(plan, expected);
        // What cut a run short is in none of its numbers.
        if (file.validation->verdict == RunVerdict::failed) expected.verdict = RunVerdict::failed;
        report.differences = compare_json(to_json(*file.validation), to_json(expected), 50);
    }
    report.ok = report.differences.empty();
    return report;
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
