#pragma once
#include "models/config.h"

namespace tplan {

/// The same architecture with small sizes: one layer of each kind, the same ratio of query to KV
/// heads, sizes that divide `tp` as the model's own do. Small enough for the scalar reference, and
/// it takes the same path through planner and executor.
ModelConfig small_copy(const ModelConfig& config, int tp);

}  // namespace tplan
