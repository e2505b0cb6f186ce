#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/degrees.h"
#include "app/query.h"
#include "app/validated.h"
#include "cost_model/compiled.h"

/// One question worked out for people: the model cut at one degree, every step priced, all degrees
/// over all links beside it, and the answer in one sentence. The report, the figures and the window
/// all read it.

namespace tplan {

/// A step of a section with its price; `step` of the program at the same place.
struct PricedStep {
    StepCost cost;
    std::string algorithm;  // of a collective
    double repeats = 1;     // how often the model runs it
};

/// All degrees over one link. `best`: index of the fastest point that fits, -1 when none does.
struct Curve {
    std::string link;
    std::vector<CurvePoint> points;
    int best = -1;
    int second = -1;  // the fastest after it that fits
    double sure = 1;  // probability that the best is faster than the second
};

struct Study {
    std::shared_ptr<const ModelConfig> config;
    std::shared_ptr<const Model> model;
    std::shared_ptr<const HardwareProfile> hardware;
    PlanRequest request;  // `plan.tp` is the degree; `cost.link` is never empty
    int most = 1;         // GPUs there are
    std::shared_ptr<const DegreeLayout> lowered;
    CompiledProgram compiled;
    std::vector<std::vector<PricedStep>> steps;  // [section][step] of the program
    std::optional<Totals> totals;                // empty when the degree does not work
    std::vector<Curve> curves;                   // the request's link first
    std::vector<int> working;                    // degrees of the curves that work
    std::optional<HfComparison> hf;              // transformers' own plan, beside a searched layout
    std::optional<DegreeDecision> decision;      // of a plan file that weighed degrees
    std::optional<Estimate> training;            // of a plan of training: its whole step
    std::optional<std::vector<KindUse>> kinds;   // of a plan on two kinds of device
    std::string answer;                          // which degree to use and why, one sentence
    std::optional<Validation> validation;        // of a run of exactly this plan
};

/// Works a request out over the links named (those the profile has when empty). Throws Error for a
/// degree above nodes x devices, a link the profile lacks and Phase::train.
Study make_study(Degrees& degrees, std::shared_ptr<const HardwareProfile> hardware,
                 const PlanRequest& request, std::vector<std::string> links = {});

/// The same of a plan file, in the layout that the file has. A plan of training becomes its forward
/// pass, as a prefill of all positions of a micro-batch, without a gather of logits that its loss
/// does not ask for; `training` and `answer` are the plan's. On two kinds of device the plan's
/// degree is the only one and `answer` the sentence on its shares.
Study study_of(const PlanDocument& plan, const std::optional<Validation>& validation);

/// The point of a curve at that degree, or nullptr.
const CurvePoint* point_at(const Curve& curve, int tp);

/// Why one degree is better than the next, in one sentence: what the answer of a study says about
/// its first curve.
std::string answer_sentence(const Curve& curve, const Workload& workload,
                            const HardwareProfile& hardware);

}  // namespace tplan
