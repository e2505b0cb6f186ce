#pragma once
#include <memory>
#include <vector>

#include "cost_model/estimate.h"
#include "planner/choice.h"
#include "planner/layout_plan.h"

/// The layout search as a choice problem. Every op of every block is a decision among its
/// op_choices(); ops that the kernels run as one step are one decision; what several ops read is a
/// decision on the layouts it is brought into. Costs are those of real lowered steps.

namespace tplan {

/// What a decision of the problem stands for.
struct SpaceDecision {
    /// entry, exit: layout of the residual stream at the ends of the block. ops: one or several
    /// ops. supply: the layouts an activation with several readers is brought into.
    enum class Kind { entry, exit, ops, supply } kind = Kind::ops;
    std::vector<std::size_t> ops;         // ops: indices
    std::vector<std::vector<int>> picks;  // ops: per alternative the choice of each
    int activation = -1;                  // supply
    std::vector<unsigned> sets;           // supply: per alternative a set of LayoutStates, as bits
    /// Per alternative: sections of the catalogue that it costs.
    std::vector<std::vector<int>> sections;
    std::vector<double> kv_columns;  // per alternative, cached per token on a rank
    double kv_window = 0;
    /// With unequal shares per alternative the weights of the second kind's ranks; the chain's
    /// bytes are then the first kind's. Empty: as those.
    std::vector<double> second_bytes;
};

/// A coupling's sections of the catalogue, one list per entry.
struct SpaceCoupling {
    std::vector<std::vector<int>> sections;
};

struct SpaceBlock {
    std::vector<std::vector<OpChoice>> choices;  // per op
    std::vector<SpaceDecision> decisions;
    std::vector<SpaceCoupling> couplings;
};

/// All layouts of a model at one degree, not priced yet.
struct LayoutSpace {
    std::shared_ptr<const Model> sampled;  // with a head that chooses tokens; null without one
    const Model* model = nullptr;          // that, or the one it was made for
    PlanOptions options;
    std::vector<SpaceBlock> blocks;
    ChoiceChain chain;  // seconds 0 or kIllegal; bytes of the weights
    Program catalogue;  // every step that any layout may need, each in a section of its own
    int tied_modes = 1;
};

/// `model` must outlive the result. Requires a graph.
LayoutSpace make_layout_space(const Model& model, const PlanOptions& options, DType dtype);

/// The problem with the seconds of every step on this hardware, and weights and cache in bytes: on
/// a group of two kinds in bytes of the first kind, of which the second kind's count in proportion
/// to the capacities, and of a decision the larger.
ChoiceChain price_layouts(const LayoutSpace& space, const HardwareProfile& hardware,
                          const CostOptions& cost, const Workload& workload);

/// The same into `chain`, a copy of the space's, priced or not. `compiled` is the space's
/// catalogue, folded with the hardware and the options.
void price_layouts(const LayoutSpace& space, const CompiledProgram& compiled,
                   const Workload& workload, ChoiceChain& chain);

/// The layout an assignment stands for.
std::vector<BlockLayout> layout_of(const LayoutSpace& space, const Assignment& assignment);

}  // namespace tplan
