#pragma once
#include <array>

#include "core/json_io.h"
#include "models/points.h"

/// Time of a matrix product C[m,n] = A[m,k] B[k,n] on a GPU, analytically: tiles in waves over the
/// SMs, split k where tiles are too few, weights from memory or L2, and what a kernel costs
/// whatever it does. Few parameters per architecture and dtype, each a ratio to a datasheet figure
/// or a time of the architecture's clock, so that they carry over to its other devices. Derivation:
/// cost_model/derivation.md, section 2.

namespace tplan {

/// The fitted parameters of one dtype; part of a hardware profile.
struct GemmParameters {
    DType dtype = DType::bf16;
    bool transferred = false;  // taken over from another device by datasheet ratios
    double peak_share = 0.9;   // of the datasheet's peak, reached by large tiles
    double tile_loss = 0;      // extra arithmetic time of a tile half as high and half as wide
    double power_droop = 0;    // extra arithmetic time of a product that runs for long
    double wave_rounding = 1;  // 1: a started wave costs a whole one; 0: its share
    Seconds wave;              // prologue and epilogue of a wave of 128 x 256 tiles
    Seconds step;              // least time of 128 bytes of k in one tile
    double sm_l2_ratio = 1;    // bytes an SM takes from L2 in the time of one fp32 flop of its own
    double sm_memory_ratio = 1;  // likewise from memory
    double l2_ratio = 1;         // bytes L2 serves in the time of one fp32 flop of the device
    double memory_share = 0.8;   // of the memory bandwidth, reached by streamed weights
    double rows_loss = 0;        // extra streaming time at 64 rows and more
    double reread = 0;         // share of panels read again that go to memory when L2 is too small
    Seconds launch;            // fixed cost inside a CUDA graph
    Seconds cold;              // more of it when the weights come from memory
    Seconds split;             // fixed cost of splitting k: a second kernel adds up the parts
    double split_traffic = 0;  // how often the parts' fp32 sums pass through L2
    double least_split = 256;  // columns of k a part has at least
    double overlap_loss = 0;   // 0: the longer of arithmetic and traffic hides the other wholly
    double cold_overlap_loss = 0;  // more of it where weights come from memory
    // Half widths of the 90 % interval: m <= 64, below 1024, above. Weights in memory, as serving
    // reads them; of a benchmark that repeats one op, about as large as L2 and well inside it.
    std::array<double, 3> width{}, width_edge{}, width_warm{};
    // By the same m: half widths of what products of a step take longer or shorter together in
    // another harness than the one that was fitted to.
    std::array<double, 3> harness_width{};
    std::array<double, 2> rows{};   // the least and the most m that were fitted
    std::array<double, 2> sides{};  // likewise n and k

    static void fields(auto& self, auto&& field) {
        field("dtype", self.dtype);
        field("transferred", self.transferred);
        field("peak_share", self.peak_share);
        field("tile_loss", self.tile_loss);
        field("power_droop", self.power_droop);
        field("wave_rounding", self.wave_rounding);
        field("wave_s", self.wave);
        field("step_s", self.step);
        field("sm_l2_ratio", self.sm_l2_ratio);
        field("sm_memory_ratio", self.sm_memory_ratio);
        field("l2_ratio", self.l2_ratio);
        field("memory_share", self.memory_share);
        field("rows_loss", self.rows_loss);
        field("reread", self.reread);
        field("launch_s", self.launch);
        field("cold_s", self.cold);
        field("split_s", self.split);
        field("split_traffic", self.split_traffic);
        field("least_split", self.least_split);
        field("overlap_loss", self.overlap_loss);
        field("cold_overlap_loss", self.cold_overlap_loss);
        field("width", self.width);
        field("width_edge", self.width_edge);
        field("width_warm", self.width_warm);
        field("harness_width", self.harness_width);
        field("fitted_rows", self.rows);
        field("fitted_sides", self.sides);
    }
    bool operator==(const GemmParameters&) const = default;
};

/// The datasheet figures that the parameters are ratios to.
struct GemmDevice {
    double sm_count = 1;
    double peak = 1;              // flop/s in the dtype computed in, all SMs
    double fp32_peak = 1;         // flop/s of the CUDA cores, all SMs: SMs x clock, up to a factor
    double memory_bandwidth = 1;  // bytes/s
    double l2_bytes = 1;
};

/// Bytes per element of the three matrices.
struct GemmElements {
    double weight = 2, input = 2, output = 2;
};

/// CTA tiles, rows x columns: of the powers of two that GEMM libraries ship kernels for, the fewest
/// that explain their timings as well as all of them do.
struct GemmTile {
    double rows = 0, columns = 0;
};
constexpr std::array kGemmTiles{GemmTile{128, 256}, GemmTile{128, 128}, GemmTile{64, 256},
                                GemmTile{64, 128},  GemmTile{128, 64},  GemmTile{64, 64},
                                GemmTile{64, 32},   GemmTile{32, 64}};

/// A product with n and k fixed: everything that does not depend on the rows, ready for pricing.
/// Seconds unless said otherwise.
struct GemmKernel {
    /// One tile shape. Members by column, so that pricing runs over plain arrays.
    template <class T>
    using PerTile = std::array<T, kGemmTiles.size()>;
    PerTile<double> per_row{};  // 1 / rows of a tile
    PerTile<double> waves{};    // waves per row of tiles: columns of tiles / SMs
    PerTile<double> first{}, first_warm{}, next{};  // all of k in one tile: first and later waves
    PerTile<double> fixed{};                        // prologue and epilogue of a wave
    PerTile<double> split_sums{};  // adding up the parts of one wave of split tiles
    double least_part = 1;         // share of k a part has at least
    double split = 0, launch = 0, cold = 0;
    double ideal_per_row = 0;  // arithmetic at the datasheet's peak
    double power_droop = 0, wave_rounding = 1;
    double weights = 0, weights_warm = 0;  // reading them once, from memory and from L2
    double rows_loss = 0;
    double activation_bytes = 0;  // per row
    double per_byte = 0, per_l2_byte = 0;
    double per_l2_size = 0;                    // 1 / bytes of L2
    double weight_bytes = 0, input_bytes = 0;  // of all weights; of one row of A
    double wave_side = 1;                      // rows, and columns, that a wave of tiles covers
    double reread_input = 0;                   // bytes of a row of A read again by later waves
    double reread = 0;
    double overlap_loss = 0, cold_overlap_loss = 0;
};

/// What a product takes and of which parts: time = launch + (compute and memory, overlapped).
struct GemmTime {
    double seconds = 0, launch = 0, compute = 0, memory = 0;
};

/// Preconditions: n, k >= 1.
GemmKernel gemm_kernel(const GemmDevice& device, const GemmParameters& parameters, double n,
                       double k, const GemmElements& elements);

/// `rows` in all, spread evenly over `groups` products of the same n and k but other weights
/// (experts that are touched; may be a mean, more than 0). Weights at the edge of L2 count as
/// cold. Never falls as rows, n or k grow.
GemmTime gemm_time(const GemmKernel& kernel, double rows, double groups = 1,
                   Residency weights = Residency::cold);

/// Share of data of this size, in units of L2, that is still there when it is used: all of half an
/// L2, none beyond one and a half.
double l2_resident(double size);

/// Index into GemmParameters::width.
std::size_t gemm_regime(double rows);

/// Half widths by Residency and gemm_regime().
using GemmWidths = std::array<std::array<double, 3>, 3>;
GemmWidths gemm_widths(const GemmParameters& parameters);

}  // namespace tplan
