#include "cost_model/gemm.h"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace tplan {

namespace {

// The shape of the model; what a device does is in GemmParameters.
constexpr double kMostParts = 32;   // that k is split into
constexpr double kStepBytes = 128;  // of k per step of a tile's main loop
constexpr double kLargestTile = 128 * 256;
constexpr double kWaveTile = 128 * 128;          // of the wave whose panels L2 shares
constexpr double kDroopSeconds = 2e-3;           // at which half of the power droop is reached
constexpr double kFewRows = 16, kManyRows = 64;  // between which rows_loss sets in
constexpr double kSumBytes = 4;                  // of a part's sum, fp32
constexpr double kRoundingSlack = 1e-9;          // g / SMs must not round up to the next wave

/// Ceiling of a number from 0 to 2^51, to within kRoundingSlack: adding 1.5 x 2^52 leaves no bits
/// for a fraction. Unlike std::ceil it is two additions on any processor.
inline double round_up(double value) {
    constexpr double kNoFraction = 0x1.8p52;
    return value + (0.5 - kRoundingSlack) + kNoFraction - kNoFraction;
}

// By value, unlike std::min: loops over them are vectorised.
inline double least(double a, double b) {
    return a < b ? a : b;
}
inline double most(double a, double b) {
    return a > b ? a : b;
}
inline double clamp01(double value) {
    return least(most(value, 0), 1);
}

/// The best of the tile shapes, each as whole waves over the SMs or, where they do not fill one,
/// with k split into parts. Straight-line arithmetic, so that it is vectorised.
double fastest_tile(const GemmKernel& kernel, double rows, double groups, bool warm) {
    const auto& first = warm ? kernel.first_warm : kernel.first;
    GemmKernel::PerTile<double> seconds;
    for (std::size_t i = 0; i < kGemmTiles.size(); ++i) {
        const double waves = groups * round_up(rows * kernel.per_row[i]) * kernel.waves[i];
        const double started = round_up(waves) - waves;
        const double counted = most(waves + kernel.wave_rounding * started, 1);
        const double plain = first[i] + (counted - 1) * kernel.next[i] + counted * kernel.fixed[i];
        const double part = most(most(waves, kernel.least_part), 1 / kMostParts);
        const double sums = least(1, kMostParts * waves) * kernel.split_sums[i];
        const double parted = first[i] * part + kernel.fixed[i] + kernel.split + sums;
        const double usable = part < 1 ? parted : plain;
        seconds[i] = least(plain, usable);
    }
    return *std::min_element(seconds.begin(), seconds.end());
}

/// Traffic outside the SMs: weights, activations, and panels that L2 could not keep.
double memory_seconds(const GemmKernel& kernel, double rows, double groups, double weights) {
    const double activations = rows * groups * kernel.activation_bytes;
    const double in_l2 = l2_resident(activations * kernel.per_l2_size);
    const double panels = groups * (kernel.weight_bytes + rows * kernel.input_bytes);
    const double beyond_l2 = clamp01(1.5 * panels * kernel.per_l2_size - 0.5);
    const double again =
        groups * (rows * kernel.reread_input +
                  kernel.weight_bytes * std::max(rows / kernel.wave_side - 1, 0.0));
    return weights + activations * (in_l2 * kernel.per_l2_byte + (1 - in_l2) * kernel.per_byte) +
           again * kernel.reread * beyond_l2 * kernel.per_byte;
}

}  // namespace

