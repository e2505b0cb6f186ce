#pragma once
#include <string>
#include <vector>

#include "core/json_io.h"
#include "planner/op_choice.h"
#include "planner/plan.h"

/// A layout written down: which choice every op takes, independent of sizes, so that it can be read
/// back, recomputed and applied to a small copy of the model.

namespace tplan {

/// The choices of one block where it stands for these layers. Blocks of one kind that run alike are
/// one entry.
struct BlockLayout {
    int block = 0;                                 // kind, in the order of the model's blocks
    std::vector<int> layers;                       // {-1} outside the layers
    LayoutState input = LayoutState::replicated;   // of the residual stream
    LayoutState output = LayoutState::replicated;  // likewise; of the last block: of the result
    Named<std::string> ops;                        // op -> choice, in op order
    static void fields(auto& self, auto&& field) {
        field("block", self.block);
        field("layers", self.layers);
        field("input", self.input);
        field("output", self.output);
        field("ops", self.ops);
    }
    bool operator==(const BlockLayout&) const = default;
};

/// A model whose blocks are split where layers of one kind differ in layout, and its plan.
struct LaidOut {
    Model model;
    Plan plan;
};

/// Applies the choices at `options.tp`. Throws Error naming the op for a choice that it does not
/// have at this degree, for a block or layer that is missing, and for neighbours that hand the
/// residual stream over in different layouts.
LaidOut apply_layout(const Model& model, const PlanOptions& options,
                     const std::vector<BlockLayout>& layout);

}  // namespace tplan
