#pragma once
#include <vector>

#include "models/config.h"
#include "planner/layout_plan.h"

namespace tplan {

/// The same architecture with small sizes: one layer of each kind, the same ratio of query to KV
/// heads, sizes that divide `tp` as the model's own do. Small enough for the scalar reference, and
/// it takes the same path through planner and executor.
ModelConfig small_copy(const ModelConfig& config, int tp);

/// A layout of the whole model laid over its small copy: each layer takes an entry of its kind that
/// takes the residual stream as the layer before hands it on. Throws Error when there is no such
/// sequence.
std::vector<BlockLayout> small_layout(const Model& small, const std::vector<BlockLayout>& layout);

}  // namespace tplan
