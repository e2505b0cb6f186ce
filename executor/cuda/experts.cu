// Mixture of experts. The router's rows are small: one block each. Experts: every (row, chosen
// expert) pair is worked on by blocks of its own, a warp per output, so that nothing depends on how
// many rows chose an expert and the whole can be captured in a graph. Sums run in the order of the
// experts.
#include <cmath>

#include "executor/cuda/context.h"
#include "executor/cuda/launch.cuh"
#include "executor/cuda/reduce.cuh"

namespace tplan::cuda {
namespace {

constexpr int kWarps = 8;
constexpr float kSwigluLimit = 7, kSwigluAlpha = 1.702F;  // gpt_oss
constexpr int kClampedSwiglu = 4;                         // ActivationKind::clamped_swiglu
constexpr int kMostExperts = 1024;

struct Routing {
    int score, groups, top_groups, group_score, top_k;
    bool normalise, correction;
    float scale;
};

__device__ int greatest(const float* x, int n) {
    int best = 0;
    for (int i = 1; i < n; ++i) {
        if (x[i] > x[best]) best = i;
    }
    return best;
}

__device__ void softmax(float* x, int n) {
    float top = x[0], sum = 0;
    for (int i = 1; i < n; ++i) top = fmaxf(top, x[i]);
    for (int i = 0; i < n; ++i) sum += x[i] = expf(x[i] - top);
    for (int i = 0; i < n; ++i) x[i] /= sum;
}

/// One thread: turns the logits in `row` into scores, `weights` into what the chosen weigh.
__device__ void choose(const Routing& r, const float* second, float* row, float* choice,
                       float* weights, int n) {
    if (r.score == 0) softmax(row, n);
    for (int e = 0; e < n; ++e) {
        if (r.score == 1) row[e] = 1 / (1 + expf(-row[e]));
        choice[e] = row[e] + (r.correction ? second[e] : 0.0F);
        weights[e] = 0;
    }
    if (r.groups > 1) {
        const int size = n / r.groups;
        // Every group of which at least top_groups others are better is taken out.
        for (int g = 0; g < r.groups; ++g) {
            float best = -INFINITY, next = -INFINITY;
            for (int i = g * size; i < (g + 1) * size; ++i) {
                next = fmaxf(next, fminf(best, choice[i]));
                best = fmaxf(best, choice[i]);
            }
            weights[g] = r.group_score == 0 ? best : best + next;
        }
        for (int g = 0; g < r.groups; ++g) {
            int better = 0;
            for (int other = 0; other < r.groups; ++other) {
                if (weights[other] > weights[g] || (weights[other] == weights[g] && other < g))
                    ++better;
            }
            for (int i = g * size; better >= r.top_groups && i < (g + 1) * size; ++i)
                choice[i] = -INFINITY;
        }
        for (int e = 0; e < n; ++e) weights[e] = 0;
    }
    float sum = 0, top = 0;
    for (int k = 0; k < r.top_k; ++k) {
        const int e = greatest(choice, n);
        choice[e] = -INFINITY;
        if (k == 0) top = row[e];
        weights[e] = r.score == 2 ? expf(row[e] - top) : row[e];
        sum += weights[e];
    }
    const float factor = r.scale / (r.normalise || r.score == 2 ? sum : 1.0F);
    for (int e = 0; e < n; ++e) weights[e] *= factor;
}

template <class T>
__global__ void route(Routing r, const T* x, std::int64_t x_stride, std::int64_t hidden,
                      const float* w, const float* second, int experts, T* out,
                      std::int64_t out_stride) {
    TPLAN_DYNAMIC_SHARED(float, shared);
    float* row = shared;
    float* choice = row + experts;
    float* weights = choice + experts;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    for (int e = warp; e < experts; e += blockDim.x / 32) {
        float sum = 0;
        for (std::int64_t i = lane; i < hidden; i += 32)
            sum += to_float(x[blockIdx.x * x_stride + i]) * w[e * hidden + i];
        sum = warp_sum(sum);
        if (lane == 0) row[e] = sum + (second != nullptr && !r.correction ? second[e] : 0.0F);
    }
    __syncthreads();
    if (threadIdx.x == 0) choose(r, second, row, choice, weights, experts);
    __syncthreads();
    for (int e = threadIdx.x; e < experts; e += blockDim.x)
        out[blockIdx.x * out_stride + e] = from_float<T>(weights[e]);
}

/// The rank's experts of a row in ascending order, -1 behind the last: chosen [rows, top_k].
template <class T>
__global__ void list_chosen(const T* router, std::int64_t stride, std::int64_t first, int count,
                            int top_k, std::int32_t* chosen, std::int64_t rows) {
    const std::int64_t row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= rows) return;
    int k = 0;
    for (int e = 0; e < count && k < top_k; ++e) {
        if (to_float(router[row * stride + first + e]) != 0) chosen[row * top_k + k++] = e;
    }
    for (; k < top_k; ++k) chosen[row * top_k + k] = -1;
}

/// inner [rows, top_k, ffn] = act(gate) * up. blockIdx: x row, y chosen, z block of kWarps columns.
template <class T>
__global__ void gate_and_up(const T* x, std::int64_t x_stride, std::int64_t hidden, const T* w,
                            const float* bias, std::int64_t ffn, int activation,
                            const std::int32_t* chosen, int top_k, float* inner) {
    const auto slot = blockIdx.x * top_k + blockIdx.y;
    const std::int64_t e = chosen[slot];
    const std::int64_t f = static_cast<std::int64_t>(blockIdx.z) * kWarps + threadIdx.y;
    if (e < 0 || f >= ffn) return;
    const bool in_turn = activation == kClampedSwiglu;
    const auto gate_row = in_turn ? 2 * f : f, up_row = in_turn ? 2 * f + 1 : ffn + f;
    const T* gate_w = w + (e * 2 * ffn + gate_row) * hidden;
    const T* up_w = w + (e * 2 * ffn + up_row) * hidden;
    float gate = 0, up = 0;
    for (std::int64_t i = threadIdx.x; i < hidden; i += 32) {
        const float value = to_float(x[blockIdx.x * x_stride + i]);
        gate += value * to_float(gate_w[i]);
        up += value * to_float(up_w[i]);
    }
    gate = warp_sum(gate);
    up = warp_sum(up);
    if (threadIdx.x != 0) return;
    if (bias != nullptr) {
        gate += bias[e * 2 * ffn + gate_row];
        up += bias[e * 2 * ffn + up_row];
    }
    float value;
    if (in_turn) {
        gate = fminf(gate, kSwigluLimit);
        up = fminf(fmaxf(up, -kSwigluLimit), kSwigluLimit);
        value = gate / (1 + expf(-kSwigluAlpha * gate)) * (up + 1);
    } else if (activation == 0) {
        value = gate / (1 + expf(-gate)) * up;
    } else if (activation == 1) {
        value = 0.5F * gate * (1 + erff(gate * 0.70710678F)) * up;
    } else if (activation == 2) {
        value =
            0.5F * gate * (1 + tanhf(0.79788456F * (gate + 0.044715F * gate * gate * gate))) * up;
    } else {
        value = fmaxf(gate, 0) * up;
    }
    inner[slot * ffn + f] = value;
}

/// out = sum over the chosen of weight * (inner down^T + bias). blockIdx: x row, y block of
/// columns.
template <class T>
__global__ void down(const float* inner, std::int64_t ffn, const T* w, const float* bias,
                     std::int64_t hidden, const T* router, std::int64_t router_stride,
                     std::int64_t first, const std::int32_t* chosen, int top_k, T* out,
                     std::int64_t out_stride) {
    const std::int64_t o = static_cast<std::int64_t>(blockIdx.y) * kWarps + threadIdx.y;
    if (o >= hidden) return;
    float total = 0;
    for (int k = 0; k < top_k; ++k) {
        const auto slot = blockIdx.x * top_k + k;
        const std::int64_t e = chosen[slot];
        if (e < 0) break;
        const T* row = w + (e * hidden + o) * ffn;
        float sum = 0;
        for (std::int64_t f = threadIdx.x; f < ffn; f += 32)
            sum += inner[slot * ffn + f] * to_float(row[f]);
        sum = warp_sum(sum) + (bias != nullptr ? bias[e * hidden + o] : 0.0F);
        total += to_float(router[blockIdx.x * router_stride + first + e]) * sum;
    }
    if (threadIdx.x == 0) out[blockIdx.x * out_stride + o] = from_float<T>(total);
}

template <class T>
const char* launch_router(Context& context, const tplan_op& op) {
    const auto experts = op.weight[0].rows;
    if (experts > kMostExperts) return failed("more than 1024 experts have no kernel");
    const Routing routing{op.score,
                          op.groups,
                          op.top_groups,
                          op.group_score,
                          static_cast<int>(op.top_k),
                          op.normalise != 0,
                          op.correction != 0,
                          static_cast<float>(op.routing_scale)};
    const auto bytes = 3 * static_cast<std::size_t>(experts) * sizeof(float);
    run(route<T>, static_cast<unsigned>(op.in[0].rows), 256, bytes, context.stream, routing,
        static_cast<const T*>(op.in[0].data), op.in[0].stride, op.in[0].columns,
        static_cast<const float*>(op.weight[0].data),
        op.weights > 1 ? static_cast<const float*>(op.weight[1].data) : nullptr,
        static_cast<int>(experts), static_cast<T*>(op.out[0].data), op.out[0].stride);
    return nullptr;
}

template <class T>
const char* launch_pairs(Context& context, const tplan_op& op) {
    const auto rows = op.in[0].rows, hidden = op.in[0].columns, ffn = op.weight[1].columns;
    const auto count = hidden == 0 ? 0 : op.weight[1].rows / hidden;
    const auto top_k = static_cast<int>(op.top_k);
    auto* const chosen = static_cast<std::int32_t*>(op.workspace);
    auto* const inner = reinterpret_cast<float*>(static_cast<char*>(op.workspace) +
                                                 (rows * top_k * 4 + 255) / 256 * 256);
    const auto* const router = static_cast<const T*>(op.in[1].data);
    const auto warps = static_cast<unsigned>(kWarps);
    const auto blocks = [&](std::int64_t n) {
        return static_cast<unsigned>((n + kWarps - 1) / kWarps);
    };
    run(list_chosen<T>, static_cast<unsigned>((rows + 127) / 128), 128, 0, context.stream, router,
        op.in[1].stride, op.first_row, static_cast<int>(count), top_k, chosen, rows);
    if (ffn > 0) {
        run(gate_and_up<T>,
            dim3(static_cast<unsigned>(rows), static_cast<unsigned>(top_k), blocks(ffn)),
            dim3(32, warps), 0, context.stream, static_cast<const T*>(op.in[0].data),
            op.in[0].stride, hidden, static_cast<const T*>(op.weight[0].data),
            op.weights > 2 ? static_cast<const float*>(op.weight[2].data) : nullptr, ffn,
            op.activation, chosen, top_k, inner);
    }
    run(down<T>, dim3(static_cast<unsigned>(rows), blocks(hidden)), dim3(32, warps), 0,
        context.stream, inner, ffn, static_cast<const T*>(op.weight[1].data),
        op.weights > 3 ? static_cast<const float*>(op.weight[3].data) : nullptr, hidden, router,
        op.in[1].stride, op.first_row, chosen, top_k, static_cast<T*>(op.out[0].data),
        op.out[0].stride);
    return nullptr;
}

}  // namespace

std::size_t experts_workspace(const tplan_op& op) {
    const auto pairs = static_cast<std::size_t>(op.in[0].rows * op.top_k);
    return (pairs * 4 + 255) / 256 * 256 +
           pairs * static_cast<std::size_t>(op.weight[1].columns) * 4;
}

const char* launch_experts(Context& context, const tplan_op& op) {
    if (op.in[0].rows == 0) return nullptr;
    const char* wrong = nullptr;
    const bool known = with_type(op.in[0].dtype, [&](auto type) {
        using T = decltype(type);
        wrong =
            op.kind == TPLAN_ROUTER ? launch_router<T>(context, op) : launch_pairs<T>(context, op);
    });
    if (!known) return failed("experts run in fp32, fp16 or bf16");
    if (wrong != nullptr) return wrong;
    return checked(cudaGetLastError(), "an expert kernel");
}

}  // namespace tplan::cuda
