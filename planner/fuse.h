#pragma once
#include <string>
#include <vector>

#include "models/program.h"
#include "planner/plan.h"

/// Fusions of Kernels::served on a lowered program: what vLLM and TensorRT-LLM run as one kernel.

namespace tplan {

/// The ops of a block in groups that these kernels may run as one step, in op order; most stand
/// alone. What fuse_projections() and fuse_residual_norms() join lies inside one group.
std::vector<std::vector<std::size_t>> fused_groups(const Model& model, const Block& block,
                                                   Kernels kernels);

/// Whether fuse_across_layers() applies to the model's programs, as long as the layers hand on the
/// residual stream in the layout of its last addition.
bool norms_cross_layers(const Model& model);

/// `add` followed by `norm` of its result as one step.
Step add_then_norm(const Step& add, const Step& norm, const std::string& name);

/// Linears of one module group that read the same buffer become one step as `groups` says: q, k and
/// v "self_attn.qkv_proj", gate and up "mlp.gate_up_proj". A linear whose output a collective takes
/// stays by itself.
void fuse_projections(Section& section, const std::vector<FusedModules>& groups);

/// An addition followed by the norm of its result becomes add_norm.
void fuse_residual_norms(Section& section);

/// The addition that ends a layer and the norm that begins the next one become one add_norm, the
/// final norm after the last layer included; the embedding then ends with the first layer's norm,
/// and layers and head start from the normalised buffer. Nothing changes unless every layer begins
/// with the same norm and ends with such an addition, and the head begins with a norm of that kind.
void fuse_across_layers(Program& program);

/// One product writes its outputs side by side. Where another section writes one of them beside
/// other buffers (layers laid out unlike), this one's outputs become buffers of their own.
void part_outputs(Program& program);

/// Drops the buffers that no step uses.
void drop_unused_buffers(Program& program);

}  // namespace tplan
