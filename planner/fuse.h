#pragma once
#include <vector>

#include "models/graph.h"
#include "models/program.h"

/// Fusions of Kernels::served on a lowered program: what vLLM and TensorRT-LLM run as one kernel.

namespace tplan {

/// Linears of one module group that read the same buffer become one step as `groups` says: q, k and
/// v "self_attn.qkv_proj", gate and up "mlp.gate_up_proj". A linear whose output a collective takes
/// stays by itself.
void fuse_projections(Section& section, const std::vector<FusedModules>& groups);

/// An in-place addition of two values followed by the norm of its result becomes add_norm.
void fuse_residual_norms(Section& section);

/// The addition that ends a layer and the norm that begins the next one become one add_norm, the
/// final norm after the last layer included; the embedding then ends with the first layer's norm,
/// and layers and head start from the normalised buffer. Nothing changes unless every layer begins
/// with the same norm and ends with such an addition, and the head begins with a norm of that kind.
void fuse_across_layers(Program& program);

/// Drops the buffers that no step uses.
void drop_unused_buffers(Program& program);

}  // namespace tplan
