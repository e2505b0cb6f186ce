#pragma once
#include <array>
#include <string_view>

#include "core/units.h"
#include "cost_model/hardware.h"
#include "models/points.h"
#include "models/program.h"

/// What one op asks of a device: floating point operations and bytes of memory traffic, one table
/// row per op kind; and the roofline that turns the two into a time. Measured corrections are
/// applied in cost_model/estimate.cpp. Derivation: cost_model/derivation.md.

namespace tplan {

/// The kinds of the document. How intervals add inside one kind and between kinds: interval.h.
enum class CostKind {
    linear,
    attention,
    norm,
    elementwise,
    embedding,
    moe,
    all_reduce,
    all_gather,
    reduce_scatter,
    all_to_all
};
constexpr auto enum_names(CostKind) {
    return std::array<std::string_view, 10>{
        "linear", "attention",  "norm",       "elementwise",    "embedding",
        "moe",    "all_reduce", "all_gather", "reduce_scatter", "all_to_all"};
}

/// A workload as the formulas need it: counts as doubles, products taken once.
struct WorkSize {
    bool decode = true;
    double batch = 1;                       // sequences
    double query = 1;                       // new tokens per sequence
    double cached = 1;                      // tokens attended per sequence, the new ones included
    double tokens = 1;                      // rows of Rows::tokens
    double kv_bytes = 2;                    // per element of the cache
    Residency residency = Residency::cold;  // of weights and cache
    bool balanced = false;  // tokens routed to experts as evenly as whole tokens allow
    double rows(Rows kind) const { return kind == Rows::tokens ? tokens : batch; }
};

/// Training counts as a prefill: every token attends to those before it.
WorkSize work_size(const Workload& workload);

/// A step reduced to the numbers of its formulas; all local to the largest rank.
struct StepShape {
    OpKind kind = OpKind::linear;
    Rows rows = Rows::tokens;
    double row_parts = 1;                       // ranks that share the rows (sequence parallelism)
    double n = 0, k = 0;                        // columns out and in (linear); n: payload columns
    double in_columns = 0, out_columns = 0;     // of all activations read and written
    double weight_bytes = 0;                    // of all weights read when all are touched
    double weight_element = 2, activation = 2;  // bytes per element
    double heads = 0, kv_heads = 0, head_dim = 0, v_head_dim = 0, window = 0;
    double latent_width = 0, latent_rope = 0;  // MLA: cached columns; those of the shared key
    double experts = 0;                        // held by this rank
    double all_experts = 0;                    // routed over
    double top_k = 0, hidden = 0, ffn = 0;
    double expert_columns = 0;  // of the first product of an expert: 2 ffn when gated
};

/// Activations of a quantised program stay in bf16 between ops: engines quantise inside the
/// product.
DType stored_dtype(DType activation);

/// The numbers of one step. Columns of activations come from the program's buffers, or, for a step
/// without buffers, from `n` and `k`.
StepShape step_shape(const Step& step, const Program& program);

/// How a formula counts.
using CountFormula = double (*)(const StepShape&, const WorkSize&);

/// Which of the device's arithmetic rates an op can use.
enum class Engine { none, product, attention };

struct OpCost {
    OpKind op;
    CostKind kind;
    Engine engine;  // none: bound by memory whatever the arithmetic
    CountFormula flops;
    CountFormula bytes;
};

/// The row of an op kind.
const OpCost& op_cost(OpKind kind);

/// A device as one op kind sees it. time = launch + sqrt(compute^2 + memory^2): arithmetic and
/// traffic overlap, but not fully where the two are alike.
struct Roofline {
    double per_flop = 0, per_byte = 0;  // seconds; per_flop 0 = never bound by arithmetic
    double launch = 0;
    double seconds(double flops, double bytes) const;
};

/// The device for one engine with arithmetic in `compute`. Throws Error when the profile has no
/// peak for that dtype or a wider one.
Roofline roofline(const HardwareProfile& hardware, Engine engine, DType compute);

/// The dtype a product of such weights and activations is computed in: fp8 weights in fp8 where the
/// device can, all other narrow weights are widened to the activations' dtype inside the product.
DType compute_dtype(const HardwareProfile& hardware, DType weight, DType activation);

/// Whether activations are quantised to fp8 at run time before a product.
bool quantises(const HardwareProfile& hardware, DType weight, bool quant_dynamic);

/// Parameters of a product computed in `compute`: the dtype's own; bf16 and fp16 share theirs, as
/// they share the tensor cores; any other dtype borrows theirs. Null when the profile has none:
/// such products are priced by the roofline.
const GemmParameters* gemm_parameters(const HardwareProfile& hardware, DType compute);

/// Whether those were fitted to products of another kind of arithmetic.
bool borrows(const GemmParameters& parameters, DType compute);

/// Bytes per element of a product computed in `compute` whose weights and activations are stored
/// as given: fp8 products read quantised activations.
GemmElements gemm_elements(DType compute, double weight, double activation);

/// The figures of the profile that the parameters are ratios to.
GemmDevice gemm_device(const HardwareProfile& hardware, DType compute);

/// What quantising activations of k columns costs: a fixed part, and 5 k bytes a row (read twice at
/// two bytes, written at one), which come from L2 as far as the activations fit there. Seconds, per
/// row where it says so.
struct Quantiser {
    double fixed = 0, per_row = 0, per_row_in_l2 = 0;
    double l2_per_row = 0;  // share of L2 that a row takes
    double seconds(double rows) const;
};
Quantiser quantiser(const HardwareProfile& hardware, double k);

/// Query-key pairs one head of one sequence scores: causal, each query with at most `window` keys
/// (0 = all). `query` new tokens end at position `cached`.
double attended_pairs(double query, double cached, double window);

/// Expected number of `experts` that `tokens` tokens touch when each picks `top_k` of `all` evenly.
double touched_experts(double experts, double all, double top_k, double tokens);

}  // namespace tplan
