#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "planner/document.h"
#include "planner/search.h"

/// The degrees of one model, worked out when first asked for and then kept.

namespace tplan {

/// One degree of a model. `plan` is there even when the degree is refused: as transformers would
/// cut it.
struct DegreeLayout {
    Feasibility feasibility;
    std::optional<Plan> plan;
    std::optional<Program> program;          // empty when the degree does not work
    std::vector<BlockLayout> layout;         // of the search; empty for hf and plans by hand
    std::optional<Certificate> certificate;  // of the search; a layout from a file has the file's
};

/// One degree over one link.
struct CurvePoint {
    int tp = 1;
    bool feasible = false;
    std::string reason;  // why not; empty otherwise
    Totals totals;
    Seconds work, transfer, launch;  // of the step: compute and collectives without their launches
};

/// A degree in the layout that is best for it over one link. Most degrees are only priced:
/// `lowering` is null, and the search has no proof, until it is asked for.
struct WorkedDegree {
    FoundLayout found;  // of the search; empty for hf and plans by hand
    std::shared_ptr<const DegreeLayout> lowering;
    CurvePoint point;
};

/// What decides which layout is best, besides the link.
struct Circumstance {
    std::shared_ptr<const HardwareProfile> hardware;
    CostOptions cost;
    Workload workload;
};

/// A model with its degrees. Moving the degree or the link reads what is there; moving the workload
/// searches anew, with what the searches of the machine have lowered and folded.
struct Degrees {
    std::shared_ptr<const ModelConfig> config;
    std::shared_ptr<const Model> model;
    PlanOptions options;  // `tp` is not looked at
    DType dtype = DType::bf16;
    std::map<int, std::shared_ptr<const LayoutSpace>> spaces;
    std::map<int, std::shared_ptr<const DegreeLayout>> given;  // see given_layout()

    Circumstance around;  // that `worked` holds under: another one empties it
    std::map<std::pair<int, std::string>, WorkedDegree> worked;    // by degree and link
    std::map<std::pair<int, std::string>, LayoutSearch> searches;  // of the machine of `around`
};

/// Throws Error for a model without an op graph.
Degrees degrees_of(ModelConfig config, const PlanOptions& options, DType dtype);

/// Those of a plan file: its own degree has the layout that the file gives. Of a plan of training
/// they are those of its forward pass, a prefill of all positions. Throws Error for a layout that
/// the model does not have.
Degrees degrees_of(const PlanDocument& plan, std::shared_ptr<const HardwareProfile> hardware);

/// A degree under the plan given by hand, or else under transformers' own.
std::shared_ptr<const DegreeLayout> given_layout(Degrees& degrees, int tp);

/// A degree in the layout that the options ask for, priced over `around.cost.link`.
const CurvePoint& degree_point(Degrees& degrees, int tp, const Circumstance& around);

/// The layout of that point, lowered, with its proof.
std::shared_ptr<const DegreeLayout> degree_layout(Degrees& degrees, int tp,
                                                  const Circumstance& around);

/// Its program folded with the machine. Requires a degree that works.
CompiledProgram degree_compiled(Degrees& degrees, int tp, const Circumstance& around);

/// Calls `each(section, step, repeats)` for every step of the program.
template <class Each>
void for_each_step(const Program& program, const CompiledProgram& compiled, const Each& each) {
    for (std::size_t s = 0; s < program.sections.size(); ++s) {
        for (std::size_t i = 0; i < program.sections[s].steps.size(); ++i)
            each(static_cast<int>(s), static_cast<int>(i), compiled.sections[s].repeats);
    }
}

}  // namespace tplan
