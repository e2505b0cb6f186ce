// Passes over rows: everything of a decoder that is neither a matrix product nor attention. One
// block per row unless said otherwise; numbers are fp32 in registers whatever the activations are.
#include <algorithm>

#include "executor/cuda/context.h"
#include "executor/cuda/launch.cuh"
#include "executor/cuda/reduce.cuh"

namespace tplan::cuda {
namespace {

constexpr int kThreads = 256;

/// A matrix with its type known.
template <class T>
struct View {
    T* data;
    std::int64_t columns, stride;
    __host__ explicit View(const tplan_matrix& m)
        : data(static_cast<T*>(m.data)), columns(m.columns), stride(m.stride) {}
    __device__ T* row(std::int64_t r) const { return data + r * stride; }
};

template <class T>
__global__ void embedding(View<const float> table, std::int64_t rows, const std::int32_t* ids,
                          std::int64_t first, float factor, View<T> out) {
    const auto id = ids[blockIdx.x] - first;
    T* to = out.row(blockIdx.x);
    for (std::int64_t i = threadIdx.x; i < out.columns; i += blockDim.x) {
        const bool own = id >= 0 && id < rows;
        to[i] = from_float<T>(own ? factor * table.row(id)[i] : 0.0F);
    }
}

template <class T>
__global__ void position_embedding(View<T> in, View<const float> table, std::int64_t query_tokens,
                                   std::int64_t first, std::int64_t rows_before, View<T> out) {
    const float* position = table.row(first + (rows_before + blockIdx.x) % query_tokens);
    for (std::int64_t i = threadIdx.x; i < out.columns; i += blockDim.x)
        out.row(blockIdx.x)[i] = from_float<T>(to_float(in.row(blockIdx.x)[i]) + position[i]);
}

/// blockIdx.y: the group of columns.
template <class T>
__global__ void norm(View<T> in, const float* weight, const float* bias, std::int64_t group,
                     bool layer, bool unit_offset, bool per_group, float eps, View<T> out) {
    const auto begin = blockIdx.y * group;
    const T* x = in.row(blockIdx.x) + begin;
    T* y = out.row(blockIdx.x) + begin;
    const auto shift = per_group ? begin : 0;
    const auto n = static_cast<float>(group);
    float mean = 0;
    if (layer) {
        for (std::int64_t i = threadIdx.x; i < group; i += blockDim.x) mean += to_float(x[i]);
        mean = block_sum(mean) / n;
    }
    float square = 0;
    for (std::int64_t i = threadIdx.x; i < group; i += blockDim.x) {
        const float centred = to_float(x[i]) - mean;
        square += centred * centred;
    }
    const float factor = rsqrtf(block_sum(square) / n + eps);
    for (std::int64_t i = threadIdx.x; i < group; i += blockDim.x) {
        float value = (to_float(x[i]) - mean) * factor;
        if (weight != nullptr) value *= weight[shift + i] + (unit_offset ? 1.0F : 0.0F);
        if (bias != nullptr) value += bias[shift + i];
        y[i] = from_float<T>(value);
    }
}

template <class T>
__global__ void add(View<T> a, View<T> b, const T* c, std::int64_t c_stride, float factor,
                    View<T> out) {
    for (std::int64_t i = threadIdx.x; i < out.columns; i += blockDim.x) {
        float sum = to_float(a.row(blockIdx.x)[i]) + factor * to_float(b.row(blockIdx.x)[i]);
        if (c != nullptr) sum += factor * to_float(c[blockIdx.x * c_stride + i]);
        out.row(blockIdx.x)[i] = from_float<T>(sum);
    }
}

/// blockIdx.y: the head. cosine and sine [query_tokens, pairs].
template <class T>
__global__ void rope(View<T> in, const float* cosine, const float* sine, std::int64_t head_dim,
                     std::int64_t first, std::int64_t pairs, std::int64_t query_tokens,
                     bool interleaved, View<T> out) {
    const T* x = in.row(blockIdx.x) + blockIdx.y * head_dim;
    T* y = out.row(blockIdx.x) + blockIdx.y * head_dim;
    const auto angle = blockIdx.x % query_tokens * pairs;
    for (std::int64_t i = threadIdx.x; i < head_dim; i += blockDim.x) {
        const bool rotated = i >= first && i < first + 2 * pairs;
        if (!rotated && x != y) y[i] = x[i];
    }
    for (std::int64_t p = threadIdx.x; p < pairs; p += blockDim.x) {
        const auto one = first + (interleaved ? 2 * p : p);
        const auto two = one + (interleaved ? 1 : pairs);
        const float a = to_float(x[one]), b = to_float(x[two]);
        const float c = cosine[angle + p], s = sine[angle + p];
        y[one] = from_float<T>(a * c - b * s);
        y[two] = from_float<T>(b * c + a * s);
    }
}

__device__ float activated(int kind, float x) {
    switch (kind) {
        case 0:
            return x / (1 + expf(-x));
        case 1:
            return 0.5F * x * (1 + erff(x * 0.70710678F));
        case 2:
            return 0.5F * x * (1 + tanhf(0.79788456F * (x + 0.044715F * x * x * x)));
        default:
            return fmaxf(x, 0);
    }
}

template <class T>
__global__ void activation(int kind, View<T> gate, const T* up, std::int64_t up_stride,
                           View<T> out) {
    for (std::int64_t i = threadIdx.x; i < out.columns; i += blockDim.x) {
        float value = activated(kind, to_float(gate.row(blockIdx.x)[i]));
        if (up != nullptr) value *= to_float(up[blockIdx.x * up_stride + i]);
        out.row(blockIdx.x)[i] = from_float<T>(value);
    }
}

template <class T>
__global__ void multiply(View<T> in, View<T> gate, View<T> out) {
    const float factor = 1 / (1 + expf(-to_float(gate.row(blockIdx.x)[0])));
    for (std::int64_t i = threadIdx.x; i < out.columns; i += blockDim.x)
        out.row(blockIdx.x)[i] = from_float<T>(to_float(in.row(blockIdx.x)[i]) * factor);
}

template <class T>
__global__ void scale(View<T> in, float factor, float cap, View<T> out) {
    for (std::int64_t i = threadIdx.x; i < out.columns; i += blockDim.x) {
        const float x = to_float(in.row(blockIdx.x)[i]) * factor;
        out.row(blockIdx.x)[i] = from_float<T>(cap > 0 ? cap * tanhf(x / cap) : x);
    }
}

template <class T>
__global__ void select_last(View<T> in, std::int64_t query_tokens, View<T> out) {
    const T* from = in.row((blockIdx.x + 1) * query_tokens - 1);
    for (std::int64_t i = threadIdx.x; i < out.columns; i += blockDim.x)
        out.row(blockIdx.x)[i] = from[i];
}

template <class T>
__global__ void copy_columns(View<T> in, std::int64_t from, View<T> out, std::int64_t to,
                             std::int64_t count) {
    for (std::int64_t i = threadIdx.x; i < count; i += blockDim.x)
        out.row(blockIdx.x)[to + i] = in.row(blockIdx.x)[from + i];
}

/// `groups` repetitions of [q.. k v] to three matrices.
template <class T>
__global__ void unpack(View<T> in, std::int64_t groups, View<T> q, View<T> k, View<T> v) {
    const auto nq = q.columns / groups, nk = k.columns / groups, nv = v.columns / groups;
    const auto all = nq + nk + nv;
    for (std::int64_t i = threadIdx.x; i < in.columns; i += blockDim.x) {
        const auto g = i / all, at = i % all;
        const T value = in.row(blockIdx.x)[i];
        if (at < nq) {
            q.row(blockIdx.x)[g * nq + at] = value;
        } else if (at < nq + nk) {
            k.row(blockIdx.x)[g * nk + at - nq] = value;
        } else {
            v.row(blockIdx.x)[g * nv + at - nq - nk] = value;
        }
    }
}

template <class T>
__global__ void convert(View<const float> in, View<T> out) {
    for (std::int64_t i = threadIdx.x; i < out.columns; i += blockDim.x)
        out.row(blockIdx.x)[i] = from_float<T>(in.row(blockIdx.x)[i]);
}

template <class T>
__global__ void add_bias(View<T> out, const float* bias) {
    for (std::int64_t i = threadIdx.x; i < out.columns; i += blockDim.x)
        out.row(blockIdx.x)[i] = from_float<T>(to_float(out.row(blockIdx.x)[i]) + bias[i]);
}

constexpr int kMostSources = 64;
template <class T>
struct Sources {
    const T* data[kMostSources];
};

/// Elements [begin, end), in the order of the sources: bitwise the same wherever it runs.
template <class T>
__global__ void sum(Sources<T> sources, int count, T* out, std::int64_t begin, std::int64_t end) {
    const auto step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
    for (auto i = begin + blockIdx.x * blockDim.x + threadIdx.x; i < end; i += step) {
        float total = to_float(sources.data[0][i]);
        for (int s = 1; s < count; ++s) total += to_float(sources.data[s][i]);
        out[i] = from_float<T>(total);
    }
}

template <class T>
const char* launch_norm(Context& context, const tplan_op& op) {
    const auto group = op.group > 0 ? op.group : op.in[0].columns;
    if (group == 0 || op.in[0].columns == 0) return nullptr;
    const dim3 grid(static_cast<unsigned>(op.in[0].rows),
                    static_cast<unsigned>(op.in[0].columns / group));
    const int threads =
        static_cast<int>(std::clamp<std::int64_t>((group + 31) / 32 * 32, 32, 1024));
    run(norm<T>, grid, threads, 0, context.stream, View<T>(op.in[0]),
        op.weights > 0 ? static_cast<const float*>(op.weight[0].data) : nullptr,
        op.weights > 1 ? static_cast<const float*>(op.weight[1].data) : nullptr, group,
        op.layer_norm != 0, op.unit_offset != 0, op.weight_per_group != 0,
        static_cast<float>(op.eps), View<T>(op.out[0]));
    return nullptr;
}

template <class T>
const char* launch_rope(Context& context, const tplan_op& op) {
    const auto heads = op.in[0].columns / op.head_dim;
    if (heads == 0) return nullptr;
    const dim3 grid(static_cast<unsigned>(op.in[0].rows), static_cast<unsigned>(heads));
    run(rope<T>, grid, 64, 0, context.stream, View<T>(op.in[0]),
        static_cast<const float*>(op.weight[0].data), static_cast<const float*>(op.weight[1].data),
        op.head_dim, op.rotary_first, op.pairs, op.query_tokens, op.interleaved != 0,
        View<T>(op.out[0]));
    return nullptr;
}

template <class T>
const char* launch_unpack(Context& context, const tplan_op& op) {
    const std::int64_t per_kv = op.kv_heads, per_head = op.heads;
    const std::int64_t groups = op.packing == 1 ? per_head : op.packing == 2 ? per_kv : 1;
    if (groups == 0) return nullptr;
    run(unpack<T>, static_cast<unsigned>(op.in[0].rows), kThreads, 0, context.stream,
        View<T>(op.in[0]), groups, View<T>(op.out[0]), View<T>(op.out[1]), View<T>(op.out[2]));
    return nullptr;
}

template <class T>
const char* launch_sum(Context& context, const tplan_op& op) {
    if (op.count < 1 || op.count > kMostSources) return failed("a sum of more than 64 sources");
    Sources<T> sources{};
    for (int s = 0; s < op.count; ++s) sources.data[s] = static_cast<const T*>(op.sources[s]);
    const auto n = op.end - op.begin;
    if (n <= 0) return nullptr;
    const auto blocks = std::min<std::int64_t>((n + kThreads - 1) / kThreads, 1024);
    run(sum<T>, static_cast<unsigned>(blocks), kThreads, 0, context.stream, sources, op.count,
        static_cast<T*>(op.out[0].data), op.begin, op.end);
    return nullptr;
}

template <class T>
const char* launch_typed(Context& context, const tplan_op& op) {
    const auto rows = static_cast<unsigned>(op.out[0].rows);
    const auto stream = context.stream;
    const auto* const table = static_cast<const float*>(op.weight[0].data);
    switch (op.kind) {
        case TPLAN_EMBEDDING:
            run(embedding<T>, rows, kThreads, 0, stream, View<const float>(op.weight[0]),
                op.weight[0].rows, op.ids, op.first_row, static_cast<float>(op.factor),
                View<T>(op.out[0]));
            return nullptr;
        case TPLAN_POSITION_EMBEDDING:
            run(position_embedding<T>, rows, kThreads, 0, stream, View<T>(op.in[0]),
                View<const float>(op.weight[0]), op.query_tokens, op.first_position, op.rows_before,
                View<T>(op.out[0]));
            return nullptr;
        case TPLAN_NORM:
            return launch_norm<T>(context, op);
        case TPLAN_ADD:
            run(add<T>, rows, kThreads, 0, stream, View<T>(op.in[0]), View<T>(op.in[1]),
                op.inputs > 2 ? static_cast<const T*>(op.in[2].data) : nullptr, op.in[2].stride,
                static_cast<float>(op.factor), View<T>(op.out[0]));
            return nullptr;
        case TPLAN_ROPE:
            return launch_rope<T>(context, op);
        case TPLAN_UNPACK_QKV:
            return launch_unpack<T>(context, op);
        case TPLAN_ACTIVATION: {
            const T* up = nullptr;
            auto stride = op.in[0].stride;
            if (op.halves != 0) up = static_cast<const T*>(op.in[0].data) + op.out[0].columns;
            if (op.inputs > 1) {
                up = static_cast<const T*>(op.in[1].data);
                stride = op.in[1].stride;
            }
            run(activation<T>, rows, kThreads, 0, stream, op.activation, View<T>(op.in[0]), up,
                stride, View<T>(op.out[0]));
            return nullptr;
        }
        case TPLAN_MULTIPLY:
            run(multiply<T>, rows, kThreads, 0, stream, View<T>(op.in[0]), View<T>(op.in[1]),
                View<T>(op.out[0]));
            return nullptr;
        case TPLAN_SELECT_LAST:
            run(select_last<T>, rows, kThreads, 0, stream, View<T>(op.in[0]), op.query_tokens,
                View<T>(op.out[0]));
            return nullptr;
        case TPLAN_SCALE:
            run(scale<T>, rows, kThreads, 0, stream, View<T>(op.in[0]),
                static_cast<float>(op.factor), static_cast<float>(op.softcap), View<T>(op.out[0]));
            return nullptr;
        case TPLAN_COPY_COLUMNS:
            run(copy_columns<T>, rows, kThreads, 0, stream, View<T>(op.in[0]), op.from_column,
                View<T>(op.out[0]), op.to_column, op.columns);
            return nullptr;
        case TPLAN_CONVERT:
            run(convert<T>, rows, kThreads, 0, stream, View<const float>(op.in[0]),
                View<T>(op.out[0]));
            return nullptr;
        case TPLAN_ADD_BIAS:
            run(add_bias<T>, rows, kThreads, 0, stream, View<T>(op.out[0]), table);
            return nullptr;
        case TPLAN_SUM:
            return launch_sum<T>(context, op);
        default:
            return failed("no such kind of row kernel");
    }
}

}  // namespace

const char* launch_rows(Context& context, const tplan_op& op) {
    if (op.out[0].rows == 0) return nullptr;
    const char* wrong = nullptr;
    const bool known = with_type(
        op.out[0].dtype, [&](auto type) { wrong = launch_typed<decltype(type)>(context, op); });
    if (!known) return failed("activations are fp32, fp16 or bf16");
    if (wrong != nullptr) return wrong;
    return checked(cudaGetLastError(), "a row kernel");
}

}  // namespace tplan::cuda
