#include "cost_model/op_cost.h"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace tplan {

namespace {

double local_columns(const Program& program, int buffer) {
    const auto& b = program.buffers[static_cast<std::size_t>(buffer)];
    return static_cast<double>(largest_width(b.layout, b.width, program.ranks));
}

/// Over how many ranks the rows of the buffers are spread; 1 when every rank has all.
double row_parts(const Program& program, const std::vector<int>& buffers) {
    for (const int buffer : buffers) {
        const auto& layout = program.buffers[static_cast<std::size_t>(buffer)].layout;
        if (layout.splits_rows()) return layout.split.parts;
    }
    return 1;
}

// -- formulas -------------------------------------------------------------------------------------

double none(const StepShape&, const WorkSize&) {
    return 0;
}

/// 2 m n k.
double linear_flops(const StepShape& s, const WorkSize& w) {
    return 2 * w.rows(s.rows) * s.n * s.k;
}

/// Weights once, activations in and out.
double linear_bytes(const StepShape& s, const WorkSize& w) {
    return s.weight_bytes + w.rows(s.rows) * (s.k + s.n) * s.activation;
}

/// Looked-up rows of the table, and the output.
double embedding_bytes(const StepShape& s, const WorkSize& w) {
    return w.rows(s.rows) * s.out_columns * (s.weight_element + s.activation);
}

/// Looked-up rows, the input and the output.
double position_bytes(const StepShape& s, const WorkSize& w) {
    return w.rows(s.rows) * s.out_columns * (s.weight_element + 2 * s.activation);
}

/// One per element read: never what binds, kept so that totals count every op.
double pass_flops(const StepShape& s, const WorkSize& w) {
    return w.rows(s.rows) * s.in_columns;
}

/// Everything read, everything written, and the small weights.
double pass_bytes(const StepShape& s, const WorkSize& w) {
    return s.weight_bytes + w.rows(s.rows) * (s.in_columns + s.out_columns) * s.activation;
}

/// Every value is read; the (value, index) pairs written are fp32.
double largest_bytes(const StepShape& s, const WorkSize& w) {
    return w.rows(s.rows) * (s.in_columns * s.activation + s.out_columns * bytes_of(DType::fp32));
}

/// Only the selected rows are read.
double select_bytes(const StepShape& s, const WorkSize& w) {
    return 2 * w.batch * s.out_columns * s.activation;
}

/// Q K^T and P V: 2 flops per pair and dimension, for every query head. Decoding over a latent
/// cache (MLA) absorbs the up-projections: scores over the whole latent, values over it less the
/// rope part.
double attention_flops(const StepShape& s, const WorkSize& w) {
    const double pairs = attended_pairs(w.query, w.cached, s.window);
    double dims = s.head_dim + s.v_head_dim;
    if (w.decode && s.latent_width > 0) dims = 2 * s.latent_width - s.latent_rope;
    return 2 * w.batch * s.heads * pairs * dims;
}

/// Queries and outputs of every head; keys and values once per KV head, however many query heads
/// share it. Decoding reads the cache; a prefill reads the new keys and values and writes the
/// cache. Over a latent cache the queries are as wide as what is cached, the outputs that less the
/// rope part.
double attention_bytes(const StepShape& s, const WorkSize& w) {
    const bool latent = s.latent_width > 0;
    const double new_tokens = w.batch * w.query;
    const double kv = s.kv_heads * (s.head_dim + s.v_head_dim);
    const double cached_columns = latent ? s.latent_width : kv;
    const double head_columns =
        latent && w.decode ? 2 * s.latent_width - s.latent_rope : s.head_dim + s.v_head_dim;
    const double own = new_tokens * s.heads * head_columns * s.activation;
    const double append = new_tokens * cached_columns * w.kv_bytes;
    if (!w.decode) return own + append + new_tokens * kv * s.activation;
    const double seen = s.window > 0 ? std::min(w.cached, s.window) : w.cached;
    return own + append + w.batch * seen * cached_columns * w.kv_bytes;
}

double routed_tokens(const StepShape& s, const WorkSize& w) {
    return s.all_experts > 0 ? w.rows(s.rows) * s.top_k * s.experts / s.all_experts : 0;
}

/// Two products per routed token: hidden x expert_columns and ffn x hidden.
double moe_flops(const StepShape& s, const WorkSize& w) {
    return 2 * routed_tokens(s, w) * s.hidden * (s.expert_columns + s.ffn);
}

/// Weights of the experts that are touched; per routed token its input, the two inner activations
/// and its output; the tokens in and out.
double moe_bytes(const StepShape& s, const WorkSize& w) {
    if (s.experts <= 0) return 0;
    const double touched = touched_experts(s.experts, s.all_experts, s.top_k, w.rows(s.rows));
    const double inner = 2 * s.hidden + 2 * s.expert_columns + 2 * s.ffn;
    return s.weight_bytes * touched / s.experts +
           (routed_tokens(s, w) * inner + 2 * w.rows(s.rows) * s.hidden) * s.activation;
}

/// Local reads and writes around a collective of the whole tensor [rows, n].
double reduce_bytes(const StepShape& s, const WorkSize& w) {
    return 2 * w.rows(s.rows) * s.n * s.activation;
}

constexpr std::array kOpCosts = {
    OpCost{OpKind::embedding, CostKind::embedding, Engine::none, none, embedding_bytes},
    OpCost{OpKind::position_embedding, CostKind::embedding, Engine::none, pass_flops,
           position_bytes},
    OpCost{OpKind::linear, CostKind::linear, Engine::product, linear_flops, linear_bytes},
    OpCost{OpKind::norm, CostKind::norm, Engine::none, pass_flops, pass_bytes},
    OpCost{OpKind::add, CostKind::elementwise, Engine::none, pass_flops, pass_bytes},
    OpCost{OpKind::add_norm, CostKind::norm, Engine::none, pass_flops, pass_bytes},
    OpCost{OpKind::rope, CostKind::elementwise, Engine::none, pass_flops, pass_bytes},
    OpCost{OpKind::unpack_qkv, CostKind::elementwise, Engine::none, none, pass_bytes},
    OpCost{OpKind::attention, CostKind::attention, Engine::attention, attention_flops,
           attention_bytes},
    OpCost{OpKind::activation, CostKind::elementwise, Engine::none, pass_flops, pass_bytes},
    OpCost{OpKind::multiply, CostKind::elementwise, Engine::none, pass_flops, pass_bytes},
    OpCost{OpKind::select_last, CostKind::elementwise, Engine::none, none, select_bytes},
    OpCost{OpKind::scale, CostKind::elementwise, Engine::none, pass_flops, pass_bytes},
    OpCost{OpKind::split_columns, CostKind::elementwise, Engine::none, none, pass_bytes},
    OpCost{OpKind::moe_router, CostKind::moe, Engine::product, linear_flops, linear_bytes},
    OpCost{OpKind::moe_experts, CostKind::moe, Engine::product, moe_flops, moe_bytes},
    OpCost{OpKind::largest, CostKind::elementwise, Engine::none, pass_flops, largest_bytes},
    OpCost{OpKind::all_reduce, CostKind::all_reduce, Engine::none, none, reduce_bytes},
    OpCost{OpKind::all_gather, CostKind::all_gather, Engine::none, none, reduce_bytes},
    OpCost{OpKind::reduce_scatter, CostKind::reduce_scatter, Engine::none, none, reduce_bytes},
    OpCost{OpKind::all_to_all, CostKind::all_to_all, Engine::none, none, reduce_bytes},
    OpCost{OpKind::slice, CostKind::elementwise, Engine::none, none, none},
};
static_assert(kOpCosts.size() == enum_names(OpKind{}).size());
constexpr bool rows_in_order() {
    for (std::size_t i = 0; i < kOpCosts.size(); ++i) {
        if (static_cast<std::size_t>(kOpCosts[i].op) != i) return false;
    }
    return true;
}
static_assert(rows_in_order());

}  // namespace

