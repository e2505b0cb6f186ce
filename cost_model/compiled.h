#pragma once
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cost_model/attention.h"
#include "cost_model/attention_table.h"
#include "cost_model/collective_tables.h"
#include "cost_model/collectives.h"
#include "cost_model/expert_table.h"
#include "cost_model/memory.h"
#include "cost_model/moe.h"
#include "cost_model/op_cost.h"
#include "cost_model/passes.h"
#include "cost_model/product_table.h"
#include "cost_model/tables.h"
#include "cost_model/train_cost.h"

/// A program folded with a profile: flat numbers only, made by compile(), read by price().

namespace tplan {

/// One step. Indices are into the vectors of CompiledProgram; -1 = none.
struct CompiledStep {
    StepShape shape;
    CostKind kind = CostKind::linear;
    bool collective = false;
    bool free = false;       // a slice, or a collective of one rank
    bool quantises = false;  // activations to fp8 before the product
    Roofline line;
    Quantiser quantiser;
    int gemm = -1;  // -1: by `line`
    int product_curve = -1;
    int attention = -1, experts = -1, pass = -1;
    int prefill_grid = -1, decode_grid = -1, narrow_decode_grid = -1;  // narrow: an fp8 cache
    double grid_kv_bytes = 0;  // bytes per element of the cache the grids were measured with
    int time_curve = -1;       // of passes over memory
    int collective_table = -1, expert_curve = -1;
    int first_line = 0, lines = 0;  // collective_lines()
    // Of training programs.
    std::optional<Pass> role{};
    std::optional<MeshAxis> over{};
    bool backward = false;      // nothing like it was measured
    double factor = 1;          // over the forward pass
    int gradient_product = -1;  // of a weight
};

/// A product priced by its tiles, with how far its price is to be trusted.
struct CompiledGemm {
    GemmKernel kernel;
    GemmWidths width{};                    // half widths
    std::array<double, 3> harness{};       // by gemm_regime()
    double least_rows = 1, most_rows = 1;  // fitted
    bool fitted = true;                    // n, k, dtype and device are those fitted
    bool transferred = false;              // fitted on another device
};

struct CompiledSection {
    int first_step = 0, steps = 0;
    double repeats = 1;  // how often it runs in the model
    bool layer = false;
};

struct CompiledProgram {
    int tp = 1;
    int ranks = 1;       // that it is compiled for
    std::string device;  // their profile's name
    /// Of a group of two kinds: the program as the ranks of the second kind run it; the rest is
    /// then that of the first kind's. Step by step the same.
    std::shared_ptr<const CompiledProgram> second;
    std::string link;  // that the collectives are priced over; one rank: the one asked for, or none
    std::optional<Mesh> mesh;  // of a training program
    std::vector<CompiledSection> sections;
    std::vector<CompiledStep> steps;
    std::vector<CompiledGemm> gemms;
    std::vector<GradientProduct> gradient_products;
    std::vector<ProductCurve> product_curves;
    std::vector<AttentionPricer> attention;
    std::vector<ExpertPricer> experts;
    std::vector<PassPricer> passes;
    std::vector<AttentionGrid> attention_grids;
    std::vector<ExpertCurve> expert_curves;
    std::vector<TimeCurve> time_curves;
    std::vector<CollectiveTable> collective_tables;
    std::vector<CollectiveLine> lines;
    MemoryTerms memory;
    double layers = 0;
    bool calibrated = false;  // the profile has tables
    /// The executor's own kernels, one after the other: there is no framework whose host time a sum
    /// of kernels leaves out.
    bool own_kernels = false;
    bool logarithms = false;  // some lookup needs log rows
    double interval_compute = 0.3, interval_attention = 0.5, interval_collective = 0.4;
    std::vector<std::string> notes;  // what was priced as something else, for people
};

}  // namespace tplan
