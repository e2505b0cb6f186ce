#pragma once
#include "core/json_io.h"
#include "cost_model/kernel.h"
#include "models/graph.h"

/// Routed experts on a GPU: which experts a batch touches, and the grouped products over them with
/// the passes that sort tokens to experts and back. Profiles without an expert model price experts
/// by the roofline of op_cost.h. Derivation: cost_model/derivation.md.

namespace tplan {

struct HardwareProfile;
struct StepShape;
struct WorkSize;

/// Fused gated experts: both products and everything around them as one op.
struct ExpertModel {
    double tile_rows = 64, tile_columns = 128;  // of the products
    Seconds launch;                             // of all kernels
    Seconds tile;                               // fixed cost of a tile
    Seconds token;                              // of a token, before and after its experts
    double matrix_share = 0.7;                  // of the peak rate
    double memory_share = 0.9;                  // of the memory bandwidth, for weights
    double overlap = 0.5;     // share of the shorter of arithmetic and weight traffic hidden
    double token_passes = 5;  // bytes of routed tokens moved, in sizes of their hidden states
    double reread_share = 0;  // of an expert's weights read again for each further tile of rows,
                              // where they do not stay in the last-level cache
    double token_l2_flops_per_byte = 100;   // a byte of tokens inside the last-level cache
    double weight_l2_flops_per_byte = 100;  // likewise of weights that a benchmark left there
    double l2_share = 1;                    // of that cache that such weights can fill
    double half_width_few = 0.2;            // of the 90 % interval, up to 64 tokens
    double half_width_some = 0.2;           // in between
    double half_width_many = 0.2;           // from 1,024 tokens

    static void fields(auto& self, auto&& field) {
        field("tile_rows", self.tile_rows);
        field("tile_columns", self.tile_columns);
        field("launch_s", self.launch);
        field("tile_s", self.tile);
        field("token_s", self.token);
        field("matrix_share", self.matrix_share);
        field("memory_share", self.memory_share);
        field("overlap", self.overlap);
        field("token_passes", self.token_passes);
        field("reread_share", self.reread_share);
        field("token_l2_flops_per_byte", self.token_l2_flops_per_byte);
        field("weight_l2_flops_per_byte", self.weight_l2_flops_per_byte);
        field("l2_share", self.l2_share);
        field("half_width_few", self.half_width_few);
        field("half_width_some", self.half_width_some);
        field("half_width_many", self.half_width_many);
    }
    bool operator==(const ExpertModel&) const = default;
};

/// Throws Error, with the JSON path, for a parameter out of its range.
void check_expert_model(const ExpertModel& model, const std::string& where);

/// Tokens routed to the busiest of `groups` equal groups of experts that get `mean` each on
/// average, chosen independently: mean + sqrt(2 mean ln(groups)).
double busiest_group(double mean, double groups);

/// One expert op folded with a device.
struct ExpertPricer {
    ExpertModel model;
    double sm_count = 1, peak = 1, per_byte = 1, l2_bytes = 1;
    double experts = 1, all_experts = 1, top_k = 1, groups = 1;
    double hidden = 1, ffn = 1, expert_columns = 1;  // columns of the first product of an expert
    double expert_bytes = 1;                         // weights of one expert here
    double activation = 2;                           // bytes per element
    double widening = 1;  // of the half width, for kinds that were not measured
    bool transferred = false;
};

/// `hardware.experts` must be there. `compute` is the dtype the products run in.
ExpertPricer make_expert_pricer(const HardwareProfile& hardware, const StepShape& shape,
                                DType compute);

/// Tokens choose their experts independently and evenly, or, for `work.balanced`, as evenly as
/// whole tokens allow.
KernelCost expert_cost(const ExpertPricer& pricer, const WorkSize& work);

}  // namespace tplan