WorkSize work_size(const Workload& workload) {
    const auto as_double = [](std::int64_t count) { return static_cast<double>(count); };
    return {.decode = workload.phase == Phase::decode,
            .batch = as_double(workload.batch),
            .query = as_double(workload.query_tokens()),
            .cached = as_double(workload.cached_tokens()),
            .tokens = as_double(workload.rows(Rows::tokens)),
            .kv_bytes = bytes_of(workload.kv_dtype)};
}

DType stored_dtype(DType activation) {
    return activation == DType::fp8 || is_stored_only(activation) ? DType::bf16 : activation;
}

StepShape step_shape(const Step& step, const Program& program) {
    const auto as_double = [](std::int64_t count) { return static_cast<double>(count); };
    StepShape s{.kind = step.kind,
                .rows = step.rows,
                .n = as_double(step.n),
                .k = as_double(step.k),
                .weight_bytes = step.weight_bytes,
                .weight_element = bytes_of(step.weight_dtype),
                .activation = bytes_of(stored_dtype(step.dtype))};
    // Scales and zero points are read with the integers: a tenth and more of them in small groups.
    const bool integers = step.weight_dtype == DType::int4 || step.weight_dtype == DType::int8;
    if (integers && s.n * s.k > 0) s.weight_element = s.weight_bytes / (s.n * s.k);
    for (const int b : step.inputs) s.in_columns += local_columns(program, b);
    for (const int b : step.outputs) s.out_columns += local_columns(program, b);
    s.row_parts = std::max(row_parts(program, step.inputs), row_parts(program, step.outputs));
    if (step.inputs.empty()) s.in_columns = as_double(step.k > 0 ? step.k : step.n);
    if (step.outputs.empty()) s.out_columns = as_double(step.n);
    if (const auto& a = step.spec.attention) {
        s.heads = as_double(a->heads);
        s.kv_heads = as_double(a->kv_heads);
        s.head_dim = as_double(a->head_dim);
        s.v_head_dim = as_double(a->v_head_dim > 0 ? a->v_head_dim : a->head_dim);
        s.window = as_double(a->window);
        s.latent_width = as_double(a->latent_width);
        s.latent_rope = as_double(a->latent_rope);
    }
    if (const auto& m = step.spec.moe) {
        s.experts = as_double(m->experts);
        s.all_experts = s.experts;
        s.top_k = as_double(m->top_k);
        s.hidden = as_double(m->hidden);
        s.ffn = as_double(m->ffn);
        s.expert_columns = m->gated ? 2 * s.ffn : s.ffn;
        // The router's output is as wide as the experts routed over, of which this rank may hold
        // few.
        if (step.kind == OpKind::moe_experts && step.inputs.size() > 1) {
            const auto& router = program.buffers[static_cast<std::size_t>(step.inputs[1])];
            s.all_experts = std::max(s.experts, as_double(router.width));
        }
        if (step.kind == OpKind::moe_router) {
            if (step.n == 0) s.n = s.experts;
            if (step.k == 0) s.k = s.hidden;
        }
    }
    return s;
}

