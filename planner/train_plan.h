#pragma once
#include "planner/document.h"

/// Plans of training: a layout, the mesh that was asked for, the step as a program, its price.

namespace tplan {

/// The model that a request plans: in training every position goes through the head.
Model planned_model(const ModelConfig& config, const PlanRequest& request);

/// A training step with what it was made from.
struct PlannedTraining {
    PlannedProgram planned;  // `program` is the whole step; `totals` are of the mesh; no proof
    std::string link;
    std::vector<std::string> substitutes;  // what was priced as something else
    std::vector<std::string> notes;        // how it was planned, what its times leave out
};

/// `training` is absent where the degree does not work; `feasibility` says why.
struct TrainingResult {
    std::optional<PlannedTraining> training;
    Feasibility feasibility;
};

/// Plans the layout that `request.plan` asks for. Layouts of training are not searched: `best` is
/// the faster of transformers' own and of the one that is fastest forward, and a note says so.
/// Requires a graph and `request.training`. Throws Error for a mesh beyond nodes x devices and as
/// compile() does.
TrainingResult plan_training(const ModelConfig& config, const HardwareProfile& hardware,
                             const PlanRequest& request);

/// The estimate of a planned step.
Estimate training_estimate(const std::string& model, const PlannedTraining& planned,
                           const HardwareProfile& hardware, const PlanRequest& request);

/// The plan as a document; `mesh` is filled.
PlanResult make_training_document(const ModelConfig& config, const HardwareProfile& hardware,
                                  const PlanRequest& request);

/// What a request of training must bring: phase and mesh that go together, no fp8 and no
/// all-reduce of serving; accelerate's rule that replicas of TP groups need shards. Throws Error
/// that names the flag, or the path below `where` in a document.
void require_training(const PlanRequest& request, const std::string& where);

}  // namespace tplan
