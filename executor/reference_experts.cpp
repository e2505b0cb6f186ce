// Routing as in transformers' modules: MixtralTopKRouter, Qwen2MoeTopKRouter, GptOssTopKRouter,
// DeepseekV2TopkRouter, DeepseekV3TopkRouter, Glm4MoeTopkRouter.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "executor/reference_call.h"

namespace tplan::reference {
namespace {

std::vector<double> softmax(std::vector<double> x) {
    const double top = *std::max_element(x.begin(), x.end());
    double sum = 0;
    for (auto& value : x) sum += value = std::exp(value - top);
    for (auto& value : x) value /= sum;
    return x;
}

/// Numbers of the `count` greatest, the greatest first, of equals the lower number.
std::vector<std::size_t> greatest(const std::vector<double>& x, std::int64_t count) {
    std::vector<std::size_t> order(x.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return x[a] > x[b]; });
    order.resize(at(count));
    return order;
}

/// Experts of all but the best groups become impossible.
void keep_best_groups(const RoutingSpec& spec, std::vector<double>& choice) {
    const auto size = choice.size() / at(spec.groups);
    std::vector<double> worths;
    for (std::size_t g = 0; g < at(spec.groups); ++g) {
        std::vector<double> group(choice.begin() + static_cast<std::ptrdiff_t>(g * size),
                                  choice.begin() + static_cast<std::ptrdiff_t>((g + 1) * size));
        std::sort(group.rbegin(), group.rend());
        worths.push_back(spec.group_score == GroupScore::best ? group[0] : group[0] + group[1]);
    }
    const auto kept = greatest(worths, spec.top_groups);
    for (std::size_t e = 0; e < choice.size(); ++e) {
        if (std::find(kept.begin(), kept.end(), e / size) == kept.end()) choice[e] = -INFINITY;
    }
}

/// The weights of one row's experts from their logits.
std::vector<double> route(const RoutingSpec& spec, std::int64_t top_k,
                          const std::vector<double>& logits, const Value* correction) {
    auto scores = logits;
    if (spec.score == RouterScore::softmax) scores = softmax(logits);
    if (spec.score == RouterScore::sigmoid) {
        for (auto& score : scores) score = 1 / (1 + std::exp(-score));
    }
    auto choice = scores;
    for (std::size_t e = 0; correction && e < choice.size(); ++e) choice[e] += correction->data[e];
    if (spec.groups > 1) keep_best_groups(spec, choice);
    const auto chosen = greatest(choice, top_k);
    std::vector<double> weights;
    for (const auto e : chosen) weights.push_back(scores[e]);
    if (spec.score == RouterScore::softmax_of_chosen) weights = softmax(weights);
    const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
    std::vector<double> row(logits.size(), 0);
    for (std::size_t i = 0; i < chosen.size(); ++i)
        row[chosen[i]] = weights[i] * spec.scale / (spec.normalise ? sum : 1);
    return row;
}

/// Element (out, in) of expert e's matrix, stored either way round.
double element(const Value& w, bool transposed, std::int64_t e, std::int64_t out_size,
               std::int64_t in_size, std::int64_t out, std::int64_t in) {
    return transposed ? w(e * in_size + in, out) : w(e * out_size + out, in);
}

}  // namespace

double activated(ActivationKind kind, double x) {
    switch (kind) {
        case ActivationKind::silu:
            return x / (1 + std::exp(-x));
        case ActivationKind::gelu:
            return x / 2 * (1 + std::erf(x / std::sqrt(2.0)));
        case ActivationKind::gelu_tanh:
            return x / 2 *
                   (1 +
                    std::tanh(std::sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
        case ActivationKind::relu:
            return std::max(x, 0.0);
        case ActivationKind::clamped_swiglu:  // of gate and up together: clamped_gate()
            break;
    }
    throw Error("reference", "clamped_swiglu needs gate and up");
}

/// gpt_oss: gate * sigmoid(1.702 gate) * (up + 1), both clamped at 7.
static double clamped_gate(double gate, double up) {
    gate = std::min(gate, 7.0);
    up = std::clamp(up, -7.0, 7.0);
    return gate / (1 + std::exp(-1.702 * gate)) * (up + 1);
}

double gated(ActivationKind kind, double gate, double up) {
    return kind == ActivationKind::clamped_swiglu ? clamped_gate(gate, up)
                                                  : activated(kind, gate) * up;
}

void moe_router(Call& c) {
    const auto& spec = *c.op.spec.routing;
    const auto& x = *c.in[0];
    auto& out = *c.out[0];
    const Value* second = c.weights.size() > 1 ? &c.weights[1] : nullptr;
    for (std::int64_t r = 0; r < out.rows; ++r) {
        std::vector<double> logits(at(out.columns), 0.0);
        for (std::int64_t e = 0; e < out.columns; ++e) {
            for (std::int64_t i = 0; i < x.columns; ++i)
                logits[at(e)] += x(r, i) * c.weights[0](e, i);
            if (second && !spec.correction) logits[at(e)] += second->data[at(e)];
        }
        const auto row =
            route(spec, c.op.spec.moe->top_k, logits, spec.correction ? second : nullptr);
        std::copy(row.begin(), row.end(), out.data.begin() + r * out.columns);
    }
}

void moe_experts(Call& c) {
    const auto& spec = *c.op.spec.moe;
    const auto& x = *c.in[0];
    auto& out = *c.out[0];
    const bool turned = c.op.spec.transposed;
    const bool biased = c.weights.size() > 2;
    const bool in_turn = spec.activation == ActivationKind::clamped_swiglu;
    for (std::int64_t r = 0; r < out.rows; ++r) {
        for (std::int64_t e = 0; e < spec.experts; ++e) {
            const double weight = (*c.in[1])(r, e);
            if (weight == 0) continue;
            std::vector<double> both(at(2 * spec.ffn)), inner(at(spec.ffn));
            for (std::int64_t o = 0; o < 2 * spec.ffn; ++o) {
                double sum = biased ? c.weights[2](e, o) : 0;
                for (std::int64_t i = 0; i < x.columns; ++i)
                    sum +=
                        x(r, i) * element(c.weights[0], turned, e, 2 * spec.ffn, x.columns, o, i);
                both[at(o)] = sum;
            }
            for (std::int64_t f = 0; f < spec.ffn; ++f) {
                inner[at(f)] = gated(spec.activation, both[at(in_turn ? 2 * f : f)],
                                     both[at(in_turn ? 2 * f + 1 : spec.ffn + f)]);
            }
            for (std::int64_t o = 0; o < out.columns; ++o) {
                double sum = biased ? c.weights[3](e, o) : 0;
                for (std::int64_t f = 0; f < spec.ffn; ++f)
                    sum += inner[at(f)] *
                           element(c.weights[1], turned, e, out.columns, spec.ffn, o, f);
                out(r, o) += weight * sum;
            }
        }
    }
}

}  // namespace tplan::reference