const OpCost& op_cost(OpKind kind) {
    return kOpCosts[static_cast<std::size_t>(kind)];
}

double Roofline::seconds(double flops, double bytes) const {
    const double compute = flops * per_flop, memory = bytes * per_byte;
    return launch + std::sqrt(compute * compute + memory * memory);
}

Roofline roofline(const HardwareProfile& hardware, Engine engine, DType compute) {
    Roofline line{.per_byte = 1 / (hardware.memory_bandwidth.value * hardware.memory_efficiency),
                  .launch = hardware.launch.value};
    if (engine == Engine::none) return line;
    const double share =
        engine == Engine::product ? hardware.gemm_efficiency : hardware.attention_efficiency;
    if (engine == Engine::attention) line.launch = hardware.attention_launch.value;
    line.per_flop = 1 / (peak_rate(hardware, compute).value * share);
    return line;
}

DType compute_dtype(const HardwareProfile& hardware, DType weight, DType activation) {
    const bool has_fp8 = std::any_of(hardware.peaks.begin(), hardware.peaks.end(),
                                     [](const PeakRate& p) { return p.dtype == DType::fp8; });
    if (weight == DType::fp8 && has_fp8) return DType::fp8;
    return stored_dtype(activation);
}

bool quantises(const HardwareProfile& hardware, DType weight, bool quant_dynamic) {
    return quant_dynamic && weight == DType::fp8 &&
           compute_dtype(hardware, weight, DType::bf16) == DType::fp8;
}

const GemmParameters* gemm_parameters(const HardwareProfile& hardware, DType compute) {
    const auto dtype = usable_dtype(hardware, compute);
    const GemmParameters* found = nullptr;
    for (const auto& p : hardware.gemm) {
        if (p.dtype == dtype) return &p;
        if (p.dtype == DType::bf16 || p.dtype == DType::fp16) found = &p;
    }
    return found;
}

bool borrows(const GemmParameters& parameters, DType compute) {
    const auto tensor_core = [](DType dtype) { return dtype == DType::fp16 ? DType::bf16 : dtype; };
    return tensor_core(parameters.dtype) != tensor_core(compute);
}

GemmElements gemm_elements(DType compute, double weight, double activation) {
    return {
        .weight = weight, .input = std::min(activation, bytes_of(compute)), .output = activation};
}

GemmDevice gemm_device(const HardwareProfile& hardware, DType compute) {
    return {.sm_count = static_cast<double>(hardware.sm_count),
            .peak = peak_rate(hardware, compute).value,
            .fp32_peak = peak_rate(hardware, DType::fp32).value,
            .memory_bandwidth = hardware.memory_bandwidth.value,
            .l2_bytes = hardware.l2_cache.value};
}

double Quantiser::seconds(double rows) const {
    const double in_l2 = l2_resident(rows * l2_per_row);
    return fixed + rows * (in_l2 * per_row_in_l2 + (1 - in_l2) * per_row);
}

Quantiser quantiser(const HardwareProfile& hardware, double k) {
    const double bytes = 5 * k, resident = 2 * k;
    Quantiser out{
        .fixed = hardware.quantise.value,
        .per_row = bytes / (hardware.memory_bandwidth.value * hardware.quantise_efficiency),
        .l2_per_row = resident / hardware.l2_cache.value};
    out.per_row_in_l2 = out.per_row;
    if (const auto* parameters = gemm_parameters(hardware, DType::fp8)) {
        const double fp32_peak = peak_rate(hardware, DType::fp32).value;
        out.per_row_in_l2 = std::min(out.per_row, bytes / (parameters->l2_ratio * fp32_peak));
    }
    return out;
}

double attended_pairs(double query, double cached, double window) {
    const double first = cached - query + 1;  // keys the first query sees
    if (window <= 0 || cached <= window) return query * (first + cached) / 2;
    if (first >= window) return query * window;
    const double rising = window - first;  // queries that see fewer than `window`
    return rising * (first + window - 1) / 2 + (query - rising) * window;
}

double touched_experts(double experts, double all, double top_k, double tokens) {
    if (all <= 0 || top_k >= all) return experts;
    return experts * -std::expm1(tokens * std::log1p(-top_k / all));
}

}  // namespace tplan
