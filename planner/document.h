#pragma once
#include <string>
#include <vector>

#include "models/config.h"
#include "planner/decision.h"
#include "planner/mixed_plan.h"
#include "planner/prediction.h"
#include "planner/tensor_shards.h"

/// The plan as a document: everything a reader, the checker and a run need, in one JSON file.

namespace tplan {

/// A way to use the GPUs that was considered and not taken.
struct Alternative {
    int tp = 1;
    int replicas = 1;  // copies of the model side by side, each with the whole batch
    int stages = 1;    // pipeline stages, as a comparison only: tplan plans none
    bool feasible = false;
    bool fits = false;
    Nullable<Seconds> step;  // null when infeasible
    Nullable<double> tokens_per_s_per_gpu;
    std::string reason;
    static void fields(auto& self, auto&& field) {
        field("tp", self.tp);
        field("replicas", self.replicas);
        field("stages", self.stages);
        field("feasible", self.feasible);
        field("fits", self.fits);
        field("step_s", self.step);
        field("tokens_per_s_per_gpu", self.tokens_per_s_per_gpu);
        field("reason", self.reason);
    }
    bool operator==(const Alternative&) const = default;
};

/// The plan that transformers would run at the same degree, beside tplan's own.
struct HfComparison {
    bool feasible = false;
    std::string reason;  // why not feasible, or why it does not fit; else empty
    Nullable<Seconds> step;
    Nullable<bool> fits;
    std::vector<std::string> differences;  // parameters cut otherwise, collectives
    static void fields(auto& self, auto&& field) {
        field("feasible", self.feasible);
        field("reason", self.reason);
        field("step_s", self.step);
        field("fits", self.fits);
        field("differences", self.differences);
    }
    bool operator==(const HfComparison&) const = default;
};

/// `tplan.plan/1`. `layout` stands where tplan chose the layout itself, with `certificate` and `hf`
/// unless the plan is of training; `decision` where it chose the degree; `shares` on two kinds of
/// device.
struct PlanDocument {
    std::string schema = "tplan.plan/1";
    std::string model_source;
    Json model;                   // the configuration itself
    std::string hardware_source;  // the profile's name or file, or "this"
    HardwareProfile hardware;
    PlanRequest request;
    Workload workload;
    int tp = 1;
    Mesh mesh;
    std::vector<TensorShards> tensors;
    Program program;
    Estimate predicted;
    std::string why;
    std::vector<Alternative> alternatives;
    std::optional<std::vector<BlockLayout>> layout;
    std::optional<Certificate> certificate;
    std::optional<HfComparison> hf;
    std::optional<DegreeDecision> decision;
    std::optional<SharesDecision> shares;
    std::vector<std::string> diagnostics;

    static void fields(auto& self, auto&& field) {
        field("schema", self.schema);
        field("model_source", self.model_source);
        field("model", self.model);
        field("hardware_source", self.hardware_source);
        field("hardware", self.hardware);
        field("request", self.request);
        field("workload", self.workload);
        field("tp", self.tp);
        field("mesh", self.mesh);
        field("tensors", self.tensors);
        field("program", self.program);
        field("predicted", self.predicted);
        field("why", self.why);
        field("alternatives", self.alternatives);
        field("layout", self.layout);
        field("certificate", self.certificate);
        field("hf", self.hf);
        field("decision", self.decision);
        field("shares", self.shares);
        field("diagnostics", self.diagnostics);
    }
    bool operator==(const PlanDocument&) const = default;
};

/// What every plan document says of its premises, its shards and its program, whose collective
/// steps name the algorithm that their price assumes. The prediction and its reasons stay empty.
PlanDocument document_of(const ModelConfig& config, const HardwareProfile& hardware,
                         const PlanRequest& request, const Mesh& mesh,
                         const PlannedProgram& planned);

/// Adds to the diagnostics what plan, configuration and graph have to say.
void append_notes(PlanDocument& document, const ModelConfig& config, const PlannedProgram& planned);

/// What transformers would make of the same degree: its program, or why there is none.
HfComparison compare_with_hf(const Program& own, const std::optional<Program>& hf,
                             const Feasibility& feasibility, const HardwareProfile& hardware,
                             const CostOptions& cost, const Workload& workload);

/// Plan, program and prediction for one request, or why there is none.
struct PlanResult {
    std::optional<PlanDocument> document;
    Feasibility feasibility;                // of the requested degree, or of the last one weighed
    std::vector<Alternative> alternatives;  // every degree weighed and not taken
};

/// Makes the plan: for training as make_training_document() says; else the requested degree, or the
/// best of 1..gpus for the objective within the bounds; says why and lists the rejected degrees
/// with reasons. On a group of two kinds it is plan_mixed()'s. Throws Error for a degree above
/// nodes x devices and for a configuration that carries a device_map.
PlanResult make_plan_document(const ModelConfig& config, const HardwareProfile& hardware,
                              const PlanRequest& request);

}  // namespace tplan
