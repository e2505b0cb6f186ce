#include "executor/cpu/experts.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "executor/cpu/simd.h"

namespace tplan::cpu {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

// gpt_oss; the family file admits no others.
constexpr float kSwigluLimit = 7, kSwigluAlpha = 1.702F;

/// y[m, n] = x[m, k] w[n, k]^T, all contiguous but x.
void product(std::int64_t m, std::int64_t n, std::int64_t k, const float* x, std::int64_t x_stride,
             const float* w, float* y) {
    if (m == 1) {
        simd().gemv(n, k, x, w, k, y);
    } else {
        simd().gemm(m, n, k, x, x_stride, w, k, y, n);
    }
}

/// x = softmax(x).
void softmax(float* x, std::int64_t n) {
    const float top = *std::max_element(x, x + n);
    float sum = 0;
    for (std::int64_t i = 0; i < n; ++i) sum += x[i] = std::exp(x[i] - top);
    for (std::int64_t i = 0; i < n; ++i) x[i] /= sum;
}

/// Index of the greatest of n values at a stride of one, the first of equals; n >= 1.
std::int64_t greatest(const float* x, std::int64_t n) {
    return std::max_element(x, x + n) - x;
}

float worth(const float* choice, std::int64_t n, GroupScore kind) {
    if (kind == GroupScore::best) return *std::max_element(choice, choice + n);
    float best = kNever, second = kNever;
    for (std::int64_t i = 0; i < n; ++i) {
        if (choice[i] > best) {
            second = best;
            best = choice[i];
        } else {
            second = std::max(second, choice[i]);
        }
    }
    return best + second;
}

/// Takes the experts outside the best groups out of `choice`. `worths`: [groups] of scratch.
void keep_best_groups(const RoutingSpec& spec, float* choice, std::int64_t experts, float* worths) {
    const auto size = experts / spec.groups;
    std::vector<bool> kept(static_cast<std::size_t>(spec.groups));
    for (std::int64_t g = 0; g < spec.groups; ++g)
        worths[g] = worth(choice + g * size, size, spec.group_score);
    for (std::int64_t i = 0; i < spec.top_groups; ++i) {
        const auto best = greatest(worths, spec.groups);
        worths[best] = kNever;
        kept[static_cast<std::size_t>(best)] = true;
    }
    for (std::int64_t g = 0; g < spec.groups; ++g) {
        if (!kept[static_cast<std::size_t>(g)]) std::fill_n(choice + g * size, size, kNever);
    }
}

/// Turns a row of logits into a row of weights. `scratch`: 3 * experts floats.
void route(const RoutingSpec& spec, std::int64_t top_k, const float* correction, float* row,
           std::int64_t experts, float* scratch) {
    float* choice = scratch;
    float* weights = scratch + experts;
    float* worths = scratch + 2 * experts;
    if (spec.score == RouterScore::softmax) softmax(row, experts);
    if (spec.score == RouterScore::sigmoid) {
        for (std::int64_t e = 0; e < experts; ++e) row[e] = 1 / (1 + std::exp(-row[e]));
    }
    for (std::int64_t e = 0; e < experts; ++e)
        choice[e] = row[e] + (correction == nullptr ? 0 : correction[e]);
    if (spec.groups > 1) keep_best_groups(spec, choice, experts, worths);
    std::vector<std::int64_t> chosen;
    for (std::int64_t i = 0; i < top_k; ++i) {
        chosen.push_back(greatest(choice, experts));
        choice[chosen.back()] = kNever;
        weights[i] = row[chosen.back()];
    }
    if (spec.score == RouterScore::softmax_of_chosen) softmax(weights, top_k);
    float sum = 0;
    for (std::int64_t i = 0; i < top_k; ++i) sum += weights[i];
    const float factor = static_cast<float>(spec.scale) / (spec.normalise ? sum : 1);
    std::fill_n(row, experts, 0.0F);
    for (std::int64_t i = 0; i < top_k; ++i)
        row[chosen[static_cast<std::size_t>(i)]] = weights[i] * factor;
}

/// The rank's side of a moe_experts step.
struct Experts {
    const BoundStep& step;
    std::int64_t hidden, ffn, count;
    explicit Experts(const BoundStep& s)
        : step(s),
          hidden(s.inputs[0].columns),
          ffn(s.weights[1].columns),
          count(hidden == 0 ? 0 : s.weights[1].rows / hidden) {}
};

void activate(const Experts& experts, const float* gate_up, float* out) {
    const auto kind = experts.step.step->spec.moe->activation;
    const auto n = experts.ffn;
    if (kind != ActivationKind::clamped_swiglu)
        return simd().activate(kind, gate_up, gate_up + n, out, n);
    for (std::int64_t i = 0; i < n; ++i) {
        const float gate = std::min(gate_up[2 * i], kSwigluLimit);
        const float up = std::clamp(gate_up[2 * i + 1], -kSwigluLimit, kSwigluLimit);
        out[i] = gate / (1 + std::exp(-kSwigluAlpha * gate)) * (up + 1);
    }
}

/// Adds what expert `e` of the rank makes of `rows` to them.
void run_expert(const Experts& experts, std::int64_t e, const std::vector<std::int64_t>& rows,
                float* scratch) {
    const auto& step = experts.step;
    const auto m = static_cast<std::int64_t>(rows.size());
    const auto hidden = experts.hidden, ffn = experts.ffn;
    float* x = scratch;
    float* gate_up = x + m * hidden;
    float* inner = gate_up + m * 2 * ffn;
    float* y = inner + m * ffn;
    for (std::int64_t i = 0; i < m; ++i) {
        std::copy_n(step.inputs[0].row(rows[static_cast<std::size_t>(i)]), hidden, x + i * hidden);
    }
    product(m, 2 * ffn, hidden, x, hidden, step.weights[0].row(e * 2 * ffn), gate_up);
    const bool biased = step.weights.size() > 2;
    for (std::int64_t i = 0; i < m; ++i) {
        float* row = gate_up + i * 2 * ffn;
        if (biased) simd().add(row, step.weights[2].row(e), 1, row, 2 * ffn);
        activate(experts, row, inner + i * ffn);
    }
    product(m, hidden, ffn, inner, ffn, step.weights[1].row(e * hidden), y);
    for (std::int64_t i = 0; i < m; ++i) {
        const auto r = rows[static_cast<std::size_t>(i)];
        if (biased) simd().add(y + i * hidden, step.weights[3].row(e), 1, y + i * hidden, hidden);
        const float weight = step.inputs[1].row(r)[step.first_expert + e];
        simd().add(step.outputs[0].row(r), y + i * hidden, weight, step.outputs[0].row(r), hidden);
    }
}

}  // namespace

