#include "cost_model/attention.h"

// Dao, FlashAttention-2: faster attention with better parallelism and work partitioning, 2023.
// Graham, Bounds on multiprocessing timing anomalies, 1969 (the tail of a list schedule).

#include <algorithm>
#include <cassert>
#include <cmath>

#include "core/error.h"
#include "cost_model/op_cost.h"

namespace tplan {

namespace {

/// How much wider the interval is for what the rows behind the parameters do not hold.
constexpr double kUnmeasuredDimension = 1.5;  // head dimensions outside 64 to 128
constexpr double kUnmeasuredWindow = 1.25;
constexpr double kUnmeasuredPrefix = 1.5;  // new tokens behind a cached prefix
constexpr double kUnmeasuredCold = 1.5;    // a cold cache smaller than the last-level cache
constexpr double kUnmeasuredKernel = 1.5;  // priced as another kernel of the device
constexpr double kUnmeasuredLatent = 2;    // MLA
constexpr double kSlowGroup = 2;           // engines leave their fast kernels
constexpr double kLargestGroup = 16;       // query heads per KV head
constexpr double kWidest = 0.9;

/// Query heads of a latent decode that one tile serves (the rows of a matrix instruction).
constexpr double kLatentTileHeads = 64;

void check_prefill(const PrefillModel& m, const std::string& where) {
    require_positive(m.tile_rows, where, "tile_rows");
    require_positive(m.tile_keys, where, "tile_keys");
    require_not_negative(m.launch.value, where, "launch_s");
    require_positive(m.tile.value, where, "tile_s");
    require_not_negative(m.query_passes, where, "query_passes");
    require_not_negative(m.kv_passes, where, "kv_passes");
    require_not_negative(m.grouped_kv_passes, where, "grouped_kv_passes");
    require_positive(m.l2_flops_per_byte, where, "l2_flops_per_byte");
    require_fraction(m.matrix_share, where, "matrix_share");
    require_not_negative(m.softmax_flops_per_pair, where, "softmax_flops_per_pair");
    require_positive(m.lone_tile_share, where, "lone_tile_share");
    require_share(m.tail_share, where, "tail_share");
    require_fraction(m.half_width_short, where, "half_width_short");
    require_fraction(m.half_width_long, where, "half_width_long");
}

void check_decode(const DecodeModel& m, const std::string& where) {
    require_positive(m.least_split_keys, where, "least_split_keys");
    require_not_negative(m.launch.value, where, "launch_s");
    require_not_negative(m.merge.value, where, "merge_s");
    require_positive(m.tile.value, where, "tile_s");
    require_not_negative(m.head.value, where, "head_s");
    require_positive(m.tile_bandwidth.value, where, "tile_bytes_per_s");
    require_positive(m.tiles_per_sm, where, "tiles_per_sm");
    require_fraction(m.memory_share, where, "memory_share");
    require_not_negative(m.ramp.value, where, "ramp_s");
    require_share(m.overlap, where, "overlap");
    require_positive(m.l2_share, where, "l2_share");
    require_positive(m.l2_flops_per_byte, where, "l2_flops_per_byte");
    require_fraction(m.half_width_cold, where, "half_width_cold");
    require_fraction(m.half_width_warm, where, "half_width_warm");
}

bool narrow(DType kv_dtype) {
    return bytes_of(kv_dtype) < 2;
}

bool is_kernel(const DecodeModel& row, bool one_byte, bool grouped) {
    return row.grouped == grouped && narrow(row.kv_dtype) == one_byte;
}

/// The row for a cache dtype and head grouping; where there is none, the nearest.
const DecodeModel& decode_row(const AttentionModel& model, bool one_byte, bool grouped) {
    const DecodeModel* best = nullptr;
    int best_score = -1;
    for (const auto& row : model.decode) {
        const int score =
            (row.grouped == grouped ? 2 : 0) + (narrow(row.kv_dtype) == one_byte ? 1 : 0);
        if (score <= best_score) continue;
        best_score = score;
        best = &row;
    }
    assert(best != nullptr);
    return *best;
}

/// Keys that a query row walks over on average: whole blocks, also where the mask is empty.
double mean_keys(const AttentionPricer& p, const WorkSize& w, double rows) {
    const auto& m = p.prefill;
    const double blocks = std::ceil(w.cached / m.tile_keys) * m.tile_keys;
    double keys = blocks;
    if (rows > m.tile_rows) keys = (w.cached - w.query) + (rows + m.tile_keys) / 2;
    if (p.window > 0 && w.cached > p.window) {
        const double hidden =
            (attended_pairs(w.query, w.cached, 0) - attended_pairs(w.query, w.cached, p.window)) /
            w.query;
        keys = std::min(keys, keys - hidden + m.tile_rows / 2);  // a tile sees its rows' windows
    }
    return std::max(keys, std::min(blocks, m.tile_keys));
}

double prefill_memory(const AttentionPricer& p, const WorkSize& w) {
    const auto& m = p.prefill;
    const double kv_width = p.kv_heads * (p.query_dim + p.value_dim);
    const bool grouped = p.kv_heads > 1 && p.kv_heads < p.heads;
    const double tokens = w.batch * w.query * p.activation;
    const double bytes = tokens * (p.heads * p.query_dim * m.query_passes +
                                   kv_width * (grouped ? m.grouped_kv_passes : m.kv_passes));
    const double held = tokens * (p.heads * (p.query_dim + p.value_dim) + kv_width);
    const double missed = missing_share(held, p.l2_bytes);
    const double per_l2_byte = std::min(m.l2_flops_per_byte / p.peak, p.per_byte);
    return bytes * (missed * p.per_byte + (1 - missed) * per_l2_byte);
}

KernelCost prefill_cost(const AttentionPricer& p, const WorkSize& w) {
    const auto& m = p.prefill;
    const double per_head = std::ceil(w.query / m.tile_rows), rows = per_head * m.tile_rows;
    const double tiles = w.batch * p.heads * per_head;
    const double per_pair = (2 * (p.query_dim + p.value_dim) + m.softmax_flops_per_pair) *
                            p.sm_count / (p.peak * m.matrix_share);
    const double row_step = m.tile_rows * per_pair;  // a tile past one key
    const double mean = m.tile.value + row_step * mean_keys(p, w, rows);
    double longest_keys = std::ceil(w.cached / m.tile_keys) * m.tile_keys;
    if (p.window > 0) longest_keys = std::min(longest_keys, p.window + m.tile_rows);
    const double longest =
        std::max(mean, m.tile.value + row_step * longest_keys) / m.lone_tile_share;

    // All SMs busy to the end, then what is left of the longest tile when the others have finished;
    // with fewer tiles than SMs, the longest tile.
    const double waves = tiles / p.sm_count;
    const double tail = std::max(longest - mean / waves, 0.0);
    const double core = std::max(longest, mean * waves + m.tail_share * tail);

    KernelCost cost;
    cost.memory = prefill_memory(p, w);
    cost.compute = core;
    cost.launch = m.launch.value;
    cost.seconds = cost.launch + cost.memory + core;
    const bool prefix = w.cached > w.query;
    const double widening = p.widening * (prefix ? kUnmeasuredPrefix : 1);
    const bool is_short = attention_regime(false, w.batch, w.cached) == 0;
    cost.half_width = widening * (is_short ? m.half_width_short : m.half_width_long);
    cost.inside = widening == 1 && !p.transferred;
    cost.transferred = p.transferred;
    return cost;
}

/// Time of the SMs: `pieces` tiles for each of `tiles`, `keys` seconds of reading for the whole of
/// one.
double decode_compute(const AttentionPricer& p, const DecodeModel& m, double tiles, double pieces,
                      double keys) {
    const double rounds = std::max(1.0, tiles * pieces / (p.sm_count * m.tiles_per_sm));
    return (m.tile.value + keys / pieces) * rounds;
}

KernelCost decode_cost(const AttentionPricer& p, const WorkSize& w) {
    const bool one_byte = w.kv_bytes < 2;
    const auto& m = one_byte ? p.decode_narrow : p.decode_wide;
    const bool latent = p.latent_width > 0;
    const double seen = p.window > 0 ? std::min(w.cached, p.window) : w.cached;
    const double columns = latent ? p.latent_width : p.query_dim + p.value_dim;
    const double kv_heads = latent ? std::ceil(p.heads / kLatentTileHeads) : p.kv_heads;
    const double tile_bytes = seen * columns * w.kv_bytes;
    const double bytes = w.batch * tile_bytes * (latent ? 1 : p.kv_heads);

    const bool cold = w.residency == Residency::cold;
    // Twice as steep as elsewhere: nothing else passes through the cache of such a benchmark.
    const double fits = p.l2_bytes * m.l2_share;
    const double missed = cold ? 1 : missing_share(bytes * bytes, fits * fits);
    const double per_byte = p.per_byte / m.memory_share;
    const double per_l2_byte = std::min(m.l2_flops_per_byte / p.peak, per_byte);
    const double memory =
        missed * (m.ramp.value * bytes / (bytes + p.l2_bytes) + bytes * per_byte) +
        (1 - missed) * bytes * per_l2_byte;

    const double tiles = w.batch * kv_heads, keys = tile_bytes / m.tile_bandwidth.value;
    double least = m.head.value * w.batch * p.heads / p.sm_count;
    if (latent) {
        const double flops = 2 * w.batch * p.heads * seen * (2 * p.latent_width - p.latent_rope);
        least += flops / (p.peak * p.prefill.matrix_share);
    }
    KernelCost cost;
    cost.memory = memory;
    cost.compute = least + decode_compute(p, m, tiles, 1, keys);
    cost.launch = m.launch.value;
    cost.seconds = cost.launch + together(cost.compute, memory, m.overlap);
    if (m.splits) {
        const double wanted = p.sm_count * m.tiles_per_sm / tiles;
        const double pieces = std::max(1.0, std::min(wanted, seen / m.least_split_keys));
        const double split = least + decode_compute(p, m, tiles, pieces, keys);
        const double launch = m.launch.value + m.merge.value;
        const double seconds = launch + together(split, memory, m.overlap);
        if (seconds < cost.seconds) {
            cost.compute = split;
            cost.launch = launch;
            cost.seconds = seconds;
        }
    }
    double widening = p.widening * (one_byte ? p.narrow_widening : p.wide_widening);
    if (cold && bytes < p.l2_bytes) widening *= kUnmeasuredCold;
    cost.half_width = widening * (cold ? m.half_width_cold : m.half_width_warm);
    cost.inside = widening == 1 && !p.transferred;
    cost.transferred = p.transferred;
    return cost;
}

}  // namespace

void check_attention_model(const AttentionModel& model, const std::string& where) {
    check_prefill(model.prefill, where + "/prefill");
    if (model.decode.empty()) throw Error(where + "/decode", "expected at least one row, got none");
    for (std::size_t i = 0; i < model.decode.size(); ++i) {
        const auto at = fmt::format("{}/decode/{}", where, i);
        check_decode(model.decode[i], at);
        for (std::size_t j = 0; j < i; ++j) {
            if (model.decode[j].grouped == model.decode[i].grouped &&
                narrow(model.decode[j].kv_dtype) == narrow(model.decode[i].kv_dtype)) {
                throw Error(at, "a second row for this cache dtype and head grouping");
            }
        }
    }
}

AttentionPricer make_attention_pricer(const HardwareProfile& hardware, const StepShape& shape,
                                      DType activation) {
    assert(hardware.attention.has_value());
    const auto& model = *hardware.attention;
    const bool latent = shape.latent_width > 0;
    const bool grouped = latent || shape.heads > shape.kv_heads;
    AttentionPricer p{.prefill = model.prefill,
                      .decode_wide = decode_row(model, false, grouped),
                      .decode_narrow = decode_row(model, true, grouped),
                      .sm_count = double(hardware.sm_count),
                      .peak = peak_rate(hardware, activation).value,
                      .per_byte = 1 / hardware.memory_bandwidth.value,
                      .l2_bytes = hardware.l2_cache.value,
                      .heads = shape.heads,
                      .kv_heads = shape.kv_heads,
                      .query_dim = shape.head_dim,
                      .value_dim = shape.v_head_dim,
                      .window = shape.window,
                      .latent_width = shape.latent_width,
                      .latent_rope = shape.latent_rope,
                      .activation = bytes_of(activation)};
    constexpr double kLeastDim = 64, kMostDim = 128;  // head dimensions of the fitted rows
    if (latent) {
        p.widening *= kUnmeasuredLatent;
    } else {
        if (std::min(p.query_dim, p.value_dim) < kLeastDim ||
            std::max(p.query_dim, p.value_dim) > kMostDim) {
            p.widening *= kUnmeasuredDimension;
        }
        if (p.heads > kLargestGroup * p.kv_heads) p.widening *= kSlowGroup;
    }
    if (p.window > 0) p.widening *= kUnmeasuredWindow;
    if (!is_kernel(p.decode_wide, false, grouped)) p.wide_widening = kUnmeasuredKernel;
    if (!is_kernel(p.decode_narrow, true, grouped)) p.narrow_widening = kUnmeasuredKernel;
    p.transferred = is_assumed(hardware, "attention/");
    return p;
}

KernelCost attention_cost(const AttentionPricer& pricer, const WorkSize& work) {
    const bool decodes = work.decode || (work.query == 1 && pricer.prefill.decodes_one_token);
    auto cost = decodes ? decode_cost(pricer, work) : prefill_cost(pricer, work);
    cost.half_width = std::min(cost.half_width, kWidest);
    return cost;
}

std::size_t attention_regime(bool decode, double batch, double tokens) {
    constexpr double kShort = 4096;
    return decode ? 2 : batch * tokens < kShort ? 0 : 1;
}

}  // namespace tplan
