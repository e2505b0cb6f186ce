#pragma once
#include "models/config.h"
#include "models/graph.h"

namespace tplan {

/// The op graph of a configuration: embedding block, one block per kind of layer, head block.
/// Tensor names, shapes and dtypes are those of transformers' modules. Requires `config.family` not
/// empty. Throws Error naming the key when the configuration asks for something the graph cannot
/// express (never a guess).
Model build_model(const ModelConfig& config);

}  // namespace tplan
