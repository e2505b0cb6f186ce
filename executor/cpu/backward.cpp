#include "executor/cpu/backward.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <vector>

#include "executor/cpu/loss.h"
#include "executor/cpu/optimizer.h"
#include "executor/cpu/product.h"
#include "executor/cpu/simd.h"

namespace tplan::cpu {
namespace {

using Products = std::vector<std::shared_ptr<MatrixProduct>>;

void fill_zero(const Matrix& m) {
    for (std::int64_t r = 0; r < m.rows; ++r) std::fill_n(m.row(r), m.columns, 0.0F);
}

/// The gradient to add to: what an earlier repetition left is cleared.
float* cleared(const TrainedWeight& weight) {
    if (weight.first) fill_zero(weight.gradient);
    return weight.gradient.f32();
}

// -- linears ----------------------------------------------------------------------------------

/// y_i = x W_i^T, and its gradients: dW_i = dy_i^T x, dx = sum of dy_i W_i.
Products linear_products(const BoundStep& s) {
    Products products;
    if (!s.step->pass) {
        for (std::size_t i = 0; i < s.outputs.size(); ++i)
            products.push_back(
                bind_product({s.inputs[0]}, {s.weights[i], true}, s.outputs[i], false));
    } else if (s.step->pass == Pass::weight_gradient) {
        for (std::size_t i = 0; i < s.trained.size(); ++i) {
            const auto& weight = s.trained[i];
            products.push_back(bind_product({s.inputs[i + 1], true}, {s.inputs[0]}, weight.gradient,
                                            !weight.first));
        }
    } else {
        for (std::size_t i = 0; i < s.trained.size(); ++i)
            products.push_back(
                bind_product({s.inputs[i]}, {s.trained[i].value}, s.outputs[0], i > 0));
    }
    return products;
}

void linear(const BoundStep& s, float*) {
    for (const auto& product : *static_cast<const Products*>(s.prepared.get()))
        run_product(*product);
    for (std::size_t i = 0; i < s.biases.size(); ++i) {
        if (s.biases[i].data == nullptr) continue;
        for (std::int64_t r = 0; r < s.outputs[i].rows; ++r) {
            float* row = s.outputs[i].row(r);
            simd().add(row, s.biases[i].f32(), 1.0F, row, s.outputs[i].columns);
        }
    }
}

/// in {dy}: the gradient of a bias is the sum over the rows.
void bias_gradient(const BoundStep& s, float*) {
    float* const sum = cleared(s.trained[0]);
    for (std::int64_t r = 0; r < s.inputs[0].rows; ++r)
        simd().add(sum, s.inputs[0].row(r), 1.0F, sum, s.inputs[0].columns);
}

// -- tables -----------------------------------------------------------------------------------

void embedding(const BoundStep& s, float*) {
    cleared(s.trained[0]);
    const auto& table = s.trained[0].gradient;
    const auto factor = static_cast<float>(s.step->spec.factor);
    for (std::int64_t r = 0; r < s.inputs[0].rows; ++r) {
        const auto row = s.token_ids[s.first_row + r] - s.first_vocab_row;
        if (row < 0 || row >= table.rows) continue;  // another rank has this token
        simd().add(table.row(row), s.inputs[0].row(r), factor, table.row(row), table.columns);
    }
}

void position_embedding(const BoundStep& s, float*) {
    cleared(s.trained[0]);
    const auto& table = s.trained[0].gradient;
    for (std::int64_t r = 0; r < s.inputs[0].rows; ++r) {
        float* row = table.row(s.first_position + (s.first_row + r) % s.query_tokens);
        simd().add(row, s.inputs[0].row(r), 1.0F, row, table.columns);
    }
}

// -- passes over rows -------------------------------------------------------------------------

/// in {x, dy, what the result is added to?}; out {dx}.
void norm(const BoundStep& s, float* scratch) {
    const auto& spec = *s.step->spec.norm;
    const auto &x = s.inputs[0], &dy = s.inputs[1], &dx = s.outputs[0];
    const auto group = spec.group > 0 ? spec.group : x.columns;
    float* const dweight = s.trained.empty() ? nullptr : cleared(s.trained[0]);
    float* const dbias = s.trained.size() < 2 ? nullptr : cleared(s.trained[1]);
    NormCall call;
    call.eps = static_cast<float>(spec.eps);
    call.unit_offset = spec.unit_offset;
    for (std::int64_t r = 0; r < x.rows; ++r) {
        for (std::int64_t at = 0; at < x.columns; at += group) {
            const auto shift = spec.weight_per_group || spec.group == 0 ? at : 0;
            NormGradients to;
            to.scratch = scratch;
            if (dweight != nullptr) {
                call.weight = s.trained[0].value.f32() + shift;
                to.weight = dweight + shift;
            }
            if (dbias != nullptr) to.bias = dbias + shift;
            if (s.inputs.size() > 2) to.add = s.inputs[2].row(r) + at;
            simd().norm_gradient(call, spec.kind == NormKind::layer, to, x.row(r) + at,
                                 dy.row(r) + at, dx.row(r) + at, group);
        }
    }
}

/// in {gate, up, dy}, {gate_up, dy} (halves) or {x, dy}.
void activation(const BoundStep& s, float*) {
    const auto kind = *s.step->spec.activation;
    const auto& dy = s.inputs.back();
    const bool pair = s.inputs.size() == 3;
    const auto n = dy.columns;
    const bool halves = !pair && n > 0 && s.inputs[0].columns == 2 * n;
    for (std::int64_t r = 0; r < dy.rows; ++r) {
        const float* gate = s.inputs[0].row(r);
        float* dgate = s.outputs[0].row(r);
        const float* up = pair ? s.inputs[1].row(r) : halves ? gate + n : nullptr;
        float* dup = pair ? s.outputs[1].row(r) : halves ? dgate + n : nullptr;
        simd().activate_gradient(kind, gate, up, dy.row(r), dgate, dup, n);
    }
}

/// in {x, dy}, or {dy} of a plain factor.
void scale(const BoundStep& s, float*) {
    const auto& dy = s.inputs.back();
    const auto factor = static_cast<float>(s.step->spec.factor);
    const auto cap = static_cast<float>(s.step->spec.softcap);
    for (std::int64_t r = 0; r < dy.rows; ++r) {
        if (cap > 0) {
            simd().softcap_gradient(s.inputs[0].row(r), dy.row(r), factor, cap, s.outputs[0].row(r),
                                    dy.columns);
        } else {
            simd().multiply(dy.row(r), factor, s.outputs[0].row(r), dy.columns);
        }
    }
}

/// in {dq, dk, dv}; out {their columns as the fused projection has them}.
void unpack_qkv(const BoundStep& s, float*) {
    const auto& spec = *s.step->spec.attention;
    const std::array dims = {spec.head_dim, spec.head_dim, spec.v_head_dim};
    const auto heads = s.inputs[0].columns / spec.head_dim;
    const auto kv_heads = s.inputs[1].columns / spec.head_dim;
    std::int64_t groups = 1;
    if (*s.step->spec.packing == QkvPacking::per_head) groups = heads;
    if (*s.step->spec.packing == QkvPacking::per_kv_group) groups = kv_heads;
    if (groups == 0) return;  // this rank has no heads
    const std::array per_group = {heads / groups, kv_heads / groups, kv_heads / groups};
    for (std::int64_t r = 0; r < s.outputs[0].rows; ++r) {
        float* to = s.outputs[0].row(r);
        for (std::int64_t g = 0; g < groups; ++g) {
            for (std::size_t part = 0; part < 3; ++part) {
                const auto n = per_group[part] * dims[part];
                std::copy_n(s.inputs[part].row(r) + g * n, n, to);
                to += n;
            }
        }
    }
}

/// in {q, k, v, attended, d attended}; out {dq, dk, dv}.
void attention(const BoundStep& s, float* scratch) {
    const auto& spec = *s.step->spec.attention;
    const auto rows = [](const Matrix& m) { return HeadRows{m.f32(), m.stride}; };
    const auto gradients = [](const Matrix& m) { return HeadGradients{m.f32(), m.stride}; };
    AttentionGradientCall call;
    call.batch = s.batch;
    call.tokens = s.query_tokens;
    call.heads = static_cast<std::int64_t>(s.kv_of_head.size());
    call.head_dim = spec.head_dim;
    call.v_dim = spec.v_head_dim;
    call.kv_of_head = s.kv_of_head.data();
    call.q = rows(s.inputs[0]);
    call.k = rows(s.inputs[1]);
    call.v = rows(s.inputs[2]);
    call.out = rows(s.inputs.back());
    call.dq = gradients(s.outputs[0]);
    call.dk = gradients(s.outputs[1]);
    call.dv = gradients(s.outputs[2]);
    call.scale = static_cast<float>(spec.scale);
    call.softcap = static_cast<float>(spec.softcap);
    call.window = spec.window;
    call.scratch = scratch;
    simd().attention_gradient(call);
}

struct BackwardKernel {
    OpKind kind;
    void (*run)(const BoundStep&, float* scratch);
};
constexpr std::array kKernels = {
    BackwardKernel{OpKind::embedding, embedding},
    BackwardKernel{OpKind::position_embedding, position_embedding},
    BackwardKernel{OpKind::linear, linear},
    BackwardKernel{OpKind::norm, norm},
    BackwardKernel{OpKind::add, bias_gradient},
    BackwardKernel{OpKind::unpack_qkv, unpack_qkv},
    BackwardKernel{OpKind::attention, attention},
    BackwardKernel{OpKind::activation, activation},
    BackwardKernel{OpKind::scale, scale},
};

const BackwardKernel* kernel_of(OpKind kind) {
    const auto* found = std::find_if(kKernels.begin(), kKernels.end(),
                                     [&](const BackwardKernel& k) { return k.kind == kind; });
    return found == kKernels.end() ? nullptr : found;
}

/// Rotations backwards, sums of gradients and what moves rows run as forwards.
bool runs_as_forward(const Step& step) {
    const bool sum = step.kind == OpKind::add && !step.outputs.empty();
    return sum || step.kind == OpKind::rope || step.kind == OpKind::slice;
}

}  // namespace

bool is_training_step(const BoundStep& step) {
    if (is_collective(step.step->kind)) return false;
    const bool trained = step.step->kind == OpKind::linear && !step.linear.data;
    return trained || (step.step->pass && !runs_as_forward(*step.step));
}

std::string backward_refusal(const Step& step) {
    if (is_collective(step.kind) || step.loss || step.optimizer || runs_as_forward(step)) return {};
    if (kernel_of(step.kind) == nullptr)
        return "it has no backward kernel on the cpu: dense models are trained, without experts, "
               "gates on whole rows or latent attention";
    return {};
}

std::int64_t prepare_backward(BoundStep& step) {
    if (step.step->optimizer) step.prepared = prepare_update();
    if (step.step->optimizer || step.step->loss) return 0;
    switch (step.step->kind) {
        case OpKind::linear:
            step.prepared = std::make_shared<Products>(linear_products(step));
            return 0;
        case OpKind::norm:
            return step.inputs[0].columns;
        case OpKind::attention:
            return 3 * kGradientQueries * step.query_tokens;
        default:
            return 0;
    }
}

void run_backward(const BoundStep& step, float* scratch) {
    if (step.step->optimizer) return run_update(step);
    if (step.step->loss) return run_loss(step);
    kernel_of(step.step->kind)->run(step, scratch);
}

}  // namespace tplan::cpu
