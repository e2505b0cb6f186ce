#pragma once
#include <string>
#include <vector>

#include "cost_model/estimate.h"
#include "cost_model/train_price.h"
#include "models/config.h"
#include "planner/decision.h"
#include "planner/planned_program.h"

/// The plan as a document: everything a reader, the checker and a run need, in one JSON file.

namespace tplan {

/// A contiguous box of a tensor.
struct ShardPiece {
    std::vector<std::int64_t> shape;
    std::vector<std::int64_t> offset;
    static void fields(auto& self, auto&& field) {
        field("shape", self.shape);
        field("offset", self.offset);
    }
    bool operator==(const ShardPiece&) const = default;
};

/// What one rank holds: one piece, two when packed, none when empty.
struct RankShard {
    int rank = 0;
    std::vector<ShardPiece> pieces;
    static void fields(auto& self, auto&& field) {
        field("rank", self.rank);
        field("pieces", self.pieces);
    }
    bool operator==(const RankShard&) const = default;
};

/// One parameter and its shards.
struct TensorShards {
    std::string name;
    std::optional<std::vector<std::string>> checkpoint_names;  // the pattern on disk, if another
    std::vector<std::int64_t> shape;
    DType dtype = DType::bf16;
    std::string style;
    std::vector<RankShard> shards;
    static void fields(auto& self, auto&& field) {
        field("name", self.name);
        field("checkpoint_names", self.checkpoint_names);
        field("shape", self.shape);
        field("dtype", self.dtype);
        field("style", self.style);
        field("shards", self.shards);
    }
    bool operator==(const TensorShards&) const = default;
};

/// Every parameter of the model, one entry per layer, with its shards; tied parameters stand once,
/// as the embedding.
std::vector<TensorShards> shard_tensors(const Model& model, const Plan& plan);

/// Bytes of weights on the fullest rank; tied parameters once.
double weight_bytes_per_rank(const Model& model, const Plan& plan);

/// The prediction for one program and workload (`tplan.estimate/1`; `predicted` of a plan).
struct Estimate {
    std::string schema = "tplan.estimate/1";
    std::string model, hardware;
    int tp = 1;
    std::string link;  // that the collectives run over; one rank: as asked, or empty
    Workload workload;
    CostOptions options;  // the collectives named, also where the default prices them
    LayoutChoice layout = LayoutChoice::best;
    Kernels kernels = Kernels::served;
    Sampling sampling = Sampling::logits;
    Seconds step;
    std::array<Seconds, 2> interval_90;
    Nullable<Seconds> ttft_isolated;  // prefill: the step itself; null in decode
    Nullable<Seconds> tpot_isolated;  // decode: the step itself; null in prefill
    Seconds layer, compute, collective, exposed_collective, launch;
    double tokens_per_s = 0;
    Provenance provenance = Provenance::datasheet;  // the weakest
    Named<double> provenance_shares;                // of the time of `ops`, strongest first
    Domain domain = Domain::datasheet_only;
    std::vector<OpEstimate> ops;
    MemoryUse memory;
    std::vector<std::string> notes;
    std::optional<Training> training;  // phase train: `ops` are of one micro-batch, and the update
    std::optional<TrainingParts> parts;  // likewise

    static void fields(auto& self, auto&& field) {
        field("schema", self.schema);
        field("model", self.model);
        field("hardware", self.hardware);
        field("tp", self.tp);
        field("link", self.link);
        field("workload", self.workload);
        field("training", self.training);
        field("options", self.options);
        field("layout", self.layout);
        field("kernels", self.kernels);
        field("sampling", self.sampling);
        field("step_s", self.step);
        field("interval_90_s", self.interval_90);
        field("ttft_isolated_s", self.ttft_isolated);
        field("tpot_isolated_s", self.tpot_isolated);
        field("layer_s", self.layer);
        field("compute_s", self.compute);
        field("collective_s", self.collective);
        field("exposed_collective_s", self.exposed_collective);
        field("launch_s", self.launch);
        field("tokens_per_s", self.tokens_per_s);
        field("provenance", self.provenance);
        field("provenance_shares", self.provenance_shares);
        field("domain", self.domain);
        field("ops", self.ops);
        field("memory", self.memory);
        field("notes", self.notes);
        field("parts", self.parts);
    }
    bool operator==(const Estimate&) const = default;
};

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
/// unless the plan is of training; `decision` where it chose the degree.
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

/// Prices a program in full, one of training_program() with its `training`. `model` names it in the
/// document.
Estimate make_estimate(const std::string& model, const Program& program,
                       const HardwareProfile& hardware, const PlanOptions& options,
                       const CostOptions& cost, const Workload& workload,
                       const std::optional<Training>& training = {});

/// The same for a planned degree: with the largest batch and context of the degree, whatever layout
/// they need (search_layout()).
Estimate make_estimate(const std::string& model, const PlannedProgram& planned,
                       const HardwareProfile& hardware, const PlanOptions& options,
                       const CostOptions& cost, const Workload& workload);

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
/// with reasons. Throws Error for a degree above nodes x devices and for a configuration that
/// carries a device_map.
PlanResult make_plan_document(const ModelConfig& config, const HardwareProfile& hardware,
                              const PlanRequest& request);

}  // namespace tplan
