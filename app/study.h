#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/query.h"
#include "app/validated.h"
#include "cost_model/compiled.h"

/// One question worked out for people: the model cut at one degree, every step priced, all degrees
/// over all links beside it, and the answer in one sentence. The report, the figures and the window
/// all read it.

namespace tplan {

/// One degree of a model. `plan` is there even when the degree is refused: as transformers would
/// cut it.
struct Lowering {
    Feasibility feasibility;
    std::optional<Plan> plan;
    std::optional<Program> program;  // empty when the degree does not work
};

/// A model with its degrees, each lowered when first asked for and then kept: moving the degree,
/// the link or the workload prices what is already there.
struct Degrees {
    std::shared_ptr<const ModelConfig> config;
    std::shared_ptr<const Model> model;
    PlanOptions options;  // `tp` is not looked at
    DType dtype = DType::bf16;
    std::map<int, std::shared_ptr<const Lowering>> lowered;
};
/// Throws Error for a model without an op graph.
Degrees degrees_of(ModelConfig config, const PlanOptions& options, DType dtype);
std::shared_ptr<const Lowering> lowering(Degrees& degrees, int tp);

/// A step of a section with its price; `step` of the program at the same place.
struct PricedStep {
    StepCost cost;
    std::string algorithm;  // of a collective
    double repeats = 1;     // how often the model runs it
};

/// One degree over one link.
struct CurvePoint {
    int tp = 1;
    bool feasible = false;
    std::string reason;  // why not; empty otherwise
    Totals totals;
    Seconds work, transfer, launch;  // of the step: compute and collectives without their launches
};

/// All degrees over one link. `best`: index of the fastest point that fits, -1 when none does.
struct Curve {
    std::string link;
    std::vector<CurvePoint> points;
    int best = -1;
};

struct Study {
    std::shared_ptr<const ModelConfig> config;
    std::shared_ptr<const Model> model;
    std::shared_ptr<const HardwareProfile> hardware;
    PlanRequest request;  // `plan.tp` is the degree; `cost.link` is never empty
    int most = 1;         // GPUs there are
    std::shared_ptr<const Lowering> lowered;
    CompiledProgram compiled;
    std::vector<std::vector<PricedStep>> steps;  // [section][step] of the program
    std::optional<Totals> totals;                // empty when the degree does not work
    std::vector<Curve> curves;                   // the request's link first
    std::vector<int> working;                    // degrees of the curves that work
    std::string answer;                          // which degree to use and why, one sentence
    std::optional<Validation> validation;        // of a run of exactly this plan
};

/// Works a request out over the links named (those the profile has when empty). Throws Error for a
/// degree above nodes x devices, a link the profile lacks and Phase::train.
Study make_study(Degrees& degrees, std::shared_ptr<const HardwareProfile> hardware,
                 const PlanRequest& request, std::vector<std::string> links = {});

/// The same of a plan file.
Study study_of(const PlanDocument& plan, const std::optional<Validation>& validation);

/// The point of a curve at that degree, or nullptr.
const CurvePoint* point_at(const Curve& curve, int tp);

/// Why one degree is better than the next, in one sentence: what the answer of a study says about
/// its first curve.
std::string answer_sentence(const Curve& curve, const Workload& workload,
                            const HardwareProfile& hardware);

}  // namespace tplan
