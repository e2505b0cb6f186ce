#include "planner/lower_block.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>

#include "planner/cut.h"
#include "planner/reshard.h"

namespace tplan {
namespace {

std::size_t at(int i) {
    return static_cast<std::size_t>(i);
}

/// A buffer that holds partial sums counts as replicated.
Layout stored(const Layout& layout) {
    return layout.kind == LayoutKind::partial ? Layout::replicated() : layout;
}

/// Styles without a cut of their own pass their module's layout on; those of experts sum.
bool is_communicating(const Op& op, const Style& style) {
    return style.weight_dim.value.has_value() || op.kind == OpKind::moe_experts;
}

}  // namespace

int Lowering::add_buffer(Buffer buffer) {
    const auto found = std::find(program.buffers.begin(), program.buffers.end(), buffer);
    if (found != program.buffers.end()) return static_cast<int>(found - program.buffers.begin());
    program.buffers.push_back(std::move(buffer));
    return static_cast<int>(program.buffers.size()) - 1;
}

DType Lowering::weight_dtype(const Tensor& tensor, OpKind reader, bool in_layer) const {
    const bool quantised = tensor.dtype == DType::fp8 || is_stored_only(tensor.dtype);
    if (quantised || tensor.scales_of) return tensor.dtype;
    const bool product = reader == OpKind::linear || reader == OpKind::moe_experts;
    const bool matrix = product && in_layer && tensor.shape.size() > 1;
    return matrix ? dtype : stored_dtype(dtype);
}

int Lowering::add_tensor(const Block& block, const Tensor& tensor, const TensorPlan& cut,
                         DType type) {
    ShardedTensor sharded{.name = full_name(block, tensor, -1),
                          .shape = tensor.shape,
                          .dtype = type,
                          .split = cut.split,
                          .style = cut.style,
                          .tied = tensor.tied,
                          .tied_to = {}};
    if (tensor.tied) {
        const auto& embedding = model.blocks.front();
        sharded.tied_to = full_name(embedding, embedding.tensors.front(), -1);
    }
    const auto known = tensor_of_name.find(sharded.name);
    if (known != tensor_of_name.end() && program.tensors[at(known->second)] == sharded)
        return known->second;
    program.tensors.push_back(std::move(sharded));
    const int index = static_cast<int>(program.tensors.size()) - 1;
    tensor_of_name[program.tensors.back().name] = index;
    return index;
}

BlockLowering::BlockLowering(Lowering& lowering, std::size_t block_index)
    : shared_(lowering),
      index_(block_index),
      block_(lowering.model.blocks[block_index]),
      tensors_(block_.tensors.size(), -1),
      readers_(block_.tensors.size(), OpKind::norm),
      last_use_(block_.activations.size(), 0) {
    clear();
    for (std::size_t i = 0; i < block_.ops.size(); ++i) {
        for (const int input : block_.ops[i].inputs) last_use_[at(input)] = i;
        for (const int tensor : block_.ops[i].weights) readers_[at(tensor)] = block_.ops[i].kind;
    }
}

void BlockLowering::clear() {
    section_ = {};
    exit_ = Layout::replicated();
    values_.assign(block_.activations.size(), {});
    resharded_.clear();
    wanted_whole_.assign(block_.activations.size(), false);
}

void BlockLowering::bind_tensor(std::size_t tensor) {
    const bool in_layer = block_.prefix.find('*') != std::string::npos;
    const auto& parameter = block_.tensors[tensor];
    const auto type = shared_.weight_dtype(parameter, readers_[tensor], in_layer);
    tensors_[tensor] = shared_.add_tensor(block_, parameter, cuts()[tensor], type);
}

int BlockLowering::buffer_for(const Activation& like, const std::string& name,
                              const Layout& layout) {
    return shared_.add_buffer(
        {.name = name, .rows = like.rows, .width = like.width, .layout = stored(layout)});
}

/// The residual stream: one buffer through the whole program, or one per layout it takes.
int BlockLowering::stream_buffer(const Layout& layout) {
    const auto& model = shared_.model;
    const auto& layer = model.blocks[at(model.sequence[model.sequence.size() / 2].block)];
    const auto& stream = layer.activations[at(layer.input >= 0 ? layer.input : layer.output)];
    return shared_.add_buffer(
        {.name = "hidden", .rows = Rows::tokens, .width = stream.width, .layout = stored(layout)});
}

/// Is this the value that the block hands on in the residual stream?
bool BlockLowering::ends_stream(int of) const {
    return of == block_.output && activation(of).axis == Axis::hidden;
}

/// Appends the step that brings the value of an activation into `to`; the value afterwards.
LoweredValue BlockLowering::append_reshard(int of, const LoweredValue& value, const Layout& to,
                                           OpKind kind) {
    const auto& what = activation(of);
    Step step{.kind = kind,
              .name = fmt::format("{}.{}", what.name, name_of(kind)),
              .inputs = {value.buffer},
              .rows = what.rows,
              .n = what.width,
              .dtype = dtype_of(what)};
    if (kind == OpKind::slice) {
        step.n = largest_width(to, what.width);
    } else {
        step.algorithm = "auto";
        step.stream = 1;
    }
    step.biases = value.pending_biases;
    LoweredValue moved{.buffer = value.buffer, .layout = to};
    if (kind != OpKind::all_reduce) {
        moved.buffer =
            ends_stream(of) && to == exit_ ? stream_buffer(to) : buffer_for(what, step.name, to);
    }
    step.outputs = {moved.buffer};
    section_.steps.push_back(std::move(step));
    return moved;
}

/// The buffer that holds the activation in that layout, brought about when it is not there yet.
int BlockLowering::need(int of, const Layout& layout) {
    if (value(of).layout == layout) return value(of).buffer;
    auto source = value(of);
    // What some reader needs whole is brought there first: the rest is a local slice of it.
    if (wanted_whole_[at(of)] && layout.kind == LayoutKind::split &&
        source.layout.kind != LayoutKind::replicated) {
        source = {.buffer = need(of, Layout::replicated()), .layout = Layout::replicated()};
    }
    const auto kind = *reshard(source.layout, layout);
    const auto key = std::pair(of, static_cast<int>(kind));
    const auto known = resharded_.find(key);
    if (known != resharded_.end() && known->second.layout == layout) return known->second.buffer;
    const auto moved = append_reshard(of, source, layout, kind);
    if (kind == OpKind::all_reduce) {
        value(of) = moved;  // in place: the partial sums are gone
    } else {
        resharded_[key] = moved;
    }
    return moved.buffer;
}

/// Where an op's output goes: additions overwrite their first input when it is not read again.
int BlockLowering::output_buffer(const Op& op, std::size_t position, std::size_t output,
                                 const Layout& layout, const std::vector<int>& inputs) {
    const int of = op.outputs[output];
    if (ends_stream(of) && (layout.kind != LayoutKind::split || layout == exit_))
        return stream_buffer(layout);
    if (op.kind == OpKind::add && last_use_[at(op.inputs[0])] == position &&
        op.inputs[0] != block_.output)
        return inputs[0];
    return buffer_for(activation(of), activation(of).name, layout);
}

double BlockLowering::local_bytes(int tensor) const {
    const auto& sharded = shared_.program.tensors[at(bound_tensor(tensor))];
    double elements = 1;
    for (std::size_t d = 0; d < sharded.shape.size(); ++d) {
        const bool cut = sharded.split.kind != SplitKind::whole && at(sharded.split.dim) == d;
        elements *= static_cast<double>(cut ? largest_extent(sharded.split, sharded.shape[d])
                                            : sharded.shape[d]);
    }
    return elements * bytes_of(sharded.dtype);
}

/// Bytes of the op's weights with the scales of those that have some.
double BlockLowering::weight_bytes(const Op& op) const {
    double bytes = 0;
    for (const int tensor : op.weights) {
        bytes += local_bytes(tensor);
        each_scale(block_, tensor, [&](int scales) { bytes += local_bytes(scales); });
    }
    return bytes;
}

/// Heads and inner widths of the largest rank.
OpSpec BlockLowering::local_spec(const Op& op, const OpFlow& flow) const {
    auto spec = op.spec;
    if (spec.attention && flow.inputs[0].splits_columns()) {
        const auto held = [&](std::size_t input) {
            const auto& heads = activation(op.inputs[input]);
            return largest_width(flow.inputs[input], heads.width) / heads.unit;
        };
        if (op.kind == OpKind::attention) {
            spec.attention->heads = held(0);
            spec.attention->kv_heads = held(2);
        } else {  // unpack_qkv
            const auto outputs = [&](std::size_t output) {
                const auto& heads = activation(op.outputs[output]);
                return largest_width(flow.outputs[output], heads.width) / heads.unit;
            };
            spec.attention->heads = outputs(0);
            spec.attention->kv_heads = outputs(1);
        }
    }
    if (spec.moe && op.kind == OpKind::moe_experts) {
        const auto& weight = block_.tensors[at(op.weights[0])];
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

void BlockLowering::set_weights(const Op& op, Step& step, LoweredValue& out) {
    for (std::size_t slot = 0; slot < op.weights.size(); ++slot) {
        const WeightRef ref{.tensor = bound_tensor(op.weights[slot])};
        const bool bias = op.kind == OpKind::linear && slot == 1;
        if (!bias) {
            step.weights.push_back(ref);
        } else if (out.layout.kind == LayoutKind::partial) {
            out.pending_biases.push_back(ref);
        } else {
            step.biases.push_back(ref);
        }
    }
    step.weight_bytes = weight_bytes(op);
    step.weight_dtype = stored_dtype(shared_.dtype);
    if (!step.weights.empty())
        step.weight_dtype = shared_.program.tensors[at(step.weights[0].tensor)].dtype;
}

/// Biases that wait for the sum of the inputs wait for that of the output.
void BlockLowering::keep_pending(const Op& op, const OpFlow& flow, LoweredValue& out) {
    for (std::size_t i = 0; i < op.inputs.size(); ++i) {
        const auto& pending = value(op.inputs[i]).pending_biases;
        if (flow.inputs[i].kind == LayoutKind::partial)
            out.pending_biases.insert(out.pending_biases.end(), pending.begin(), pending.end());
    }
}

void BlockLowering::note_cache(const Op& op, const OpSpec& spec) {
    if (op.kind != OpKind::attention) return;
    const auto& attention = *spec.attention;
    section_.kv_width = attention.latent_width > 0
                            ? attention.latent_width
                            : attention.kv_heads * (attention.head_dim + attention.v_head_dim);
    section_.kv_window = attention.window;
}

/// out = in[0] + factor * (in[1] + in[2]) where the latter are partial sums: they are added as they
/// stand, so that one reduction serves both (parallel attention and MLP).
void BlockLowering::add_partial_sums_first(std::size_t position, const OpFlow& rule) {
    const auto& op = block_.ops[position];
    const auto& what = activation(op.inputs[1]);
    LoweredValue sum{.buffer = value(op.inputs[1]).buffer, .layout = Layout::partial()};
    keep_pending(op, rule, sum);
    Step partial{.kind = OpKind::add,
                 .name = op.name + ".partial",
                 .inputs = {sum.buffer, value(op.inputs[2]).buffer},
                 .outputs = {sum.buffer},
                 .rows = what.rows,
                 .n = what.width,
                 .weight_dtype = stored_dtype(shared_.dtype),
                 .dtype = stored_dtype(shared_.dtype)};
    section_.steps.push_back(std::move(partial));
    const auto& to = rule.outputs[0];
    sum = append_reshard(op.inputs[1], sum, to, *reshard(sum.layout, to));

    const std::vector<int> inputs = {need(op.inputs[0], rule.inputs[0]), sum.buffer};
    LoweredValue out{.buffer = output_buffer(op, position, 0, to, inputs), .layout = to};
    Step step{.kind = OpKind::add,
              .name = op.name,
              .inputs = inputs,
              .outputs = {out.buffer},
              .spec = op.spec,
              .rows = what.rows,
              .n = what.width,
              .weight_dtype = stored_dtype(shared_.dtype),
              .dtype = stored_dtype(shared_.dtype)};
    section_.steps.push_back(std::move(step));
    value(op.outputs[0]) = std::move(out);
}

void BlockLowering::lower_op(std::size_t position, const OpFlow& rule) {
    const auto& op = block_.ops[position];
    const bool sums_first = op.kind == OpKind::add &&
                            rule.inputs.back().kind == LayoutKind::partial &&
                            rule.outputs[0].kind != LayoutKind::partial;
    if (sums_first) return add_partial_sums_first(position, rule);
    std::vector<int> inputs;
    for (std::size_t i = 0; i < op.inputs.size(); ++i)
        inputs.push_back(need(op.inputs[i], rule.inputs[i]));
    Step step{.kind = op.kind,
              .name = op.name,
              .inputs = inputs,
              .spec = local_spec(op, rule),
              .rows = activation(op.outputs[0]).rows,
              .dtype = op.inputs.empty() ? stored_dtype(shared_.dtype)
                                         : dtype_of(activation(op.inputs[0]))};
    for (std::size_t i = 0; i < op.outputs.size(); ++i) {
        LoweredValue out{.buffer = output_buffer(op, position, i, rule.outputs[i], inputs),
                         .layout = rule.outputs[i]};
        if (i == 0) set_weights(op, step, out);
        if (out.layout.kind == LayoutKind::partial) keep_pending(op, rule, out);
        step.outputs.push_back(out.buffer);
        step.n += largest_width(out.layout, activation(op.outputs[i]).width);
        value(op.outputs[i]) = std::move(out);
    }
    if (op.kind == OpKind::linear || op.kind == OpKind::moe_experts)
        step.k = largest_width(rule.inputs[0], activation(op.inputs[0]).width);
    note_cache(op, step.spec);
    section_.steps.push_back(std::move(step));
}

/// A style that leaves its output replicated communicates right after the op.
void BlockLowering::apply_style(std::size_t position) {
    const int style = shared_.plan.op_styles[index_][position];
    if (style < 0 || shared_.plan.styles[at(style)].output != LayoutKind::replicated) return;
    for (const int of : block_.ops[position].outputs) {
        const auto kind = reshard(value(of).layout, Layout::replicated());
        if (!is_communicating(block_.ops[position], shared_.plan.styles[at(style)]) || !kind)
            continue;
        value(of) = append_reshard(of, value(of), Layout::replicated(), *kind);
    }
}

void BlockLowering::note_wanted(const BlockFlow& flow) {
    for (std::size_t i = 0; i < block_.ops.size(); ++i) {
        const auto& op = block_.ops[i];
        for (std::size_t in = 0; in < op.inputs.size(); ++in) {
            if (flow.ops[i].inputs[in].kind == LayoutKind::replicated)
                wanted_whole_[at(op.inputs[in])] = true;
        }
    }
    if (flow.output.kind == LayoutKind::replicated) wanted_whole_[at(block_.output)] = true;
}

Section BlockLowering::run() {
    clear();
    for (std::size_t t = 0; t < block_.tensors.size(); ++t) bind_tensor(t);
    const auto& plan = shared_.plan;
    const bool given = !plan.flows.empty();
    Layout entry = Layout::replicated();
    if (given) {
        entry = plan.flows[index_].input;
        exit_ = plan.flows[index_].output;
        note_wanted(plan.flows[index_]);
    }
    if (block_.input >= 0) value(block_.input) = {.buffer = stream_buffer(entry), .layout = entry};
    for (std::size_t i = 0; i < block_.ops.size(); ++i) {
        if (given) {
            lower_op(i, plan.flows[index_].ops[i]);
            continue;
        }
        std::vector<Layout> current;
        for (const int input : block_.ops[i].inputs) current.push_back(value(input).layout);
        lower_op(i, flow(block_, block_.ops[i], current, cuts()));
        apply_style(i);
    }
    // By the rules, blocks hand on replicated values, so that any block can follow.
    const int last = need(block_.output, exit_);
    assert(!ends_stream(block_.output) || last == stream_buffer(exit_));
    static_cast<void>(last);
    return std::move(section_);
}

Section BlockLowering::piece(std::span<const std::size_t> ops, const std::vector<OpFlow>& flows) {
    clear();
    std::vector<bool> made(block_.activations.size(), false);
    for (const auto i : ops) {
        const auto& op = block_.ops[i];
        for (const int tensor : op.weights) {
            bind_tensor(at(tensor));
            each_scale(block_, tensor, [&](int scales) { bind_tensor(at(scales)); });
        }
        for (std::size_t in = 0; in < op.inputs.size(); ++in) {
            const auto& layout = flows[i].inputs[in];
            const int of = op.inputs[in];
            if (made[at(of)]) continue;
            value(of) = {.buffer = buffer_for(activation(of), activation(of).name, layout),
                         .layout = layout};
        }
        if (!op.outputs.empty() && op.outputs[0] == block_.output) exit_ = flows[i].outputs[0];
        lower_op(i, flows[i]);
        for (const int of : op.outputs) made[at(of)] = true;
    }
    return std::move(section_);
}

Section BlockLowering::reshard_piece(int activation_index, const Layout& from, const Layout& to) {
    clear();
    const auto kind = reshard(from, to);
    if (!kind) return {};
    const auto& what = activation(activation_index);
    append_reshard(activation_index, {.buffer = buffer_for(what, what.name, from), .layout = from},
                   to, *kind);
    return std::move(section_);
}

}  // namespace tplan
