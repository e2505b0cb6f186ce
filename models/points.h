#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "core/units.h"
#include "models/graph.h"

/// One measured op each: the language between executor/probe (which measures), cost_model/calibrate
/// (which fits) and the tables of a hardware profile. Neither of the two sees the other.

namespace tplan {

enum class CollectiveImpl { nccl, vllm, trtllm, cpu_shm, mpi };
constexpr auto enum_names(CollectiveImpl) {
    return std::array<std::string_view, 5>{"nccl", "vllm", "trtllm", "cpu-shm", "mpi"};
}

/// How an implementation is launched: by the host call by call, or inside a CUDA graph.
enum class CollectiveMode { eager, graph };
constexpr auto enum_names(CollectiveMode) {
    return std::array<std::string_view, 2>{"eager", "graph"};
}

/// Where a product's weights, or the cache of a decode, lie when the op starts: in memory, as in
/// serving, or in the last-level cache, as in a benchmark that repeats itself; `edge` is between.
enum class Residency { cold, edge, warm };
constexpr auto enum_names(Residency) {
    return std::array<std::string_view, 3>{"cold", "edge", "warm"};
}

/// A measured point of `calibrate`: C[m,n] = A[m,k] B[k,n] on each of `ranks` devices at once.
struct GemmPoint {
    DType dtype = DType::fp32;
    int ranks = 1;
    std::int64_t m = 0, n = 0, k = 0;
    Seconds time;
    std::optional<Residency> residency{};  // of the weights; none: cold
    static void fields(auto& self, auto&& field) {
        field("dtype", self.dtype);
        field("ranks", self.ranks);
        field("m", self.m);
        field("n", self.n);
        field("k", self.k);
        field("time_s", self.time);
        field("residency", self.residency);
    }
    bool operator==(const GemmPoint&) const = default;
};

/// A measured collective: `bytes` of the whole tensor over `ranks` devices.
struct CollectivePoint {
    OpKind op = OpKind::all_reduce;
    CollectiveImpl implementation = CollectiveImpl::nccl;
    int ranks = 2;
    double bytes = 0;
    Seconds time;
    std::optional<CollectiveMode> mode{};  // none: as served
    static void fields(auto& self, auto&& field) {
        field("op", self.op);
        field("implementation", self.implementation);
        field("ranks", self.ranks);
        field("bytes", self.bytes);
        field("time_s", self.time);
        field("mode", self.mode);
    }
    bool operator==(const CollectivePoint&) const = default;
};

/// A measured attention core: `heads` query heads over `kv_heads`, on each of `ranks` devices at
/// once.
struct AttentionPoint {
    DType kv_dtype = DType::fp32;
    int ranks = 1;
    std::int64_t batch = 1, q_len = 1, kv_len = 1, heads = 1, kv_heads = 1, head_dim = 64;
    Seconds time;
    std::optional<Residency> residency{};  // of the cache in a decode; none: cold
    static void fields(auto& self, auto&& field) {
        field("kv_dtype", self.kv_dtype);
        field("ranks", self.ranks);
        field("batch", self.batch);
        field("q_len", self.q_len);
        field("kv_len", self.kv_len);
        field("heads", self.heads);
        field("kv_heads", self.kv_heads);
        field("head_dim", self.head_dim);
        field("time_s", self.time);
        field("residency", self.residency);
    }
    bool operator==(const AttentionPoint&) const = default;
};

/// A measured layer of gated experts on one rank: `ffn` is this rank's inner width of one expert.
struct MoePoint {
    DType dtype = DType::bf16;
    std::int64_t tokens = 1, hidden = 1, ffn = 1, top_k = 1, experts = 1;
    Seconds time;
    static void fields(auto& self, auto&& field) {
        field("dtype", self.dtype);
        field("tokens", self.tokens);
        field("hidden", self.hidden);
        field("ffn", self.ffn);
        field("top_k", self.top_k);
        field("experts", self.experts);
        field("time_s", self.time);
    }
    bool operator==(const MoePoint&) const = default;
};

/// A measured pass of one elementwise-like op kind over `bytes` read plus written, on each of
/// `ranks` devices at once.
struct ElementwisePoint {
    OpKind op = OpKind::norm;
    int ranks = 1;
    double bytes = 0;
    Seconds time;
    static void fields(auto& self, auto&& field) {
        field("op", self.op);
        field("ranks", self.ranks);
        field("bytes", self.bytes);
        field("time_s", self.time);
    }
    bool operator==(const ElementwisePoint&) const = default;
};

}  // namespace tplan
