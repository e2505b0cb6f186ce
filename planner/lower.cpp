#include "planner/lower.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <map>

#include "planner/flow.h"
#include "planner/fuse.h"
#include "planner/reshard.h"

namespace tplan {
namespace {

/// fp8 names the products' type; what flows between them stays bf16.
DType activation_dtype(DType dtype) {
    return dtype == DType::fp8 || dtype == DType::mxfp4 ? DType::bf16 : dtype;
}

/// Everything the blocks share.
struct Lowering {
    const Model& model;
    const Plan& plan;
    DType dtype;
    Program program;
    std::map<std::string, int> tensor_of_name;

    int add_buffer(Buffer buffer) {
        const auto found = std::find(program.buffers.begin(), program.buffers.end(), buffer);
        if (found != program.buffers.end())
            return static_cast<int>(found - program.buffers.begin());
        program.buffers.push_back(std::move(buffer));
        return static_cast<int>(program.buffers.size()) - 1;
    }

    /// Type of a weight as it runs: a quantised checkpoint keeps its own.
    DType weight_dtype(const Tensor& tensor, OpKind reader, bool in_layer) const {
        const bool quantised = tensor.dtype == DType::fp8 || tensor.dtype == DType::mxfp4;
        if (quantised || tensor.scales_of) return tensor.dtype;
        const bool product = reader == OpKind::linear || reader == OpKind::moe_experts;
        const bool matrix = product && in_layer && tensor.shape.size() > 1;
        return matrix ? dtype : activation_dtype(dtype);
    }

    std::string embedding_name() const {
        const auto& block = model.blocks.front();
        return full_name(block, block.tensors.front(), -1);
    }

    /// Layers of different kinds share the tensors they have in common.
    int add_tensor(const Block& block, const Tensor& tensor, const TensorPlan& cut, DType type) {
        ShardedTensor sharded{.name = full_name(block, tensor, -1),
                              .shape = tensor.shape,
                              .dtype = type,
                              .split = cut.split,
                              .style = cut.style,
                              .tied = tensor.tied,
                              .tied_to = tensor.tied ? embedding_name() : std::string()};
        const auto known = tensor_of_name.find(sharded.name);
        if (known != tensor_of_name.end() &&
            program.tensors[static_cast<std::size_t>(known->second)] == sharded)
            return known->second;
        program.tensors.push_back(std::move(sharded));
        const int index = static_cast<int>(program.tensors.size()) - 1;
        tensor_of_name[program.tensors.back().name] = index;
        return index;
    }
};

/// Where the current value of an activation lies.
struct Value {
    int buffer = -1;
    Layout layout;
    WeightRef pending_bias;  // of a rowwise linear, to be added once the partial sums are summed
    bool has_pending_bias = false;
};

/// Lowers one block to one section.
struct BlockLowering {
    Lowering& shared;
    std::size_t index;
    const Block& block;
    Section section;
    std::vector<int> tensors;                        // of the program, per tensor of the block
    std::vector<Value> values;                       // per activation, as its op left it
    std::map<std::pair<int, int>, Value> resharded;  // (activation, kind of reshard)
    std::vector<std::size_t> last_use;               // per activation: last op that reads it

    BlockLowering(Lowering& lowering, std::size_t block_index)
        : shared(lowering),
          index(block_index),
          block(lowering.model.blocks[block_index]),
          values(block.activations.size()),
          last_use(block.activations.size(), 0) {
        add_tensors();
        for (std::size_t i = 0; i < block.ops.size(); ++i) {
            for (const int input : block.ops[i].inputs) last_use[at(input)] = i;
        }
    }

    static std::size_t at(int i) { return static_cast<std::size_t>(i); }

    const Activation& activation(int i) const { return block.activations[at(i)]; }
    const std::vector<TensorPlan>& cuts() const { return shared.plan.tensors[index]; }

    void add_tensors() {
        const bool in_layer = block.prefix.find('*') != std::string::npos;
        std::vector<OpKind> readers(block.tensors.size(), OpKind::norm);
        for (const auto& op : block.ops) {
            for (const int tensor : op.weights) readers[at(tensor)] = op.kind;
        }
        for (std::size_t i = 0; i < block.tensors.size(); ++i) {
            const auto& tensor = block.tensors[i];
            const auto type = shared.weight_dtype(tensor, readers[i], in_layer);
            tensors.push_back(shared.add_tensor(block, tensor, cuts()[i], type));
        }
    }

