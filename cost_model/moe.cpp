#include "cost_model/moe.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>

#include "core/error.h"
#include "cost_model/op_cost.h"

namespace tplan {

namespace {

/// How much wider the interval is for what the rows behind the parameters do not hold: they are of
/// even routing, bf16, and all experts on every rank.
constexpr double kUnmeasuredRouting = 1.5;
constexpr double kUnmeasuredDtype = 1.5;
constexpr double kUnmeasuredGroups = 1.5;
constexpr double kWidest = 0.9;

constexpr double kInstructionRows = 16;  // of the smallest matrix instruction

/// How the routed tokens fall on the experts of the busiest rank.
struct Load {
    double routed = 0;     // tokens, each counted once per expert it goes to
    double touched = 0;    // experts that get any
    double row_tiles = 0;  // tiles along the rows of one touched expert
};

Load load_of(const ExpertPricer& p, const WorkSize& w, double tokens) {
    const double mean = tokens * p.top_k * p.experts / p.all_experts;
    Load load;
    if (w.balanced) {
        load.routed = mean;
        load.touched = std::min(p.experts, mean);
        load.row_tiles = std::ceil(mean / load.touched / p.model.tile_rows);
        return load;
    }
    load.routed = busiest_group(mean, p.groups);
    load.touched = std::min(touched_experts(p.experts, p.all_experts, p.top_k, tokens), mean);
    // Counts differ from expert to expert, so the last tile of each is half full on average.
    load.row_tiles = std::max(1.0, load.routed / load.touched / p.model.tile_rows + 0.5);
    return load;
}

double padded(double columns, double tile) {
    return std::ceil(columns / tile) * tile;
}

}  // namespace

void check_expert_model(const ExpertModel& m, const std::string& where) {
    require_positive(m.tile_rows, where, "tile_rows");
    require_positive(m.tile_columns, where, "tile_columns");
    require_not_negative(m.launch.value, where, "launch_s");
    require_not_negative(m.tile.value, where, "tile_s");
    require_not_negative(m.token.value, where, "token_s");
    require_fraction(m.matrix_share, where, "matrix_share");
    require_fraction(m.memory_share, where, "memory_share");
    require_share(m.overlap, where, "overlap");
    require_not_negative(m.token_passes, where, "token_passes");
    require_share(m.reread_share, where, "reread_share");
    require_positive(m.token_l2_flops_per_byte, where, "token_l2_flops_per_byte");
    require_positive(m.weight_l2_flops_per_byte, where, "weight_l2_flops_per_byte");
    require_positive(m.l2_share, where, "l2_share");
    require_fraction(m.half_width_few, where, "half_width_few");
    require_fraction(m.half_width_some, where, "half_width_some");
    require_fraction(m.half_width_many, where, "half_width_many");
}

double busiest_group(double mean, double groups) {
    return groups > 1 ? mean + std::sqrt(2 * mean * std::log(groups)) : mean;
}

ExpertPricer make_expert_pricer(const HardwareProfile& hardware, const StepShape& shape,
                                DType compute) {
    assert(hardware.experts.has_value() && shape.experts > 0);
    ExpertPricer p{.model = *hardware.experts,
                   .sm_count = double(hardware.sm_count),
                   .peak = peak_rate(hardware, compute).value,
                   .per_byte = 1 / hardware.memory_bandwidth.value,
                   .l2_bytes = hardware.l2_cache.value,
                   .experts = shape.experts,
                   .all_experts = std::max(shape.all_experts, shape.experts),
                   .top_k = shape.top_k,
                   .hidden = shape.hidden,
                   .ffn = shape.ffn,
                   .expert_columns = shape.expert_columns,
                   .expert_bytes = shape.weight_bytes / shape.experts,
                   .activation = shape.activation};
    p.groups = p.all_experts / p.experts;
    if (shape.weight_element < 2) p.widening *= kUnmeasuredDtype;
    if (p.groups > 1) p.widening *= kUnmeasuredGroups;
    p.transferred = is_assumed(hardware, "experts");
    return p;
}

KernelCost expert_cost(const ExpertPricer& p, const WorkSize& w) {
    const auto& m = p.model;
    const double tokens = w.tokens;
    const auto load = load_of(p, w, tokens);

    // Arithmetic: every touched expert fills whole tiles.
    const double columns = m.tile_columns;
    const double tiles = load.touched * load.row_tiles *
                         (std::ceil(p.expert_columns / columns) + std::ceil(p.hidden / columns));
    const double rows = padded(load.routed / load.touched, kInstructionRows);
    const double flops =
        2 * load.touched * rows *
        (p.hidden * padded(p.expert_columns, columns) + p.ffn * padded(p.hidden, columns));
    const double compute = tiles * m.tile.value / p.sm_count + flops / (p.peak * m.matrix_share);

    // Weights of the touched experts, those that do not stay in the cache once more per row tile.
    const double missed_again = missing_share(p.expert_bytes, p.l2_bytes);
    const double weights = load.touched * p.expert_bytes;
    const double traffic = weights * (1 + m.reread_share * (load.row_tiles - 1) * missed_again);
    const double missed =
        w.residency == Residency::cold ? 1 : missing_share(weights, p.l2_bytes * m.l2_share);
    const double per_byte = p.per_byte / m.memory_share;
    const double memory =
        traffic * (missed * per_byte +
                   (1 - missed) * std::min(m.weight_l2_flops_per_byte / p.peak, per_byte));

    // Tokens sorted to experts, their results weighed and added up.
    const double moved = load.routed * p.hidden * p.activation * m.token_passes;
    const double moved_missed = missing_share(moved, p.l2_bytes);
    const double per_l2_byte = std::min(m.token_l2_flops_per_byte / p.peak, p.per_byte);
    const double passes = moved * (moved_missed * p.per_byte + (1 - moved_missed) * per_l2_byte) +
                          m.token.value * tokens;

    KernelCost cost;
    cost.launch = m.launch.value;
    cost.compute = compute;
    cost.memory = memory + passes;
    cost.seconds = cost.launch + together(compute, memory, m.overlap) + passes;
    const double widening = p.widening * (w.balanced ? 1 : kUnmeasuredRouting);
    const std::array half_widths{m.half_width_few, m.half_width_some, m.half_width_many};
    cost.half_width = std::min(widening * half_widths[gemm_regime(tokens)], kWidest);
    cost.inside = widening == 1 && !p.transferred;
    cost.transferred = p.transferred;
    return cost;
}

}  // namespace tplan
