#include "executor/gpu/steps.h"

#include <array>
#include <cassert>
#include <cmath>

#include "core/error.h"
#include "core/json_io.h"
#include "core/text.h"
#include "models/sampling.h"

namespace tplan::gpu {
namespace {

/// Launches of one step, in order, with the memory they refer to.
struct Prepared {
    std::vector<tplan_op> ops;
    std::vector<std::shared_ptr<void>> memory;
    std::shared_ptr<void> linear;  // the table's plan
};

/// Weights of a linear on the device.
struct Weights {
    Matrix matrix;
    std::shared_ptr<void> owner;
};

using Maker = void (*)(const Device&, const BoundStep&, SharedSteps&, Prepared&);

tplan_op op_for(int kind, const BoundStep& s) {
    auto op = op_of(kind);
    op.inputs = static_cast<int>(s.inputs.size());
    op.outputs = static_cast<int>(s.outputs.size());
    op.weights = static_cast<int>(s.weights.size());
    for (std::size_t i = 0; i < s.inputs.size() && i < 3; ++i) op.in[i] = matrix_of(s.inputs[i]);
    for (std::size_t i = 0; i < s.outputs.size() && i < 3; ++i) op.out[i] = matrix_of(s.outputs[i]);
    for (std::size_t i = 0; i < s.weights.size() && i < 4; ++i)
        op.weight[i] = matrix_of(s.weights[i]);
    op.factor = s.step->spec.factor;
    op.softcap = s.step->spec.softcap;
    op.query_tokens = s.query_tokens;
    op.first_position = s.first_position;
    op.rows_before = s.first_row;
    op.batch = s.batch;
    return op;
}

template <class T>
void* to_device(const Device& device, const std::vector<T>& values, Prepared& prepared) {
    const auto bytes = values.size() * sizeof(T);
    prepared.memory.push_back(device_bytes(device, bytes));
    void* const data = prepared.memory.back().get();
    require(device, device.table->copy_to_device(device.context, data, values.data(), bytes),
            "copying to the device");
    return data;
}

void make_embedding(const Device&, const BoundStep& s, SharedSteps&, Prepared& prepared) {
    auto op = op_for(TPLAN_EMBEDDING, s);
    op.ids = s.token_ids + s.first_row;
    op.first_row = s.first_vocab_row;
    prepared.ops.push_back(op);
}

template <int kind>
void make_plain(const Device&, const BoundStep& s, SharedSteps&, Prepared& prepared) {
    prepared.ops.push_back(op_for(kind, s));
}

Matrix joined(const std::vector<Matrix>& side_by_side) {
    auto all = side_by_side.front();
    for (std::size_t i = 1; i < side_by_side.size(); ++i) all.columns += side_by_side[i].columns;
    return all;
}

void make_linear(const Device& device, const BoundStep& s, SharedSteps&, Prepared& prepared) {
    const auto& weights = *static_cast<const Weights*>(s.linear.data.get());
    const auto x = matrix_of(s.inputs.front());
    const auto w = matrix_of(weights.matrix);
    const auto y = matrix_of(joined(s.outputs));
    tplan_matrix bias{};
    if (s.bias.data != nullptr) {  // in the outputs' type, which the epilogue wants
        std::vector<float> host(static_cast<std::size_t>(s.bias.columns));
        const auto from = matrix_of(s.bias);
        require(device, device.table->download(device.context, host.data(), &from),
                "reading a bias");
        bias = {nullptr, 1, s.bias.columns, s.bias.columns, y.dtype};
        prepared.memory.push_back(device_bytes(device, host.size() * sizeof(float)));
        bias.data = prepared.memory.back().get();
        require(device, device.table->upload(device.context, &bias, host.data()), "writing a bias");
    }
    void* plan = nullptr;
    require(device, device.table->plan_linear(device.context, &x, &w, &y, &bias, &plan), s.id);
    prepared.linear = {plan, device.table->drop_linear};
}

void add_norm_op(const BoundStep& s, const Matrix& in, const Matrix& out, Prepared& prepared) {
    const auto& spec = *s.step->spec.norm;
    auto op = op_for(TPLAN_NORM, s);
    op.in[0] = matrix_of(in);
    op.out[0] = matrix_of(out);
    op.inputs = op.outputs = 1;
    op.layer_norm = spec.kind == NormKind::layer;
    op.unit_offset = spec.unit_offset;
    op.weight_per_group = spec.weight_per_group;
    op.group = spec.group;
    op.eps = spec.eps;
    prepared.ops.push_back(op);
}

void make_norm(const Device&, const BoundStep& s, SharedSteps&, Prepared& prepared) {
    add_norm_op(s, s.inputs[0], s.outputs[0], prepared);
}

void make_add_norm(const Device&, const BoundStep& s, SharedSteps&, Prepared& prepared) {
    prepared.ops.push_back(op_for(TPLAN_ADD, s));
    add_norm_op(s, s.outputs[0], s.outputs[1], prepared);
}

/// Cosines, then sines, [query tokens, pairs] each.
std::shared_ptr<void> rope_table(const Device& device, const BoundStep& s, SharedSteps& shared) {
    const auto& spec = *s.step->spec.rope;
    const auto key = fmt::format("{} {} {} {} {}", spec.rotary_dim, spec.theta, spec.position_scale,
                                 s.first_position, s.query_tokens);
    auto& table = shared.rope[key];
    if (table) return table;
    std::vector<float> cosine, sine;
    for (std::int64_t i = 0; i < s.query_tokens; ++i) {
        const double position = static_cast<double>(s.first_position + i) / spec.position_scale;
        for (std::int64_t p = 0; p < spec.rotary_dim / 2; ++p) {
            const double exponent =
                -2.0 * static_cast<double>(p) / static_cast<double>(spec.rotary_dim);
            const double angle = position * std::pow(spec.theta, exponent);
            cosine.push_back(static_cast<float>(std::cos(angle)));
            sine.push_back(static_cast<float>(std::sin(angle)));
        }
    }
    cosine.insert(cosine.end(), sine.begin(), sine.end());
    table = device_bytes(device, cosine.size() * sizeof(float));
    require(device,
            device.table->copy_to_device(device.context, table.get(), cosine.data(),
                                         cosine.size() * sizeof(float)),
            "copying to the device");
    return table;
}

void make_rope(const Device& device, const BoundStep& s, SharedSteps& shared, Prepared& prepared) {
    const auto& spec = *s.step->spec.rope;
    const bool latent = is_latent(spec, s.inputs[1].columns);
    const auto table = rope_table(device, s, shared);
    prepared.memory.push_back(table);
    for (std::size_t i = 0; i < s.inputs.size(); ++i) {
        auto op = op_for(TPLAN_ROPE, s);
        op.in[0] = matrix_of(s.inputs[i]);
        op.out[0] = matrix_of(s.outputs[i]);
        op.head_dim = latent && i == 1 ? spec.rotary_dim : spec.head_dim;
        op.rotary_first = latent ? op.head_dim - spec.rotary_dim : 0;
        op.pairs = spec.rotary_dim / 2;
        op.interleaved = spec.interleaved;
        auto* const cosine = static_cast<float*>(table.get());
        op.weight[0].data = cosine;
        op.weight[1].data = cosine + s.query_tokens * op.pairs;
        op.weights = 2;
        prepared.ops.push_back(op);
    }
}

void make_unpack(const Device&, const BoundStep& s, SharedSteps&, Prepared& prepared) {
    auto op = op_for(TPLAN_UNPACK_QKV, s);
    const auto& spec = *s.step->spec.attention;
    op.packing = static_cast<int>(*s.step->spec.packing);
    op.heads = s.outputs[0].columns / spec.head_dim;
    op.kv_heads = s.outputs[1].columns / spec.head_dim;
    prepared.ops.push_back(op);
}

void make_attention(const Device& device, const BoundStep& s, SharedSteps&, Prepared& prepared) {
    const auto& spec = *s.step->spec.attention;
    auto op = op_for(TPLAN_ATTENTION, s);
    op.keys = matrix_of(s.cache.keys);
    op.values = matrix_of(s.cache.values);
    op.tokens = s.cache.tokens;
    op.head_dim = spec.head_dim;
    op.v_head_dim = spec.v_head_dim;
    op.heads = static_cast<std::int64_t>(s.kv_of_head.size());
    op.latent_key = spec.latent_width > 0 ? s.inputs[1].columns : 0;
    op.kv_heads = op.latent_key > 0 ? op.heads : s.inputs[1].columns / spec.head_dim;
    op.window = spec.window;
    op.scale = spec.scale;
    op.softcap = spec.softcap;
    op.kv_of_head = static_cast<const std::int32_t*>(to_device(device, s.kv_of_head, prepared));
    prepared.ops.push_back(op);
}

void make_activation(const Device&, const BoundStep& s, SharedSteps&, Prepared& prepared) {
    auto op = op_for(TPLAN_ACTIVATION, s);
    op.activation = static_cast<int>(*s.step->spec.activation);
    op.halves = s.inputs.size() == 1 && s.inputs[0].columns == 2 * s.outputs[0].columns;
    prepared.ops.push_back(op);
}

void add_copy(const Matrix& in, std::int64_t from, const Matrix& out, std::int64_t to,
              std::int64_t columns, Prepared& prepared) {
    if (columns > 0) prepared.ops.push_back(copy_columns_op(in, from, out, to, columns));
}

void make_split(const Device&, const BoundStep& s, SharedSteps&, Prepared& prepared) {
    std::int64_t from = 0;
    for (const auto& out : s.outputs) {
        add_copy(s.inputs[0], from, out, 0, out.columns, prepared);
        from += out.columns;
    }
}

void make_slice(const Device&, const BoundStep& s, SharedSteps&, Prepared& prepared) {
    auto in = s.inputs[0];
    in.data = in.place(s.first_row, 0);
    in.rows = s.outputs[0].rows;
    std::int64_t to = 0;
    for (const auto& part : s.columns) {
        add_copy(in, part.offset, s.outputs[0], to, part.extent, prepared);
        to += part.extent;
    }
}

void make_router(const Device&, const BoundStep& s, SharedSteps&, Prepared& prepared) {
    auto op = op_for(TPLAN_ROUTER, s);
    const auto& spec = *s.step->spec.routing;
    op.score = static_cast<int>(spec.score);
    op.normalise = spec.normalise;
    op.groups = static_cast<int>(spec.groups);
    op.top_groups = static_cast<int>(spec.top_groups);
    op.group_score = static_cast<int>(spec.group_score);
    op.correction = spec.correction;
    op.routing_scale = spec.scale;
    op.top_k = s.step->spec.moe->top_k;
    prepared.ops.push_back(op);
}

void make_experts(const Device&, const BoundStep& s, SharedSteps&, Prepared& prepared) {
    auto op = op_for(TPLAN_EXPERTS, s);
    op.first_row = s.first_expert;
    op.top_k = s.step->spec.moe->top_k;
    op.activation = static_cast<int>(s.step->spec.moe->activation);
    prepared.ops.push_back(op);
}

void make_largest(const Device& device, const BoundStep& s, SharedSteps&, Prepared& prepared) {
    auto op = op_for(TPLAN_LARGEST, s);
    op.of_pairs = s.step->spec.largest->of_pairs;
    op.no_value = kNoValue;
    op.no_index = kNoIndex;
    if (op.of_pairs == 0) {
        std::vector<std::int64_t> pieces;
        for (const auto& piece : s.columns) {
            pieces.push_back(piece.offset);
            pieces.push_back(piece.extent);
        }
        op.count = static_cast<int>(s.columns.size());
        op.pieces = static_cast<const std::int64_t*>(to_device(device, pieces, prepared));
    }
    prepared.ops.push_back(op);
}

struct KindRow {
    OpKind kind;
    Maker make;  // null: a collective, which goes through the communicator, or refused
};
constexpr std::array kKinds = {
    KindRow{OpKind::embedding, make_embedding},
    KindRow{OpKind::position_embedding, make_plain<TPLAN_POSITION_EMBEDDING>},
    KindRow{OpKind::linear, make_linear},
    KindRow{OpKind::norm, make_norm},
    KindRow{OpKind::add, make_plain<TPLAN_ADD>},
    KindRow{OpKind::add_norm, make_add_norm},
    KindRow{OpKind::rope, make_rope},
    KindRow{OpKind::unpack_qkv, make_unpack},
    KindRow{OpKind::attention, make_attention},
    KindRow{OpKind::activation, make_activation},
    KindRow{OpKind::multiply, make_plain<TPLAN_MULTIPLY>},
    KindRow{OpKind::select_last, make_plain<TPLAN_SELECT_LAST>},
    KindRow{OpKind::scale, make_plain<TPLAN_SCALE>},
    KindRow{OpKind::split_columns, make_split},
    KindRow{OpKind::moe_router, make_router},
    KindRow{OpKind::moe_experts, make_experts},
    KindRow{OpKind::largest, make_largest},
    KindRow{OpKind::all_reduce, nullptr},
    KindRow{OpKind::all_gather, nullptr},
    KindRow{OpKind::reduce_scatter, nullptr},
    KindRow{OpKind::all_to_all, nullptr},
    KindRow{OpKind::slice, make_slice},
};
static_assert(kKinds.size() == enum_names(OpKind{}).size());

const KindRow& row_of(OpKind kind) {
    const auto& row = kKinds[static_cast<std::size_t>(kind)];
    assert(row.kind == kind);
    return row;
}

}  // namespace

std::shared_ptr<void> device_bytes(const Device& device, std::size_t bytes) {
    void* data = nullptr;
    require(device, device.table->allocate(device.context, bytes, &data),
            fmt::format("allocating {}", format_bytes(Bytes(static_cast<double>(bytes)))));
    return {data, [device](void* memory) { device.table->release(device.context, memory); }};
}

std::string step_refusal(const Step& step, DType weights) {
    if (weights == DType::fp8 || is_stored_only(weights))
        return "the cuda backend multiplies bf16, fp16 and fp32 weights";
    if (step.pass && step.pass != Pass::recompute) return "it has no kernel of the backward pass";
    if (step.kind == OpKind::add && step.inputs.size() > 3) return "more than three terms";
    if (step.kind == OpKind::moe_router && !step.spec.routing)
        return "the step does not say how it routes";
    if (step.spec.activation == ActivationKind::clamped_swiglu)
        return "clamped_swiglu outside of experts has no kernel";
    return {};
}

std::shared_ptr<void> prepare_step(const Device& device, const BoundStep& step,
                                   SharedSteps& shared) {
    auto prepared = std::make_shared<Prepared>();
    if (const auto make = row_of(step.step->kind).make) make(device, step, shared, *prepared);
    for (const auto& op : prepared->ops) {
        const auto bytes = device.table->workspace_bytes(&op);
        if (bytes <= shared.workspace_bytes) continue;
        shared.workspace = device_bytes(device, bytes);
        shared.workspace_bytes = bytes;
    }
    return prepared;
}

void launch_step(const Device& device, const BoundStep& step, const SharedSteps& shared) {
    const auto& prepared = *static_cast<const Prepared*>(step.prepared.get());
    if (prepared.linear)
        require(device, device.table->linear(device.context, prepared.linear.get()), step.id);
    for (auto op : prepared.ops) {
        op.workspace = shared.workspace.get();
        launch(device, op, step.id);
    }
}

std::shared_ptr<void> pack_weights(const Device& device, const Matrix& plain, DType dtype) {
    auto weights = std::make_shared<Weights>();
    weights->matrix = plain;
    weights->matrix.dtype = dtype;
    weights->matrix.stride = plain.columns;
    const auto bytes = static_cast<std::size_t>(weights->matrix.bytes());
    weights->owner = device_bytes(device, bytes);
    weights->matrix.data = weights->owner.get();
    auto op = op_of(TPLAN_CONVERT);
    op.in[0] = matrix_of(plain);
    op.out[0] = matrix_of(weights->matrix);
    op.inputs = op.outputs = 1;
    launch(device, op, "converting weights");
    require(device, device.table->synchronise(device.context), "converting weights");
    return weights;
}

}  // namespace tplan::gpu