    int buffer_for(const Activation& like, const std::string& name, const Layout& layout) {
        return shared.add_buffer(
            {.name = name, .rows = like.rows, .width = like.width, .layout = layout});
    }

    /// The residual stream: one buffer through the whole program.
    int stream_buffer() {
        const auto& model = shared.model;
        const auto& layer = model.blocks[at(model.sequence[model.sequence.size() / 2].block)];
        const auto& stream = layer.activations[at(layer.input >= 0 ? layer.input : layer.output)];
        return shared.add_buffer({.name = "hidden",
                                  .rows = Rows::tokens,
                                  .width = stream.width,
                                  .layout = Layout::replicated()});
    }

    /// Is this the value that the block hands on in the residual stream?
    bool ends_stream(int of) const {
        return of == block.output && activation(of).axis == Axis::hidden;
    }

    /// Appends the step that brings `value` of an activation into `to`; the value afterwards.
    Value append_reshard(int of, Value value, const Layout& to, OpKind kind) {
        const auto& what = activation(of);
        Step step{.kind = kind,
                  .name = fmt::format("{}.{}", what.name, name_of(kind)),
                  .inputs = {value.buffer},
                  .rows = what.rows,
                  .n = what.width,
                  .dtype = activation_dtype(shared.dtype)};
        if (kind == OpKind::slice) {
            step.n = largest_extent(to.split, what.width);
        } else {
            step.algorithm = "auto";
            step.stream = 1;
        }
        if (value.has_pending_bias) step.biases = {value.pending_bias};
        Value moved{.buffer = value.buffer, .layout = to, .pending_bias = {}};
        if (kind != OpKind::all_reduce) {
            moved.buffer = ends_stream(of) && to == Layout::replicated()
                               ? stream_buffer()
                               : buffer_for(what, step.name, to);
        }
        step.outputs = {moved.buffer};
        section.steps.push_back(std::move(step));
        return moved;
    }

    /// The buffer that holds the activation in that layout, brought about when it is not there yet.
    int need(int of, const Layout& layout) {
        auto& value = values[at(of)];
        const auto kind = reshard(value.layout, layout);
        if (!kind) return value.buffer;
        const auto key = std::pair(of, static_cast<int>(*kind));
        const auto known = resharded.find(key);
        if (known != resharded.end() && known->second.layout == layout) return known->second.buffer;
        const auto moved = append_reshard(of, value, layout, *kind);
        if (*kind == OpKind::all_reduce) {
            value = moved;  // in place: the partial sums are gone
        } else {
            resharded[key] = moved;
        }
        return moved.buffer;
    }

    /// Where an op's output goes: additions overwrite their first input when it is not read again.
    int output_buffer(const Op& op, std::size_t position, std::size_t output, const Layout& layout,
                      const std::vector<int>& inputs) {
        const int of = op.outputs[output];
        if (op.kind == OpKind::add && last_use[at(op.inputs[0])] == position &&
            op.inputs[0] != block.output)
            return inputs[0];
        if (ends_stream(of) && layout.kind != LayoutKind::split) return stream_buffer();
        auto stored = layout;
        if (stored.kind == LayoutKind::partial) stored = Layout::replicated();
        return buffer_for(activation(of), activation(of).name, stored);
    }

    double local_bytes(int tensor) const {
        const auto& sharded = shared.program.tensors[at(tensors[at(tensor)])];
        double elements = 1;
        for (std::size_t d = 0; d < sharded.shape.size(); ++d) {
            const bool cut = sharded.split.kind != SplitKind::whole && at(sharded.split.dim) == d;
            elements *= static_cast<double>(cut ? largest_extent(sharded.split, sharded.shape[d])
                                                : sharded.shape[d]);
        }
        return elements * bytes_of(sharded.dtype);
    }

    /// Bytes of the op's weights with the scales of those that have some.
    double weight_bytes(const Op& op) const {
        double bytes = 0;
        for (const int tensor : op.weights) {
            bytes += local_bytes(tensor);
            const auto& weight = block.tensors[at(tensor)];
            if (weight.quant_block[0] == 0) continue;
            for (std::size_t i = 0; i < block.tensors.size(); ++i) {
                if (block.tensors[i].scales_of == weight.name)
                    bytes += local_bytes(static_cast<int>(i));
            }
        }
        return bytes;
    }