GemmKernel gemm_kernel(const GemmDevice& device, const GemmParameters& p, double n, double k,
                       const GemmElements& elements) {
    assert(n >= 1 && k >= 1);
    GemmKernel out;
    const double sm_flops = device.peak * p.peak_share / device.sm_count;
    const double sm_fp32 = device.fp32_peak / device.sm_count;
    const double from_l2 = 1 / (p.sm_l2_ratio * sm_fp32);
    const double from_memory = 1 / (p.sm_memory_ratio * sm_fp32);
    out.per_byte = 1 / (p.memory_share * device.memory_bandwidth);
    // A transferred ratio may fall behind a faster memory; a cache is never slower than what it
    // caches.
    out.per_l2_byte = std::min(1 / (p.l2_ratio * device.fp32_peak), out.per_byte);
    for (std::size_t i = 0; i < kGemmTiles.size(); ++i) {
        const auto& tile = kGemmTiles[i];
        const double loss = 1 + p.tile_loss * (128 / tile.rows + 128 / tile.columns - 1.5);
        const double arithmetic = 2 * tile.rows * tile.columns / sm_flops * loss;
        const double load = (tile.rows * elements.input + tile.columns * elements.weight) * from_l2;
        const double column =
            std::max({arithmetic, load, p.step.value * elements.input / kStepBytes});
        out.per_row[i] = 1 / tile.rows;
        out.waves[i] = std::ceil(n / tile.columns) / device.sm_count;
        out.first_warm[i] = out.next[i] = k * column;
        out.first[i] = k * std::max(column, tile.columns * elements.weight * from_memory);
        out.fixed[i] = p.wave.value * tile.rows * tile.columns / kLargestTile;
        out.split_sums[i] = device.sm_count * tile.rows * tile.columns * kSumBytes *
                            p.split_traffic * out.per_l2_byte;
    }
    out.least_part = p.least_split / k;
    out.split = p.split.value;
    out.launch = p.launch.value;
    out.cold = p.cold.value;
    out.ideal_per_row = 2 * n * k / device.peak;
    out.power_droop = p.power_droop;
    out.wave_rounding = p.wave_rounding;
    out.weight_bytes = n * k * elements.weight;
    out.weights = out.weight_bytes * out.per_byte;
    out.weights_warm = out.weight_bytes * out.per_l2_byte;
    out.rows_loss = p.rows_loss;
    out.input_bytes = k * elements.input;
    out.activation_bytes = out.input_bytes + n * elements.output;
    out.per_l2_size = 1 / device.l2_bytes;
    out.wave_side = std::sqrt(device.sm_count * kWaveTile);
    out.reread_input = out.input_bytes * std::max(n / out.wave_side - 1, 0.0);
    out.reread = p.reread;
    out.overlap_loss = p.overlap_loss;
    out.cold_overlap_loss = p.cold_overlap_loss;
    return out;
}

GemmTime gemm_time(const GemmKernel& kernel, double rows, double groups, Residency weights) {
    const bool warm = weights == Residency::warm;
    const double each = rows / groups;
    const double ideal = rows * kernel.ideal_per_row;
    const double droop = 1 + kernel.power_droop * ideal / (ideal + kDroopSeconds);
    const double tall = clamp01((each - kFewRows) / (kManyRows - kFewRows));
    const double cold = warm ? 0 : groups * kernel.weights * (1 + kernel.rows_loss * tall);

    GemmTime out;
    out.compute = fastest_tile(kernel, each, groups, warm) * droop;
    out.memory = memory_seconds(kernel, each, groups, warm ? groups * kernel.weights_warm : cold);
    out.launch = kernel.launch + (warm ? 0 : kernel.cold);
    const double loss =
        kernel.overlap_loss + kernel.cold_overlap_loss * cold / (cold + out.compute);
    const double apart = out.compute - out.memory;
    out.seconds = out.launch + 0.5 * (out.compute + out.memory +
                                      std::sqrt(apart * apart + loss * out.compute * out.memory));
    return out;
}

double l2_resident(double size) {
    return clamp01(1.5 - size);
}

std::size_t gemm_regime(double rows) {
    return rows <= 64 ? 0 : rows < 1024 ? 1 : 2;
}

GemmWidths gemm_widths(const GemmParameters& parameters) {
    static_assert(Residency::cold < Residency::edge && Residency::edge < Residency::warm);
    return {parameters.width, parameters.width_edge, parameters.width_warm};
}

}  // namespace tplan
