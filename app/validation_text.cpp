// The comparison of a run for a terminal.
#include "app/validated.h"

namespace tplan {
namespace {

/// One row per op, its layers together.
std::string ops_text(const Validation& validation) {
    std::vector<std::vector<std::string>> table{
        {"op", "times", "predicted", "measured", "error", "waited for peers"}};
    for (const auto& op : compared_sums(validation)) {
        table.push_back(
            {op.name, std::to_string(op.times), format_time(op.predicted), format_time(op.measured),
             format_percent(error_of(op.predicted, op.measured)), format_time(op.wait)});
    }
    return "\n" + format_table(table) + "\n";
}

}  // namespace

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
    if (!comparison.across_machines.empty())
        text += across_machines_line(comparison.across_machines) + "\n";
    text += ops_text(validation);
    for (const auto& check : validation.numerics.reference) {
        text += "numerics: " + numerics_sentence(check) + "\n";
    }
    text += fmt::format("ranks {} bitwise after every all-reduce\n",
                        validation.numerics.ranks_agree ? "agree" : "DO NOT agree");
    text += fmt::format("verdict: {}\n", name_of(validation.verdict));
    for (const auto& reason : validation.reasons) text += "  " + reason + "\n";
    return text;
}

}  // namespace tplan