    std::int64_t local_width(int of, const Layout& layout) const {
        const auto width = activation(of).width;
        return layout.kind == LayoutKind::split ? largest_extent(layout.split, width) : width;
    }

    /// Heads and inner widths of the largest rank.
    OpSpec local_spec(const Op& op, const OpFlow& flow) const {
        auto spec = op.spec;
        if (spec.attention && flow.inputs[0].kind == LayoutKind::split) {
            auto& attention = *spec.attention;
            const auto parts = flow.inputs[0].split.parts;
            const bool copied = flow.inputs.back().split.kind == SplitKind::grouped;
            attention.heads /= parts;
            attention.kv_heads = copied ? 1 : attention.kv_heads / parts;
        }
        if (spec.moe && op.kind == OpKind::moe_experts) {
            const auto& weight = block.tensors[at(op.weights[0])];
            const auto& cut = cuts()[at(op.weights[0])].split;
            if (cut.kind == SplitKind::whole) return spec;
            if (weight.axes[at(cut.dim)] == Axis::experts) {
                spec.moe->experts = largest_extent(cut, spec.moe->experts);
            } else {
                spec.moe->ffn = local_extent(cut, weight.shape[at(cut.dim)], 0) * spec.moe->ffn /
                                weight.shape[at(cut.dim)];
            }
        }
        return spec;
    }

    void set_weights(const Op& op, Step& step, Value& out) {
        for (std::size_t slot = 0; slot < op.weights.size(); ++slot) {
            const WeightRef ref{.tensor = tensors[at(op.weights[slot])]};
            const bool bias = op.kind == OpKind::linear && slot == 1;
            if (!bias) {
                step.weights.push_back(ref);
            } else if (out.layout.kind == LayoutKind::partial) {
                out.pending_bias = ref;
                out.has_pending_bias = true;
            } else {
                step.biases.push_back(ref);
            }
        }
        step.weight_bytes = weight_bytes(op);
        step.weight_dtype = activation_dtype(shared.dtype);
        if (!step.weights.empty())
            step.weight_dtype = shared.program.tensors[at(step.weights[0].tensor)].dtype;
    }

    void note_cache(const Op& op, const OpSpec& spec) {
        if (op.kind != OpKind::attention) return;
        const auto& attention = *spec.attention;
        section.kv_width = attention.latent_width > 0
                               ? attention.latent_width
                               : attention.kv_heads * (attention.head_dim + attention.v_head_dim);
        section.kv_window = attention.window;
    }

    void lower_op(std::size_t position) {
        const auto& op = block.ops[position];
        std::vector<Layout> current;
        for (const int input : op.inputs) current.push_back(values[at(input)].layout);
        const auto rule = flow(block, op, current, cuts());

        std::vector<int> inputs;
        for (std::size_t i = 0; i < op.inputs.size(); ++i)
            inputs.push_back(need(op.inputs[i], rule.inputs[i]));
        Step step{.kind = op.kind,
                  .name = op.name,
                  .inputs = inputs,
                  .spec = local_spec(op, rule),
                  .rows = activation(op.outputs[0]).rows,
                  .dtype = activation_dtype(shared.dtype)};
        for (std::size_t i = 0; i < op.outputs.size(); ++i) {
            Value out{.buffer = output_buffer(op, position, i, rule.outputs[i], inputs),
                      .layout = rule.outputs[i],
                      .pending_bias = {}};
            if (i == 0) set_weights(op, step, out);
            step.outputs.push_back(out.buffer);
            step.n += local_width(op.outputs[i], out.layout);
            values[at(op.outputs[i])] = out;
        }
        if (op.kind == OpKind::linear || op.kind == OpKind::moe_experts)
            step.k = local_width(op.inputs[0], rule.inputs[0]);
        note_cache(op, step.spec);
        section.steps.push_back(std::move(step));
        apply_style(position);
    }

    /// A style that leaves its output replicated communicates right after the op.
    void apply_style(std::size_t position) {
        const int style = shared.plan.op_styles[index][position];
        if (style < 0 || shared.plan.styles[at(style)].output != LayoutKind::replicated) return;
        for (const int of : block.ops[position].outputs) {
            auto& value = values[at(of)];
            const auto kind = reshard(value.layout, Layout::replicated());
            if (!is_communicating(block.ops[position], shared.plan.styles[at(style)]) || !kind)
                continue;
            value = append_reshard(of, value, Layout::replicated(), *kind);
        }
    }

