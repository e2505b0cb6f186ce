#pragma once
#include <string>
#include <vector>

#include "planner/document.h"

/// The answer is no: one document and one line for every command that was asked for a degree.

namespace tplan {

/// `tplan.refusal/1`.
struct Refusal {
    std::string schema = "tplan.refusal/1";
    std::string model;
    Nullable<int> tp;    // the degree asked for; null when one was to be chosen
    Nullable<int> gpus;  // up to so many
    bool feasible = false;
    std::vector<Violation> violations;
    std::vector<std::string> remedies, notes;
    std::vector<int> working_degrees;       // of 1..16, before memory and bounds are looked at
    std::vector<Alternative> alternatives;  // degrees that were weighed, with reasons
    static void fields(auto& self, auto&& field) {
        field("schema", self.schema);
        field("model", self.model);
        field("tp", self.tp);
        field("gpus", self.gpus);
        field("feasible", self.feasible);
        field("violations", self.violations);
        field("remedies", self.remedies);
        field("notes", self.notes);
        field("working_degrees", self.working_degrees);
        field("alternatives", self.alternatives);
    }
};

/// Why what was asked for does not work for the model. Requires a feasibility that is not feasible.
Refusal refuse(const ModelConfig& config, const PlanRequest& request,
               const Feasibility& feasibility);

/// On one line: model and degree, every violation, the remedies, the degrees that work.
std::string refusal_text(const Refusal& refusal);

}  // namespace tplan
