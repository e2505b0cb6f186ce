#pragma once
#include <optional>
#include <string>

#include "models/graph.h"
#include "planner/plan.h"
#include "planner/style.h"

/// How a style cuts one parameter of one op.

namespace tplan {

/// A parameter in its place: the op that reads it, and as which of its weights.
struct WeightPlace {
    const Block* block = nullptr;
    const Op* op = nullptr;
    const Tensor* tensor = nullptr;
    int slot = 0;  // index in op->weights
};

/// The cut of the parameter under `style` over `parts` ranks. Dimensions are found by what they
/// count, so that weights stored [in, out] are cut alike. With `copy_kv_heads`, projections to KV
/// heads are cut by whole heads, copied where the ranks pass them.
struct Cut {
    Split split;
    std::string problem;  // why the op cannot carry the style, as a sentence; empty when it can
    std::string note;     // where tplan differs from transformers; usually empty
};
Cut cut_weight(const Style& style, const WeightPlace& place, int parts, bool copy_kv_heads);

/// The cut of the block scales of a weight that is cut by `weight`.
Split scales_split(const Split& weight, const Tensor& scaled, const Tensor& scales);

/// Calls visit(index) for the tensors of the block that hold the block scales of tensor `weight`.
template <class Visit>
void each_scale(const Block& block, int weight, Visit visit) {
    const auto& scaled = block.tensors[static_cast<std::size_t>(weight)];
    if (scaled.quant_block[0] == 0) return;
    for (std::size_t i = 0; i < block.tensors.size(); ++i) {
        if (block.tensors[i].scales_of == scaled.name) visit(static_cast<int>(i));
    }
}

/// Cuts the block scales of tensor `weight` along with it, under its style: as cuts[weight].
void cut_scales(const Block& block, int weight, std::vector<TensorPlan>& cuts);

/// The same for every weight of the block.
void cut_scales(const Block& block, std::vector<TensorPlan>& cuts);

/// Why an op that works with weights cut as `cut[tensor]` cannot run under its module's style
/// (null: none); empty when it can.
std::string op_problem(const Op& op, const Style* style, const std::vector<TensorPlan>& cut);

}  // namespace tplan
