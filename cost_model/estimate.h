#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cost_model/compiled.h"
#include "cost_model/hardware.h"
#include "cost_model/interval.h"
#include "models/program.h"

/// Program x HardwareProfile -> Estimate. `compile` folds a program, a profile and options into
/// flat numbers once; `price` evaluates them for one workload in well under five microseconds,
/// memory included; `estimate` expands the same prices into the document. Derivation of every
/// formula: cost_model/derivation.md.

namespace tplan {

/// What surrounds the program when it is priced.
struct CostOptions {
    std::string link{};  // "nvlink" or "pcie"; empty = the profile's fastest
    int nodes = 1;
    Nullable<CollectiveImpl> collectives{};  // null: nccl on GPUs, cpu-shm on a CPU
    /// Null: as served, see usual_mode(). Not in documents: a plan is served.
    Nullable<CollectiveMode> mode{};
    Residency residency = Residency::cold;  // of weights and cache; as `mode`
    bool one_byte_payload = false;          // collectives move elements of one byte; as `mode`
    bool quant_dynamic = true;              // fp8 activations pay their own quantisation
    double memory_fraction = 0.9;
    Bytes reserve{};

    static void fields(auto& self, auto&& field) {
        field("link", self.link);
        field("nodes", self.nodes);
        field("collectives", self.collectives);
        field("quant_dynamic", self.quant_dynamic);
        field("memory_fraction", self.memory_fraction);
        field("reserve_bytes", self.reserve);
    }
    bool operator==(const CostOptions&) const = default;
};

enum class Bound { compute, memory, launch, link, latency };
constexpr auto enum_names(Bound) {
    return std::array<std::string_view, 5>{"compute", "memory", "launch", "link", "latency"};
}

enum class Domain { interpolated, extrapolated, datasheet_only };
constexpr auto enum_names(Domain) {
    return std::array<std::string_view, 3>{"interpolated", "extrapolated", "datasheet-only"};
}

/// Price of one step on the slowest rank.
struct StepCost {
    Seconds time;    // launch included
    Seconds launch;  // the fixed part of it
    Flops flops;
    Bytes bytes;    // memory traffic
    Bytes payload;  // collective: bytes of the tensor; else 0
    Bound bound = Bound::memory;
    Provenance provenance = Provenance::datasheet;
    Domain domain = Domain::datasheet_only;
    double half_width = 0.3;  // of the 90 % interval, as a fraction of time
    SharedError shared{};     // with others of its kind
};

/// Memory of one rank (the fullest; of two kinds that of the tighter one).
struct MemoryUse {
    Bytes weights, kv_cache, activations, logits, gradients, optimizer, communication, workspace,
        total;
    std::array<Bytes, 2> interval_90;
    Bytes capacity;  // memory x fraction - reserve
    bool fits = false;
    std::int64_t max_batch = 0;    // at this input/context; 0 when nothing fits
    std::int64_t max_context = 0;  // at this batch, tokens in the cache

    static void fields(auto& self, auto&& field) {
        field("weights_bytes", self.weights);
        field("kv_cache_bytes", self.kv_cache);
        field("activations_bytes", self.activations);
        field("logits_bytes", self.logits);
        field("gradients_bytes", self.gradients);
        field("optimizer_bytes", self.optimizer);
        field("communication_bytes", self.communication);
        field("workspace_bytes", self.workspace);
        field("total_bytes", self.total);
        field("interval_90_bytes", self.interval_90);
        field("capacity_bytes", self.capacity);
        field("fits", self.fits);
        field("max_batch", self.max_batch);
        field("max_context", self.max_context);
    }
    bool operator==(const MemoryUse&) const = default;
};

/// The totals of a step of serving. Sums carry the weakest provenance; the interval adds half
/// widths as KindSums does.
struct Totals {
    Seconds step;
    std::array<Seconds, 2> interval_90;
    Seconds layer;  // mean over the layers
    Seconds compute, collective, exposed_collective, launch;
    double tokens_per_s = 0;  // whole group: tokens of the step / step time
    Provenance provenance = Provenance::datasheet;
    Domain domain = Domain::datasheet_only;
    KindSums kinds;
    MemoryUse memory;
};

/// One executed step in the document.
struct OpEstimate {
    std::string id;  // step_id()
    int layer = -1;
    std::string name;
    std::string kind;  // linear, attention, norm, elementwise, embedding, moe, all_reduce, ..
    std::vector<std::int64_t> shape;  // linear [m, n, k]; attention [batch, q_len, kv_len, heads,
                                      // kv_heads, head_dim]; else [rows, width]
    Flops flops;
    Bytes bytes, payload;
    Seconds time;
    Bound bound = Bound::memory;
    Provenance provenance = Provenance::datasheet;

    static void fields(auto& self, auto&& field) {
        field("id", self.id);
        field("layer", self.layer);
        field("name", self.name);
        field("kind", self.kind);
        field("shape", self.shape);
        field("flops", self.flops);
        field("bytes", self.bytes);
        field("payload_bytes", self.payload);
        field("time_s", self.time);
        field("bound", self.bound);
        field("provenance", self.provenance);
    }
    bool operator==(const OpEstimate&) const = default;
};

/// The implementation that prices collectives: the one asked for, or that of the backend.
CollectiveImpl collectives_of(const HardwareProfile& hardware, const CostOptions& options);

/// Compiles for pricing. On a group of two kinds every step is priced as the fullest rank of either
/// kind runs it, and the slower counts: ranks meet at the collectives only, so that the sum is an
/// upper bound where one kind is faster at one op and the other at the next. `notes` of the result
/// say what is priced as something else. Throws Error for a link the profile lacks or a degree
/// above nodes x devices. Keeps pointers to neither argument.
CompiledProgram compile(const Program& program, const HardwareProfile& hardware,
                        const CostOptions& options);

/// What one of the kinds of device of a group does in a step, and holds.
struct KindUse {
    std::string device;  // the profile's name
    int ranks = 0;
    Seconds compute;   // of its fullest rank; it waits for the other kind's at the collectives
    MemoryUse memory;  // of that rank

    static void fields(auto& self, auto&& field) {
        field("device", self.device);
        field("ranks", self.ranks);
        field("compute_s", self.compute);
        field("memory", self.memory);
    }
    bool operator==(const KindUse&) const = default;
};

/// One entry per kind of device of the group that the program was compiled for.
std::vector<KindUse> uses_by_kind(const CompiledProgram& program, const Workload& workload);

/// Totals for one workload. Allocates nothing. Activations have the dtype the program was lowered
/// with; `workload.dtype` is not looked at. Throws Error for Phase::train, which price_training()
/// prices.
Totals price(const CompiledProgram& program, const Workload& workload);

/// Price of one step of a section; `price` sums exactly these.
StepCost price_step(const CompiledProgram& program, int section, int step,
                    const Workload& workload);

/// The same for counts that no workload of serving has: a prefill over a prefix, warm weights.
StepCost price_counts(const CompiledProgram& program, int section, int step, const WorkSize& work);

/// The algorithm that prices a collective step at this workload ("ring-ll", "one-shot", ..); empty
/// for other steps and for one rank.
std::string_view collective_algorithm(const CompiledProgram& program, int section, int step,
                                      const Workload& workload);

/// All steps in execution order, one row per layer.
std::vector<OpEstimate> expand(const CompiledProgram& program, const Program& source,
                               const Workload& workload);

}  // namespace tplan
