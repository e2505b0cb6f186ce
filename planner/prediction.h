#pragma once
#include <string>
#include <vector>

#include "cost_model/estimate.h"
#include "cost_model/train_price.h"
#include "planner/planned_program.h"

/// Programs priced in full, for documents and readers.

namespace tplan {

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
    std::optional<TrainingParts> parts;         // likewise
    std::optional<Shares> shares;               // on two kinds of device, with `kinds`
    std::optional<std::vector<KindUse>> kinds;  // `memory` is the tighter one's

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
        field("shares", self.shares);
        field("kinds", self.kinds);
    }
    bool operator==(const Estimate&) const = default;
};

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

}  // namespace tplan
