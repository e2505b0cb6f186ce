#include "app/refusal.h"

namespace tplan {

Refusal refuse(const ModelConfig& config, const PlanRequest& request,
               const Feasibility& feasibility) {
    auto options = request.plan;
    if (request.training) options.layout = LayoutChoice::hf;  // copies of heads are not trained
    Refusal refusal;
    refusal.model = config.source;
    refusal.tp.value = options.tp;
    refusal.violations = feasibility.violations;
    refusal.remedies = feasibility.remedies;
    refusal.notes = feasibility.notes;
    refusal.working_degrees =
        working_degrees(config, tp_verdict(config, options.transformers), options);
    return refusal;
}

std::string refusal_text(const Refusal& refusal) {
    auto text = refusal.model + ": ";
    if (refusal.tp.value) {
        text += fmt::format("TP {} does not work: ", *refusal.tp.value);
    } else if (refusal.gpus.value) {
        text += fmt::format("none of TP 1 to {} works: ", *refusal.gpus.value);
    }
    bool of_sizes = false;  // rather than of memory or a bound
    for (const auto& violation : refusal.violations) {
        text += fmt::format("{}: {} ({}); ", violation.code, violation.message, violation.have);
        of_sizes =
            of_sizes || (violation.code != "does_not_fit" && violation.code != "bound_not_met");
    }
    if (!refusal.remedies.empty()) text += "remedies: " + join(refusal.remedies, ", ") + "; ";
    if (of_sizes)
        return text + fmt::format("degrees that work: {}", fmt::join(refusal.working_degrees, " "));
    text.resize(text.size() - 2);
    return text;
}

}  // namespace tplan
