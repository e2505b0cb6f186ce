#include "executor/cpu/kernels.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "core/json_io.h"
#include "executor/cpu/backward.h"
#include "executor/cpu/experts.h"
#include "executor/cpu/largest.h"
#include "executor/cpu/linear.h"
#include "executor/cpu/simd.h"

namespace tplan::cpu {

/// cos and sin [tokens, pairs] of the rotations at each position.
struct RopeTable {
    RopeSpec spec;
    std::int64_t first_position = 0, tokens = 0;
    bool inverse = false;  // turned back: the gradient of a rotation
    std::vector<float> cosine, sine;
};

namespace {

void copy_row(const float* from, std::int64_t n, float* to) {
    std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(float));
}

/// Position in its sequence of the token in row `r`.
std::int64_t position_of(const BoundStep& s, std::int64_t r) {
    return s.first_position + (s.first_row + r) % s.query_tokens;
}

void embedding(const BoundStep& s, float*) {
    const auto& table = s.weights[0];
    const auto& out = s.outputs[0];
    const auto factor = static_cast<float>(s.step->spec.factor);
    for (std::int64_t r = 0; r < out.rows; ++r) {
        const auto row = s.token_ids[s.first_row + r] - s.first_vocab_row;
        if (row < 0 || row >= table.rows) {
            std::fill_n(out.row(r), out.columns, 0.0F);  // another rank has this token
        } else {
            simd().multiply(table.row(row), factor, out.row(r), out.columns);
        }
    }
}

void position_embedding(const BoundStep& s, float*) {
    const auto& table = s.weights[0];
    const auto& out = s.outputs[0];
    for (std::int64_t r = 0; r < out.rows; ++r) {
        simd().add(s.inputs[0].row(r), table.row(position_of(s, r)), 1.0F, out.row(r), out.columns);
    }
}

void linear(const BoundStep& s, float*) {
    run_linear(s);
}

void norm_rows(const BoundStep& s, const Matrix& in, const Matrix& out) {
    const auto& spec = *s.step->spec.norm;
    const auto loop = spec.kind == NormKind::rms ? simd().rms_norm : simd().layer_norm;
    const auto group = spec.group > 0 ? spec.group : in.columns;
    NormCall call;
    call.eps = static_cast<float>(spec.eps);
    call.unit_offset = spec.unit_offset;
    const float* weight = s.weights.empty() ? nullptr : s.weights[0].f32();
    const float* bias = s.weights.size() < 2 ? nullptr : s.weights[1].f32();
    for (std::int64_t r = 0; r < in.rows; ++r) {
        for (std::int64_t at = 0; at < in.columns; at += group) {
            const auto shift = spec.weight_per_group ? at : 0;
            call.weight = weight == nullptr ? nullptr : weight + shift;
            call.bias = bias == nullptr ? nullptr : bias + shift;
            loop(call, in.row(r) + at, out.row(r) + at, group);
        }
    }
}

void norm(const BoundStep& s, float*) {
    norm_rows(s, s.inputs[0], s.outputs[0]);
}

void add(const BoundStep& s, float*) {
    const auto& out = s.outputs[0];
    const auto factor = static_cast<float>(s.step->spec.factor);
    for (std::int64_t r = 0; r < out.rows; ++r) {
        simd().add(s.inputs[0].row(r), s.inputs[1].row(r), factor, out.row(r), out.columns);
        for (std::size_t i = 2; i < s.inputs.size(); ++i) {
            simd().add(out.row(r), s.inputs[i].row(r), factor, out.row(r), out.columns);
        }
    }
}

void add_norm(const BoundStep& s, float* scratch) {
    add(s, scratch);
    norm_rows(s, s.outputs[0], s.outputs[1]);
}

std::shared_ptr<RopeTable> make_rope_table(const RopeSpec& spec, std::int64_t first_position,
                                           std::int64_t tokens, bool inverse) {
    auto table =
        std::make_shared<RopeTable>(RopeTable{spec, first_position, tokens, inverse, {}, {}});
    for (std::int64_t i = 0; i < tokens; ++i) {
        const double position = static_cast<double>(first_position + i) / spec.position_scale;
        for (std::int64_t p = 0; p < spec.rotary_dim / 2; ++p) {
            const double exponent =
                -2.0 * static_cast<double>(p) / static_cast<double>(spec.rotary_dim);
            const double angle = position * std::pow(spec.theta, exponent);
            table->cosine.push_back(static_cast<float>(std::cos(angle)));
            table->sine.push_back(static_cast<float>(inverse ? -std::sin(angle) : std::sin(angle)));
        }
    }
    return table;
}

std::shared_ptr<RopeTable> find_rope_table(const BoundStep& s, SharedTables& tables) {
    const auto& spec = *s.step->spec.rope;
    const bool inverse = s.step->pass == Pass::gradient;
    for (const auto& table : tables.rope) {
        if (table->spec == spec && table->first_position == s.first_position &&
            table->tokens == s.query_tokens && table->inverse == inverse) {
            return table;
        }
    }
    tables.rope.push_back(make_rope_table(spec, s.first_position, s.query_tokens, inverse));
    return tables.rope.back();
}

void rope(const BoundStep& s, float*) {
    const auto& spec = *s.step->spec.rope;
    const auto& table = *static_cast<const RopeTable*>(s.prepared.get());
    const auto pairs = spec.rotary_dim / 2;
    const bool latent = is_latent(spec, s.inputs[1].columns);
    for (std::size_t i = 0; i < s.inputs.size(); ++i) {
        const auto& in = s.inputs[i];
        const auto& out = s.outputs[i];
        const auto head_dim = latent && i == 1 ? spec.rotary_dim : spec.head_dim;
        const auto first = latent ? head_dim - spec.rotary_dim : 0;
        const auto rest = latent ? 0 : 2 * pairs;  // where the columns begin that stay as they are
        for (std::int64_t r = 0; r < in.rows; ++r) {
            const auto angle = static_cast<std::size_t>(r % s.query_tokens * pairs);
            for (std::int64_t at = 0; at < in.columns; at += head_dim) {
                const float* x = in.row(r) + at;
                float* y = out.row(r) + at;
                simd().rope(x + first, table.cosine.data() + angle, table.sine.data() + angle,
                            y + first, pairs, spec.interleaved);
                if (x != y) copy_row(x + rest, head_dim - 2 * pairs, y + rest);
            }
        }
    }
}

void unpack_qkv(const BoundStep& s, float*) {
    const auto& spec = *s.step->spec.attention;
    const auto& in = s.inputs[0];
    const std::array to = {s.outputs[0], s.outputs[1], s.outputs[2]};
    const std::array dims = {spec.head_dim, spec.head_dim, spec.v_head_dim};
    const auto heads = to[0].columns / spec.head_dim;
    const auto kv_heads = to[1].columns / spec.head_dim;
    // `groups` repetitions of [q.. k v], each with `q_heads` and `kv_per_group` heads
    std::int64_t groups = 1;
    if (*s.step->spec.packing == QkvPacking::per_head) groups = heads;
    if (*s.step->spec.packing == QkvPacking::per_kv_group) groups = kv_heads;
    if (groups == 0) return;  // this rank has no heads
    const std::array per_group = {heads / groups, kv_heads / groups, kv_heads / groups};
    for (std::int64_t r = 0; r < in.rows; ++r) {
        const float* from = in.row(r);
        for (std::int64_t g = 0; g < groups; ++g) {
            for (std::size_t part = 0; part < 3; ++part) {
                const auto n = per_group[part] * dims[part];
                copy_row(from, n, to[part].row(r) + g * n);
                from += n;
            }
        }
    }
}

/// Where columns of new rows go in a cache [batch, heads, tokens, dim].
struct CacheColumns {
    std::int64_t heads = 0;
    std::int64_t step = 0;  // from one head to the next in the rows; 0: all heads get the same
    std::int64_t begin = 0, n = 0;  // of a head's columns
    std::int64_t dim = 0, at = 0;   // in the cache's rows
};

/// Columns of the new rows [batch * query_tokens, ..] to the end of the cache.
void append(const Matrix& from, const CacheColumns& what, const BoundStep& s, float* cache) {
    const auto tokens = s.cache.tokens;
    for (std::int64_t r = 0; r < from.rows; ++r) {
        const auto sequence = r / s.query_tokens;
        const auto token = tokens - s.query_tokens + r % s.query_tokens;
        for (std::int64_t h = 0; h < what.heads; ++h) {
            const auto row = (sequence * what.heads + h) * tokens + token;
            copy_row(from.row(r) + h * what.step + what.begin, what.n,
                     cache + row * what.dim + what.at);
        }
    }
}

/// The step's own keys and values to its cache.
void append_new(const BoundStep& s) {
    const auto& spec = *s.step->spec.attention;
    float* keys = s.cache.keys.f32();
    float* values = s.cache.values.f32();
    const auto k_dim = spec.head_dim, v_dim = spec.v_head_dim;
    if (spec.latent_width == 0) {
        const auto heads = s.inputs[1].columns / k_dim;
        append(s.inputs[1], {heads, k_dim, 0, k_dim, k_dim, 0}, s, keys);
        append(s.inputs[2], {heads, v_dim, 0, v_dim, v_dim, 0}, s, values);
        return;
    }
    // [key without position | value] per head, and one rotated key for all heads
    const auto heads = static_cast<std::int64_t>(s.kv_of_head.size());
    const auto rotated = s.inputs[1].columns;
    const auto plain = k_dim - rotated;
    append(s.inputs[2], {heads, plain + v_dim, 0, plain, k_dim, 0}, s, keys);
    append(s.inputs[1], {heads, 0, 0, rotated, k_dim, plain}, s, keys);
    append(s.inputs[2], {heads, plain + v_dim, plain, v_dim, v_dim, 0}, s, values);
}

AttentionCall attention_call(const BoundStep& s) {
    const auto& spec = *s.step->spec.attention;
    AttentionCall call;
    call.batch = s.batch;
    call.query_tokens = s.query_tokens;
    call.head_dim = spec.head_dim;
    call.v_dim = spec.v_head_dim;
    call.heads = static_cast<std::int64_t>(s.kv_of_head.size());
    call.kv_heads = spec.latent_width > 0 ? call.heads : s.inputs[1].columns / spec.head_dim;
    call.tokens = s.cache.tokens;
    call.first_query = s.cache.tokens - s.query_tokens;
    call.kv_of_head = s.kv_of_head.data();
    call.q = s.inputs[0].f32();
    call.q_stride = s.inputs[0].stride;
    call.keys = s.cache.keys.f32();
    call.values = s.cache.values.f32();
    call.out = s.outputs[0].f32();
    call.out_stride = s.outputs[0].stride;
    call.scale = static_cast<float>(spec.scale);
    call.softcap = static_cast<float>(spec.softcap);
    call.window = spec.window;
    call.sinks = spec.sinks ? s.weights[0].f32() : nullptr;
    return call;
}

void attention(const BoundStep& s, float* scratch) {
    append_new(s);
    auto call = attention_call(s);
    call.scratch = scratch;
    simd().attention(call);
}

void activation(const BoundStep& s, float*) {
    const auto kind = *s.step->spec.activation;
    const auto& out = s.outputs[0];
    const auto& in = s.inputs[0];
    const bool halves = s.inputs.size() == 1 && in.columns == 2 * out.columns && out.columns > 0;
    for (std::int64_t r = 0; r < out.rows; ++r) {
        const float* up = halves                 ? in.row(r) + out.columns
                          : s.inputs.size() == 2 ? s.inputs[1].row(r)
                                                 : nullptr;
        simd().activate(kind, in.row(r), up, out.row(r), out.columns);
    }
}

void multiply(const BoundStep& s, float*) {
    const auto& out = s.outputs[0];
    for (std::int64_t r = 0; r < out.rows; ++r) {
        const float gate = 1.0F / (1.0F + std::exp(-s.inputs[1].row(r)[0]));
        simd().multiply(s.inputs[0].row(r), gate, out.row(r), out.columns);
    }
}

void select_last(const BoundStep& s, float*) {
    const auto& out = s.outputs[0];
    for (std::int64_t r = 0; r < out.rows; ++r) {
        copy_row(s.inputs[0].row((r + 1) * s.query_tokens - 1), out.columns, out.row(r));
    }
}

void scale(const BoundStep& s, float*) {
    const auto& out = s.outputs[0];
    const auto factor = static_cast<float>(s.step->spec.factor);
    const auto cap = static_cast<float>(s.step->spec.softcap);
    for (std::int64_t r = 0; r < out.rows; ++r) {
        if (cap > 0) {
            simd().softcap(s.inputs[0].row(r), factor, cap, out.row(r), out.columns);
        } else {
            simd().multiply(s.inputs[0].row(r), factor, out.row(r), out.columns);
        }
    }
}

void slice(const BoundStep& s, float*) {
    const auto& out = s.outputs[0];
    for (std::int64_t r = 0; r < out.rows; ++r) {
        float* to = out.row(r);
        for (const auto& part : s.columns) {
            copy_row(s.inputs[0].row(s.first_row + r) + part.offset, part.extent, to);
            to += part.extent;
        }
    }
}

void split_columns(const BoundStep& s, float*) {
    std::int64_t at = 0;
    for (const auto& out : s.outputs) {
        for (std::int64_t r = 0; r < out.rows; ++r)
            copy_row(s.inputs[0].row(r) + at, out.columns, out.row(r));
        at += out.columns;
    }
}

void largest(const BoundStep& s, float*) {
    keep_largest(s);
}

struct Kernel {
    OpKind kind;
    void (*run)(const BoundStep&, float* scratch);  // null: a collective, the communicator's
};
constexpr std::array kKernels = {
    Kernel{OpKind::embedding, embedding},
    Kernel{OpKind::position_embedding, position_embedding},
    Kernel{OpKind::linear, linear},
    Kernel{OpKind::norm, norm},
    Kernel{OpKind::add, add},
    Kernel{OpKind::add_norm, add_norm},
    Kernel{OpKind::rope, rope},
    Kernel{OpKind::unpack_qkv, unpack_qkv},
    Kernel{OpKind::attention, attention},
    Kernel{OpKind::activation, activation},
    Kernel{OpKind::multiply, multiply},
    Kernel{OpKind::select_last, select_last},
    Kernel{OpKind::scale, scale},
    Kernel{OpKind::split_columns, split_columns},
    Kernel{OpKind::moe_router, run_router},
    Kernel{OpKind::moe_experts, run_experts},
    Kernel{OpKind::largest, largest},
    Kernel{OpKind::all_reduce, nullptr},
    Kernel{OpKind::all_gather, nullptr},
    Kernel{OpKind::reduce_scatter, nullptr},
    Kernel{OpKind::all_to_all, nullptr},
    Kernel{OpKind::slice, slice},
};
static_assert(kKernels.size() == enum_names(OpKind{}).size());

const Kernel& kernel_of(OpKind kind) {
    const auto& kernel = kKernels[static_cast<std::size_t>(kind)];
    assert(kernel.kind == kind);
    return kernel;
}

}  // namespace

std::string kernel_refusal(const Step& step, DType weights) {
    if (is_collective(step.kind)) return {};
    const auto& spec = step.spec;
    if (step.pass) return backward_refusal(step);
    if (step.kind == OpKind::moe_router && !spec.routing)
        return "the step does not say how it routes";
    if (spec.activation == ActivationKind::clamped_swiglu)
        return "clamped_swiglu outside of experts has no cpu kernel";
    return step.kind == OpKind::linear ? linear_refusal(weights) : std::string();
}

std::int64_t prepare_kernel(BoundStep& step, SharedTables& tables) {
    if (is_training_step(step)) return prepare_backward(step);
    switch (step.step->kind) {
        case OpKind::linear:
            step.prepared = prepare_linear(step);
            return 0;
        case OpKind::rope:
            step.prepared = find_rope_table(step, tables);
            return 0;
        case OpKind::attention:
            return attention_scratch(attention_call(step));
        case OpKind::moe_router:
        case OpKind::moe_experts:
            return experts_scratch(step);
        default:
            return 0;
    }
}

void run_kernel(const BoundStep& step, float* scratch) {
    if (is_training_step(step)) return run_backward(step, scratch);
    kernel_of(step.step->kind).run(step, scratch);
}

}  // namespace tplan::cpu
