#pragma once
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "cost_model/op_cost.h"
#include "models/program.h"
#include "planner/flow.h"
#include "planner/plan.h"

/// How one block becomes one section: used by lower() for whole programs, and by the layout search
/// for single ops under every layout they may have, so that both price the same steps.

namespace tplan {

/// Everything the blocks share.
struct Lowering {
    const Model& model;
    const Plan& plan;
    DType dtype;
    Program program;
    std::map<std::string, int> tensor_of_name;  // the last one added under a name

    int add_buffer(Buffer buffer);

    /// Layers of different kinds share the tensors they have in common.
    int add_tensor(const Block& block, const Tensor& tensor, const TensorPlan& cut, DType type);

    /// Type of a weight as it runs: a quantised checkpoint keeps its own.
    DType weight_dtype(const Tensor& tensor, OpKind reader, bool in_layer) const;
};

/// Where the current value of an activation lies.
struct LoweredValue {
    int buffer = -1;
    Layout layout;
    std::vector<WeightRef>
        pending_biases{};  // of rowwise linears, to be added once the partial sums are summed
};

/// Lowers one block.
class BlockLowering {
  public:
    BlockLowering(Lowering& lowering, std::size_t block_index);

    /// The whole block.
    Section run();

    /// The given ops alone, in order, under `flows` (one per op of the block); what they read
    /// stands ready in the layouts they need.
    Section piece(std::span<const std::size_t> ops, const std::vector<OpFlow>& flows);

    /// The step that brings an activation from one layout into another; none when there is nothing
    /// to do.
    Section reshard_piece(int activation, const Layout& from, const Layout& to);

  private:
    const Activation& activation(int i) const {
        return block_.activations[static_cast<std::size_t>(i)];
    }
    DType dtype_of(const Activation& what) const {
        return what.dtype.value_or(stored_dtype(shared_.dtype));
    }
    const std::vector<TensorPlan>& cuts() const { return shared_.plan.tensors[index_]; }
    void bind_tensor(std::size_t tensor);
    int bound_tensor(int tensor) const { return tensors_[static_cast<std::size_t>(tensor)]; }
    LoweredValue& value(int of) { return values_[static_cast<std::size_t>(of)]; }
    void clear();
    int buffer_for(const Activation& like, const std::string& name, const Layout& layout);
    int stream_buffer(const Layout& layout);
    bool ends_stream(int of) const;
    LoweredValue append_reshard(int of, const LoweredValue& value, const Layout& to, OpKind kind);
    int need(int of, const Layout& layout);
    int output_buffer(const Op& op, std::size_t position, std::size_t output, const Layout& layout,
                      const std::vector<int>& inputs);
    double local_bytes(int tensor) const;
    double weight_bytes(const Op& op) const;
    OpSpec local_spec(const Op& op, const OpFlow& flow) const;
    void set_weights(const Op& op, Step& step, LoweredValue& out);
    void keep_pending(const Op& op, const OpFlow& flow, LoweredValue& out);
    void note_cache(const Op& op, const OpSpec& spec);
    void add_partial_sums_first(std::size_t position, const OpFlow& rule);
    void lower_op(std::size_t position, const OpFlow& rule);
    void apply_style(std::size_t position);
    void note_wanted(const BlockFlow& flow);

    Lowering& shared_;
    std::size_t index_;
    const Block& block_;
    Section section_;
    Layout exit_;                       // of the residual stream
    std::vector<int> tensors_;          // of the program, per tensor of the block
    std::vector<OpKind> readers_;       // per tensor
    std::vector<LoweredValue> values_;  // per activation, as its op left it
    std::map<std::pair<int, int>, LoweredValue> resharded_;  // (activation, kind of reshard)
    std::vector<std::size_t> last_use_;  // per activation: last op that reads it
    std::vector<bool> wanted_whole_;     // per activation: a reader needs all of it
};

}  // namespace tplan
