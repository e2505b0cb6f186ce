#pragma once
#include <string>
#include <vector>

#include "planner/tensor_shards.h"

/// `tplan inspect` and `tplan models`: verdict, plan, parameters and shards of one model.

namespace tplan {

/// One degree of an inspection.
struct InspectDegree {
    int tp = 1;
    bool feasible = true;
    bool certain = true;  // false: a size is not known, and nothing known forbids the degree
    std::vector<Violation> violations;
    std::vector<std::string> remedies, notes;
    Nullable<double> weight_bytes_per_rank;  // null without a graph
    std::vector<TensorShards>
        tensors;  // as transformers cuts them, also when the degree then fails
    static void fields(auto& self, auto&& field) {
        field("tp", self.tp);
        field("feasible", self.feasible);
        field("certain", self.certain);
        field("violations", self.violations);
        field("remedies", self.remedies);
        field("notes", self.notes);
        field("weight_bytes_per_rank", self.weight_bytes_per_rank);
        field("tensors", self.tensors);
    }
};

/// `tplan.inspect/1`.
struct InspectDocument {
    std::string schema = "tplan.inspect/1";
    std::string model;
    std::string model_type;
    SupportsTp supports_tp = SupportsTp::no;
    std::string reason;
    Nullable<TpPlan> base_model_tp_plan;
    Nullable<std::string> lm_head;
    Nullable<std::int64_t> parameters;  // null without a graph
    Nullable<double> weight_bytes;
    bool by_hand = false;              // the plan judged was given by hand,
    Nullable<TpPlan> tp_plan;          // and is this one
    std::vector<int> working_degrees;  // of 1..16
    std::vector<InspectDegree> tp;
    std::vector<std::string> notes;
    static void fields(auto& self, auto&& field) {
        field("schema", self.schema);
        field("model", self.model);
        field("model_type", self.model_type);
        field("supports_tp", self.supports_tp);
        field("reason", self.reason);
        field("base_model_tp_plan", self.base_model_tp_plan);
        field("lm_head", self.lm_head);
        field("parameters", self.parameters);
        field("weight_bytes", self.weight_bytes);
        field("by_hand", self.by_hand);
        field("tp_plan", self.tp_plan);
        field("working_degrees", self.working_degrees);
        field("tp", self.tp);
        field("notes", self.notes);
    }
};

/// Judges every degree asked for under transformers' own plan of that version (or one given by
/// hand). Throws Error for a type that neither transformers nor tplan knows.
InspectDocument inspect(const ModelConfig& config, const std::vector<int>& degrees,
                        Transformers version, const std::optional<TpPlan>& tp_plan);

/// The inspection for a terminal: verdict, plan, one line per parameter pattern, degrees.
std::string inspect_text(const InspectDocument& document, const ModelConfig& config);

/// Why the answer is no, on one line: no TP plan at all, or (`asked`: the user named the degrees)
/// the first degree that does not work; empty when it is yes.
std::string inspect_refusal(const InspectDocument& document, bool asked);

/// One row of `tplan models`.
struct ModelRow {
    std::string name, model_type;
    std::int64_t parameters = 0, layers = 0, hidden = 0, heads = 0, kv_heads = 0;
    SupportsTp supports_tp = SupportsTp::no;
    std::vector<int> working_degrees;
    static void fields(auto& self, auto&& field) {
        field("name", self.name);
        field("model_type", self.model_type);
        field("parameters", self.parameters);
        field("layers", self.layers);
        field("hidden", self.hidden);
        field("heads", self.heads);
        field("kv_heads", self.kv_heads);
        field("supports_tp", self.supports_tp);
        field("working_degrees", self.working_degrees);
    }
};

/// `tplan.models/1`: all presets.
struct ModelsDocument {
    std::string schema = "tplan.models/1";
    std::vector<ModelRow> models;
    static void fields(auto& self, auto&& field) {
        field("schema", self.schema);
        field("models", self.models);
    }
};

/// Every preset with its verdict and the degrees 1..16 that work under transformers' own plan.
ModelsDocument list_models();

/// The presets as a table.
std::string models_text(const ModelsDocument& document);

}  // namespace tplan
