#pragma once
#include <string>

#include "planner/plan.h"

namespace tplan {

/// The shard map for a terminal: one bar per parameter of each kind of layer, in transformers'
/// orientation [out, in], with the digit of the rank that owns each part; replicated parameters are
/// hatched with '/'.
std::string shard_map_text(const Model& model, const Plan& plan);

}  // namespace tplan