    /// Styles without a cut of their own pass their module's layout on; those of experts sum.
    static bool is_communicating(const Op& op, const Style& style) {
        return style.weight_dim.value.has_value() || op.kind == OpKind::moe_experts;
    }

    Section run() {
        if (block.input >= 0)
            values[at(block.input)] = {
                .buffer = stream_buffer(), .layout = Layout::replicated(), .pending_bias = {}};
        for (std::size_t i = 0; i < block.ops.size(); ++i) lower_op(i);
        // Blocks hand on replicated values, so that any block can follow.
        const int last = need(block.output, Layout::replicated());
        assert(!ends_stream(block.output) || last == stream_buffer());
        static_cast<void>(last);
        return std::move(section);
    }
};

struct LayerKind {
    bool sliding = false, moe = false;
    explicit LayerKind(const Block& block) {
        for (const auto& op : block.ops) {
            if (op.kind == OpKind::attention) sliding = op.spec.attention->window > 0;
            if (op.kind == OpKind::moe_experts) moe = true;
        }
    }
};

/// "layer", or with several kinds what tells them apart: "layer (sliding)", "layer (full, moe)".
std::string layer_name(const Model& model, const std::vector<std::size_t>& kinds,
                       std::size_t self) {
    if (kinds.size() == 1) return "layer";
    const LayerKind own(model.blocks[self]);
    bool sliding_differs = false, moe_differs = false, alone = true;
    for (const auto other : kinds) {
        const LayerKind kind(model.blocks[other]);
        sliding_differs |= kind.sliding != own.sliding;
        moe_differs |= kind.moe != own.moe;
        alone &= other == self || kind.sliding != own.sliding || kind.moe != own.moe;
    }
    std::vector<std::string> words;
    if (sliding_differs) words.emplace_back(own.sliding ? "sliding" : "full");
    if (moe_differs) words.emplace_back(own.moe ? "moe" : "dense");
    if (!alone) words.push_back(fmt::format("kind {}", self));
    return fmt::format("layer ({})", join(words, ", "));
}

/// One section per block that the sequence uses, in the order of the blocks, and the running order.
void lower_blocks(Lowering& lowering) {
    const auto& model = lowering.model;
    std::vector<int> section_of(model.blocks.size(), -1);
    std::vector<std::size_t> kinds;
    for (const auto& use : model.sequence) section_of[static_cast<std::size_t>(use.block)] = 0;
    for (std::size_t i = 0; i < model.blocks.size(); ++i) {
        const bool layer = model.blocks[i].prefix.find('*') != std::string::npos;
        if (section_of[i] == 0 && layer) kinds.push_back(i);
    }
    auto& program = lowering.program;
    for (std::size_t i = 0; i < model.blocks.size(); ++i) {
        if (section_of[i] < 0) continue;
        auto section = BlockLowering(lowering, i).run();
        const bool layer = std::find(kinds.begin(), kinds.end(), i) != kinds.end();
        section.name = layer                       ? layer_name(model, kinds, i)
                       : model.blocks[i].input < 0 ? "embedding"
                                                   : "head";
        section_of[i] = static_cast<int>(program.sections.size());
        program.sections.push_back(std::move(section));
    }
    for (const auto& use : model.sequence) {
        const int section = section_of[static_cast<std::size_t>(use.block)];
        program.sections[static_cast<std::size_t>(section)].layers.push_back(use.layer);
        program.order.push_back(section);
        program.order_layer.push_back(use.layer);
    }
}

}  // namespace

Program lower(const Model& model, const Plan& plan, DType dtype) {
    Lowering lowering{
        .model = model, .plan = plan, .dtype = dtype, .program = {}, .tensor_of_name = {}};
    auto& program = lowering.program;
    program.tp = plan.options.tp;
    lower_blocks(lowering);
    if (plan.options.kernels == Kernels::served) {
        for (auto& section : program.sections) fuse_projections(section, model.fused);
        fuse_across_layers(program);
        for (auto& section : program.sections) fuse_residual_norms(section);
    }
    drop_unused_buffers(program);
    return std::move(program);
}

}  // namespace tplan