std::int64_t experts_scratch(const BoundStep& step) {
    if (step.step->kind == OpKind::moe_router) return 3 * step.outputs[0].columns;
    const Experts experts(step);
    return step.inputs[0].rows * (2 * experts.hidden + 3 * experts.ffn);
}

void run_router(const BoundStep& step, float* scratch) {
    const auto& x = step.inputs[0];
    const auto& w = step.weights[0];
    const auto& out = step.outputs[0];
    const auto& spec = *step.step->spec.routing;
    const auto experts = w.rows;
    if (x.rows == 1) {
        simd().gemv(experts, x.columns, x.f32(), w.f32(), w.stride, out.f32());
    } else {
        simd().gemm(x.rows, experts, x.columns, x.f32(), x.stride, w.f32(), w.stride, out.f32(),
                    out.stride);
    }
    const float* second = step.weights.size() > 1 ? step.weights[1].f32() : nullptr;
    for (std::int64_t r = 0; r < out.rows; ++r) {
        if (second != nullptr && !spec.correction)
            simd().add(out.row(r), second, 1, out.row(r), experts);
        route(spec, step.step->spec.moe->top_k, spec.correction ? second : nullptr, out.row(r),
              experts, scratch);
    }
}

void run_experts(const BoundStep& step, float* scratch) {
    const Experts experts(step);
    const auto& out = step.outputs[0];
    for (std::int64_t r = 0; r < out.rows; ++r) std::fill_n(out.row(r), out.columns, 0.0F);
    if (experts.ffn == 0) return;
    std::vector<std::int64_t> rows;
    for (std::int64_t e = 0; e < experts.count; ++e) {
        rows.clear();
        for (std::int64_t r = 0; r < out.rows; ++r) {
            // not "> 0": a NaN must reach the output, where it is found
            if (step.inputs[1].row(r)[step.first_expert + e] != 0) rows.push_back(r);
        }
        if (!rows.empty()) run_expert(experts, e, rows, scratch);
    }
}

}  // namespace tplan::cpu
