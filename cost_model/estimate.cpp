#include "cost_model/estimate.h"

// Williams, Waterman & Patterson, Roofline: an insightful visual performance model, 2009.

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <limits>
#include <optional>

namespace tplan {

namespace {

constexpr double kExtrapolatedWidening = 2;   // of the half width outside the measured range
constexpr double kTransferredWidening = 1.5;  // .. for parameters of another device or group
constexpr double kWidest = 0.9;
constexpr double kCommon = 0.5;  // correlation of a fitted product with all; derivation.md, 6
constexpr double kUnmeasuredWidth = 0.3;  // at least, for an op kind a calibration left out

/// Half widths of the memory interval: allocator rounding of weights, block rounding of the cache,
/// and what engines differ in for everything else.
constexpr double kWeightsWidth = 0.01, kCacheWidth = 0.02, kOtherWidth = 0.5;

/// A workload with the logarithms that lookups share.
struct Sizes {
    WorkSize work;
    double log_tokens = 0, log_batch = 0, log_cached = 0;
    double log_rows(Rows rows) const { return rows == Rows::tokens ? log_tokens : log_batch; }
};

Sizes sizes_of(const CompiledProgram& program, const WorkSize& work) {
    Sizes sizes{.work = work};
    if (program.logarithms) {
        sizes.log_tokens = std::log(sizes.work.tokens);
        sizes.log_batch = std::log(sizes.work.batch);
        sizes.log_cached = std::log(sizes.work.cached);
    }
    return sizes;
}

Sizes sizes_of(const CompiledProgram& program, const Workload& workload) {
    return sizes_of(program, work_size(workload));
}

std::size_t at(int i) {
    return static_cast<std::size_t>(i);
}

void set_trust(StepCost& cost, const CompiledProgram& program, bool measured, bool inside,
               double width) {
    if (!program.calibrated) {
        cost.provenance = Provenance::datasheet;
        cost.domain = Domain::datasheet_only;
        cost.half_width = width;
        return;
    }
    cost.provenance = measured ? Provenance::calibrated : Provenance::predicted;
    cost.domain = measured && inside ? Domain::interpolated : Domain::extrapolated;
    cost.half_width = inside && measured ? width : std::min(width * kExtrapolatedWidening, kWidest);
    if (!measured) cost.half_width = std::max(cost.half_width, kUnmeasuredWidth);
}

/// Of a price by fitted parameters: transferred ones are another device's, scaled by datasheets.
Provenance provenance_of_model(bool transferred) {
    return transferred ? Provenance::datasheet : Provenance::predicted;
}

/// Half width of a product priced by its tiles.
double gemm_width(const CompiledGemm& gemm, double rows, Residency weights) {
    return gemm.width[static_cast<std::size_t>(weights)][gemm_regime(rows)];
}

/// A product priced by its tiles: fitted, so better than a datasheet, but not measured here.
void trust_gemm(StepCost& cost, const CompiledGemm& gemm, double rows, Residency weights) {
    const bool inside =
        gemm.fitted && !gemm.transferred && rows >= gemm.least_rows && rows <= gemm.most_rows;
    cost.domain = inside ? Domain::interpolated : Domain::extrapolated;
    const bool near = gemm.fitted && rows <= gemm.most_rows;
    const double width = gemm_width(gemm, rows, weights);
    cost.half_width = std::min(width * (near ? 1 : kExtrapolatedWidening), kWidest);
    cost.shared = {.common = inside ? kCommon : 1, .harness = gemm.harness[gemm_regime(rows)]};
}

std::span<const CollectiveLine> lines_of(const CompiledProgram& program, const CompiledStep& step) {
    return std::span(program.lines).subspan(at(step.first_line), at(step.lines));
}

/// How far a fitted line is trusted: on the link and the numbers of ranks it was fitted to, and for
/// the sizes that were measured.
void trust_line(StepCost& cost, const CollectiveLine& line) {
    constexpr double kSmallest = 256, kLargest = 2147483648;  // bytes, a factor of two beyond
    const bool inside = cost.payload.value >= kSmallest && cost.payload.value <= kLargest;
    cost.provenance = provenance_of_model(line.transferred);
    cost.domain = line.near && inside ? Domain::interpolated : Domain::extrapolated;
    cost.half_width = line.half_width[collective_regime(cost.payload.value)] *
                      (line.near ? 1 : kTransferredWidening);
    if (!inside) cost.half_width *= kExtrapolatedWidening;
}

/// Bytes of the whole tensor.
double payload_bytes(const CompiledStep& step, const WorkSize& work) {
    if (step.role == Pass::parameters) return step.shape.weight_bytes;
    return work.rows(step.shape.rows) * step.shape.n * step.shape.activation;
}

StepCost price_collective(const CompiledProgram& program, const CompiledStep& step,
                          const Sizes& sizes) {
    const double payload = payload_bytes(step, sizes.work);
    StepCost cost;
    cost.payload = Bytes(payload);
    cost.bytes = Bytes(2 * payload);  // read and written around it
    const auto* line = cheapest_line(lines_of(program, step), payload);
    assert(line != nullptr);
    double time = line_time(*line, payload) + (line->fitted ? 0 : step.line.launch);
    const double fixed = line->alpha + (line->fitted ? 0 : step.line.launch);
    cost.bound = time > 2 * fixed ? Bound::link : Bound::latency;
    if (step.collective_table >= 0) {
        const auto& table = program.collective_tables[at(step.collective_table)];
        time = table.correct(payload, time);
        set_trust(cost, program, true, table.covers(payload), table.half_width);
    } else if (line->fitted) {
        trust_line(cost, *line);
    } else {
        set_trust(cost, program, false, false, program.interval_collective);
    }
    cost.time = Seconds(time);
    cost.launch = Seconds(std::min(step.line.launch, time));
    return cost;
}

/// The grid that corrects an attention: of its phase and width of cache; -1 when there is none.
int grid_of(const CompiledStep& step, const WorkSize& work) {
    if (!work.decode) return step.prefill_grid;
    return work.kv_bytes < 2 ? step.narrow_decode_grid : step.decode_grid;
}

/// Half width of what a table corrects: that of its regime, where leaving points out told one.
double table_width(const CompiledProgram& program, const CompiledStep& step, const Sizes& sizes,
                   bool attention) {
    const auto& work = sizes.work;
    const auto regime = gemm_regime(work.rows(step.shape.rows));
    double own = 0;
    if (attention && grid_of(step, work) >= 0) {
        own = program.attention_grids[at(grid_of(step, work))]
                  .half_width[attention_regime(work.decode, work.batch, work.cached)];
    } else if (step.product_curve >= 0) {
        own = program.product_curves[at(step.product_curve)].half_width[regime];
    } else if (step.expert_curve >= 0) {
        own = program.expert_curves[at(step.expert_curve)].half_width[regime];
        if (!work.balanced) own = std::max(own, program.interval_compute);
    }
    if (own > 0) return own;
    return attention ? program.interval_attention : program.interval_compute;
}

/// Corrects the analytic time by what was measured; returns whether the shape lies inside.
bool correct(const CompiledProgram& program, const CompiledStep& step, const Sizes& sizes,
             double bytes, double& time) {
    if (step.product_curve >= 0) {
        const auto& curve = program.product_curves[at(step.product_curve)];
        const double log_m = sizes.log_rows(step.shape.rows);
        time = curve.at(log_m, time);
        return curve.covers(log_m);
    }
    if (step.expert_curve >= 0) {
        const auto& curve = program.expert_curves[at(step.expert_curve)];
        time *= std::exp(curve.at(sizes.log_tokens));
        return curve.covers(sizes.log_tokens);
    }
    if (step.time_curve >= 0) {
        const auto& curve = program.time_curves[at(step.time_curve)];
        time = curve.at(bytes);
        return curve.exact && curve.covers(bytes);
    }
    const auto& grid = program.attention_grids[at(grid_of(step, sizes.work))];
    time *= std::exp(grid.at(sizes.log_batch, sizes.log_cached));
    return grid.covers(sizes.log_batch, sizes.log_cached) &&
           (sizes.work.kv_bytes == step.grid_kv_bytes || sizes.work.kv_bytes < 2);
}

/// The rows of the fullest rank where the ranks share them. A collective moves equal parts: the
/// last one is padded.
Sizes shared_rows(Sizes sizes, const CompiledStep& step, bool logarithms) {
    const double parts = step.shape.row_parts, own = std::ceil(sizes.work.tokens / parts);
    sizes.work.tokens = step.collective ? own * parts : own;
    if (logarithms) sizes.log_tokens = std::log(sizes.work.tokens);
    return sizes;
}

/// Half width of the gradient of a weight: that of a product with as many rows.
double product_width(const CompiledProgram& program, const CompiledStep& step) {
    const auto& product = program.gradient_products[at(step.gradient_product)];
    return product.parameters.width[gemm_regime(step.shape.k)];
}

/// The price that a model of the step's kernels gives, if it has one.
std::optional<KernelCost> kernel_cost(const CompiledProgram& program, const CompiledStep& step,
                                      const Sizes& sizes) {
    if (step.attention >= 0) {
        return attention_cost(program.attention[at(step.attention)], sizes.work);
    }
    if (step.experts >= 0) return expert_cost(program.experts[at(step.experts)], sizes.work);
    if (step.pass >= 0) {
        return pass_cost(program.passes[at(step.pass)], sizes.work.rows(step.shape.rows));
    }
    if (step.gradient_product >= 0) {
        const auto product =
            gradient_product_time(program.gradient_products[at(step.gradient_product)],
                                  step.shape.n, step.shape.k, sizes.work.rows(step.shape.rows));
        return KernelCost{.seconds = product.seconds,
                          .launch = product.launch,
                          .compute = product.compute,
                          .memory = product.memory,
                          .half_width = product_width(program, step)};
    }
    if (step.gemm >= 0) {
        const auto product = gemm_time(program.gemms[at(step.gemm)].kernel,
                                       sizes.work.rows(step.shape.rows), 1, sizes.work.residency);
        return KernelCost{.seconds = product.seconds,
                          .launch = product.launch,
                          .compute = product.compute,
                          .memory = product.memory,
                          .transferred = program.gemms[at(step.gemm)].transferred};
    }
    return std::nullopt;
}

/// The roofline in the same form.
KernelCost roofline_cost(const CompiledProgram& program, const CompiledStep& step, double flops,
                         double bytes) {
    return {.seconds = step.line.seconds(flops, bytes),
            .launch = step.line.launch,
            .compute = flops * step.line.per_flop,
            .memory = bytes * step.line.per_byte,
            .half_width = op_cost(step.shape.kind).engine == Engine::attention
                              ? program.interval_attention
                              : program.interval_compute};
}

/// The backward of a kernel from its forward pass: all but the launch takes `factor` times as long.
void scale_kernel(KernelCost& kernel, double factor) {
    kernel.seconds = kernel.launch + (kernel.seconds - kernel.launch) * factor;
    kernel.compute *= factor;
    kernel.memory *= factor;
}

StepCost price_rows(const CompiledProgram& program, const CompiledStep& step, const Sizes& sizes) {
    if (step.free) {
        StepCost cost;
        cost.half_width = 0;
        cost.bound = Bound::latency;
        // Exactly nothing: it must not weaken the provenance of the sum.
        cost.provenance = Provenance::measured;
        cost.domain = Domain::interpolated;
        return cost;
    }
    if (step.collective) return price_collective(program, step, sizes);

    const auto& row = op_cost(step.shape.kind);
    const double flops = row.flops(step.shape, sizes.work) * step.factor;
    const double bytes = row.bytes(step.shape, sizes.work) * step.factor;
    const double rows = sizes.work.rows(step.shape.rows);
    const auto modelled = kernel_cost(program, step, sizes);
    auto kernel = modelled ? *modelled : roofline_cost(program, step, flops, bytes);
    if (modelled && step.factor != 1) scale_kernel(kernel, step.factor);
    double time = kernel.seconds, launch = kernel.launch;
    if (step.quantises) {
        time += step.quantiser.seconds(rows);
        launch += step.quantiser.fixed;
    }
    const bool measured = step.product_curve >= 0 || step.expert_curve >= 0 ||
                          step.time_curve >= 0 || grid_of(step, sizes.work) >= 0;
    const bool inside = measured && correct(program, step, sizes, bytes, time);

    StepCost cost;
    cost.flops = Flops(flops);
    cost.bytes = Bytes(bytes);
    cost.time = Seconds(time);
    cost.launch = Seconds(std::min(launch, time));
    cost.bound = kernel.compute > kernel.memory ? Bound::compute : Bound::memory;
    if (kernel.waits && cost.bound == Bound::compute) cost.bound = Bound::latency;
    if (launch > std::max(kernel.compute, kernel.memory)) cost.bound = Bound::launch;
    if (modelled && !measured) {
        cost.provenance = provenance_of_model(kernel.transferred);
        cost.domain = kernel.inside ? Domain::interpolated : Domain::extrapolated;
        cost.half_width = kernel.half_width;
        if (step.gemm >= 0) {
            trust_gemm(cost, program.gemms[at(step.gemm)], rows, sizes.work.residency);
        }
        return cost;
    }
    const bool attention = row.engine == Engine::attention;
    set_trust(cost, program, measured, inside, table_width(program, step, sizes, attention));
    if (measured && !inside && modelled) {  // then the table tells no more than the model does
        const double own =
            step.gemm >= 0 ? gemm_width(program.gemms[at(step.gemm)], rows, sizes.work.residency)
                           : kernel.half_width;
        cost.half_width = std::max(cost.half_width, own);
    }
    return cost;
}

StepCost price_one(const CompiledProgram& program, const CompiledStep& step, const Sizes& sizes) {
    auto cost = step.shape.row_parts == 1
                    ? price_rows(program, step, sizes)
                    : price_rows(program, step, shared_rows(sizes, step, program.logarithms));
    if (step.backward && !step.free) {
        cost.half_width = std::min(cost.half_width * kBackwardWidening, kWidest);
        cost.domain = std::max(cost.domain, Domain::extrapolated);
    }
    return cost;
}

MemoryUse memory_use(const MemoryTerms& terms, const Workload& workload) {
    const auto batch = static_cast<double>(workload.batch);
    const auto query = static_cast<double>(workload.query_tokens());
    const auto cached = static_cast<double>(workload.cached_tokens());
    const double element = bytes_of(workload.kv_dtype);
    MemoryUse use;
    use.weights = Bytes(terms.weights);
    use.kv_cache = Bytes(kv_cache_bytes(terms, batch, cached, element));
    use.activations = Bytes(activation_bytes(terms, batch, query));
    use.logits = Bytes(logits_bytes(terms, batch, query));
    use.communication = Bytes(terms.communication);
    use.workspace = Bytes(terms.workspace);
    use.total = Bytes(total_bytes(terms, batch, query, cached, element));
    const double other = use.total.value - use.weights.value - use.kv_cache.value;
    const double half =
        use.weights.value * kWeightsWidth + use.kv_cache.value * kCacheWidth + other * kOtherWidth;
    use.interval_90 = {use.total - Bytes(half), use.total + Bytes(half)};
    use.capacity = Bytes(std::max(terms.capacity, 0.0));
    use.fits = use.total <= use.capacity;
    use.max_batch = largest_batch(terms, workload);
    use.max_context = largest_context(terms, workload);
    return use;
}

/// Price of a step of the flat list: of two kinds the slower one's.
StepCost price_at(const CompiledProgram& program, int step, const Sizes& sizes) {
    const auto cost = price_one(program, program.steps[at(step)], sizes);
    if (!program.second) return cost;
    const auto other = price_one(*program.second, program.second->steps[at(step)], sizes);
    return other.time > cost.time ? other : cost;
}

/// How much of its memory a device uses.
double used_share(const MemoryUse& memory) {
    return memory.capacity.value > 0 ? memory.total / memory.capacity
                                     : std::numeric_limits<double>::infinity();
}

/// Of two kinds the memory of the tighter one; the largest batch and context suit both.
MemoryUse tightest_memory(const CompiledProgram& program, const Workload& workload) {
    auto memory = memory_use(program.memory, workload);
    if (!program.second) return memory;
    auto other = memory_use(program.second->memory, workload);
    if (used_share(other) > used_share(memory)) std::swap(memory, other);
    memory.max_batch = std::min(memory.max_batch, other.max_batch);
    memory.max_context = std::min(memory.max_context, other.max_context);
    return memory;
}

std::vector<std::int64_t> shape_of(const Step& step, const Workload& workload) {
    const auto rows = workload.rows(step.rows);
    if (step.pass == Pass::weight_gradient) return {step.k, step.n, rows};
    if (step.pass == Pass::parameters)
        return {1, static_cast<std::int64_t>(step.weight_bytes / bytes_of(step.dtype))};
    if (step.kind == OpKind::linear) return {rows, step.n, step.k};
    if (step.kind == OpKind::attention && step.spec.attention) {
        const auto& a = *step.spec.attention;
        return {
            workload.batch, workload.query_tokens(), workload.cached_tokens(), a.heads, a.kv_heads,
            a.head_dim};
    }
    return {rows, step.n};
}

}  // namespace

Totals price(const CompiledProgram& program, const Workload& workload) {
    if (workload.phase == Phase::train) {
        throw Error("--phase train", "a program of serving has no training step",
                    "price a training program, with price_training()");
    }
    const auto sizes = sizes_of(program, workload);
    KindSums kinds;
    double compute = 0, collective = 0, launch = 0, layers = 0;
    auto provenance = Provenance::measured;
    auto domain = Domain::interpolated;
    for (const auto& section : program.sections) {
        double section_time = 0;
        for (int s = 0; s < section.steps; ++s) {
            const auto& step = program.steps[at(section.first_step + s)];
            const auto cost = price_at(program, section.first_step + s, sizes);
            const double time = cost.time.value;
            section_time += time;
            (step.collective ? collective : compute) += section.repeats * time;
            launch += section.repeats * cost.launch.value;
            kinds.add(step.kind, section.repeats * time, cost.half_width, cost.shared);
            provenance = std::max(provenance, cost.provenance);
            domain = std::max(domain, cost.domain);
        }
        if (section.layer) layers += section.repeats * section_time;
    }

    Totals totals;
    const double step = compute + collective;
    totals.step = Seconds(step);
    totals.kinds = kinds;
    totals.interval_90 = kinds.interval(totals.step);
    totals.layer = Seconds(program.layers > 0 ? layers / program.layers : 0);
    totals.compute = Seconds(compute);
    totals.collective = Seconds(collective);
    totals.exposed_collective = Seconds(collective);  // nothing overlaps yet
    totals.launch = Seconds(launch);
    totals.tokens_per_s = step > 0 ? sizes.work.tokens / step : 0;
    totals.provenance = provenance;
    totals.domain = domain;
    totals.memory = tightest_memory(program, workload);
    return totals;
}

std::vector<KindUse> uses_by_kind(const CompiledProgram& program, const Workload& workload) {
    const auto sizes = sizes_of(program, workload);
    std::vector<KindUse> uses;
    for (const auto* kind : {&program, program.second.get()}) {
        if (kind == nullptr) continue;
        double own = 0;
        for (const auto& section : kind->sections) {
            for (int s = 0; s < section.steps; ++s) {
                const auto& step = kind->steps[at(section.first_step + s)];
                if (!step.collective)
                    own += section.repeats * price_one(*kind, step, sizes).time.value;
            }
        }
        uses.push_back({.device = kind->device,
                        .ranks = kind->ranks,
                        .compute = Seconds(own),
                        .memory = memory_use(kind->memory, workload)});
    }
    return uses;
}

StepCost price_counts(const CompiledProgram& program, int section, int step, const WorkSize& work) {
    const auto& s = program.sections[at(section)];
    assert(step >= 0 && step < s.steps);
    return price_at(program, s.first_step + step, sizes_of(program, work));
}

StepCost price_step(const CompiledProgram& program, int section, int step,
                    const Workload& workload) {
    return price_counts(program, section, step, work_size(workload));
}

std::string_view collective_algorithm(const CompiledProgram& program, int section, int step,
                                      const Workload& workload) {
    const auto& s = program.steps[at(program.sections[at(section)].first_step + step)];
    if (!s.collective || s.free) return "";
    auto sizes = sizes_of(program, workload);
    if (s.shape.row_parts > 1) sizes = shared_rows(sizes, s, program.logarithms);
    return cheapest_line(lines_of(program, s), payload_bytes(s, sizes.work))->algorithm;
}

std::vector<OpEstimate> expand(const CompiledProgram& program, const Program& source,
                               const Workload& workload) {
    std::vector<OpEstimate> rows;
    for (std::size_t p = 0; p < source.order.size(); ++p) {
        const int section = source.order[p], layer = source.order_layer[p];
        const auto& steps = source.sections[at(section)].steps;
        for (std::size_t s = 0; s < steps.size(); ++s) {
            const auto cost = price_step(program, section, static_cast<int>(s), workload);
            auto& row = rows.emplace_back();
            row.id = step_id(steps[s], layer);
            row.layer = layer;
            row.name = steps[s].name;
            row.kind = std::string(name_of(op_cost(steps[s].kind).kind));
            row.shape = shape_of(steps[s], workload);
            row.flops = cost.flops;
            row.bytes = cost.bytes;
            row.payload = cost.payload;
            row.time = cost.time;
            row.bound = cost.bound;
            row.provenance = cost.provenance;
        }
    }
    return rows;
}

}  // namespace tplan
