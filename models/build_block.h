#pragma once
#include <string>
#include <vector>

#include "models/config.h"

/// The parts build_model() puts a block together from. Part of build.cpp.

namespace tplan {

/// What a projection puts out.
struct Columns {
    std::int64_t width = 0;
    Axis axis = Axis::hidden;
    std::int64_t unit = 1;  // columns that belong together, see Activation
};

/// A block under construction. Every function below appends to it and returns the index of the
/// activation it produces.
struct BlockDraft {
    const ModelConfig& config;
    Block block;
    std::int64_t layers = 0;  // that the block stands for; 0 outside the layers

    const Activation& activation(int index) const {
        return block.activations[static_cast<std::size_t>(index)];
    }
};

/// a * b as a size. Throws Error naming the model when it passes 2^31.
std::int64_t width_of(const ModelConfig& config, std::int64_t a, std::int64_t b);

int add_activation(BlockDraft& draft, const std::string& name, Rows rows, const Columns& columns);

/// Appends a tensor; its shape must have one axis per dimension. Throws Error when a dimension
/// passes 2^31.
int add_tensor(BlockDraft& draft, Tensor tensor);

/// Appends an op with one output like `like` but for `columns`.
int add_op(BlockDraft& draft, OpKind kind, const std::string& name, std::vector<int> inputs,
           std::vector<int> weights, const Columns& columns, OpSpec spec = {});

Columns columns_of(const Activation& activation);

/// out = in W^T + b: weight [out, in] (or [in, out] for Conv1D families), with scales when the
/// checkpoint is block-quantised. `packed_halves` 2: gate over up.
int add_linear(BlockDraft& draft, const std::string& module, int input, const Columns& out,
               bool bias, int packed_halves = 1);

/// The family's norm over the whole width.
int add_norm(BlockDraft& draft, const std::string& module, int input);
int add_norm(BlockDraft& draft, const std::string& module, int input, double eps);

/// Whether the checkpoint's quantisation covers `module`: a linear of a layer that its list of
/// modules to leave alone does not name. Throws Error when the list names it in some layers only.
bool is_quantised(const BlockDraft& draft, const std::string& module);

/// Turns a weight [.., out, in] to fp8 with a tensor of scales, one per block, or to integers with
/// the scales and zero points of their groups, where the checkpoint is quantised so.
void add_scales(BlockDraft& draft, const std::string& module, int tensor);

/// Fills Tensor::checkpoint_names where a checkpoint names or cuts a parameter differently.
void name_on_disk(const ModelConfig& config, Model& model);

/// Self-attention of one layer from its normalised input to the output projection.
int build_attention(BlockDraft& draft, const LayerTraits& layer, int input);
int build_latent_attention(BlockDraft& draft, int input);

/// The MLP of one layer, dense or a mixture of experts.
int build_mlp(BlockDraft& draft, const LayerTraits& layer, int input);

}  // namespace tplan
