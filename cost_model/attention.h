#pragma once
#include <vector>

#include "core/json_io.h"
#include "cost_model/kernel.h"
#include "models/graph.h"

/// Attention cores on a GPU: what a fused kernel does, in tiles, waves and bytes. Parameters are
/// shares of datasheet quantities where they can be, so that they carry over inside an
/// architecture. Profiles without them (a CPU's) price attention by the roofline of op_cost.h.
/// Derivation: cost_model/derivation.md.

namespace tplan {

struct HardwareProfile;
struct StepShape;
struct WorkSize;

/// A flash kernel over new tokens: one tile of query rows at a time walks along the keys.
struct PrefillModel {
    double tile_rows = 64;    // queries of a tile
    double tile_keys = 32;    // keys it takes at a time
    Seconds launch;           // of all kernels of the core
    Seconds tile;             // fixed cost of a tile: load the queries, write the outputs
    double query_passes = 1;  // bytes of queries moved around the core, in sizes of the queries
    double kv_passes = 1;     // likewise keys and values: positions applied, copied to the cache
    double grouped_kv_passes = 1;         // the same where several KV heads are each shared
    double l2_flops_per_byte = 100;       // a byte inside the cache costs as much as these flops
    double matrix_share = 0.7;            // of the peak rate, while the matrix units are busy
    double softmax_flops_per_pair = 100;  // exponentials of one pair, as matrix flops
    double lone_tile_share = 0.8;         // speed of a tile alone on its SM, of the full SM's
    double tail_share = 0.8;              // of the longest tile that runs after the rest has ended
    bool decodes_one_token = false;       // a prompt of one token goes to the decode kernel
    double half_width_short = 0.2;  // of the 90 % interval, fewer than 4,096 keys in the batch
    double half_width_long = 0.2;   // and from there on

    static void fields(auto& self, auto&& field) {
        field("tile_rows", self.tile_rows);
        field("tile_keys", self.tile_keys);
        field("launch_s", self.launch);
        field("tile_s", self.tile);
        field("query_passes", self.query_passes);
        field("kv_passes", self.kv_passes);
        field("grouped_kv_passes", self.grouped_kv_passes);
        field("l2_flops_per_byte", self.l2_flops_per_byte);
        field("matrix_share", self.matrix_share);
        field("softmax_flops_per_pair", self.softmax_flops_per_pair);
        field("lone_tile_share", self.lone_tile_share);
        field("tail_share", self.tail_share);
        field("decodes_one_token", self.decodes_one_token);
        field("half_width_short", self.half_width_short);
        field("half_width_long", self.half_width_long);
    }
    bool operator==(const PrefillModel&) const = default;
};

/// A kernel for one new token per sequence: a tile per sequence and KV head, split along the keys
/// where there are too few of them. One row per kernel that engines choose between.
struct DecodeModel {
    DType kv_dtype = DType::bf16;  // of the cache: fp8, or anything of two bytes and more
    bool grouped = true;           // several query heads share a KV head
    bool splits = true;            // the kernel can cut a sequence's keys into several tiles
    double least_split_keys = 256;
    Seconds launch;             // without splitting
    Seconds merge;              // added by splitting: partial results are combined
    Seconds tile;               // fixed cost of a tile
    Seconds head{};             // of a query head of one sequence, per SM
    Bandwidth tile_bandwidth;   // of the cache, read by one tile
    double tiles_per_sm = 2;    // at a time
    double memory_share = 0.9;  // of the memory bandwidth, all SMs reading
    Seconds ramp{};             // lost until all of them do
    double overlap = 1;         // share of the shorter of arithmetic and traffic that is hidden
    double l2_share = 1;        // of the last-level cache that a warm KV cache can fill
    double l2_flops_per_byte = 100;  // a byte of a warm cache costs as much as these flops
    double half_width_cold = 0.2, half_width_warm = 0.3;  // of the 90 % interval

    static void fields(auto& self, auto&& field) {
        field("kv_dtype", self.kv_dtype);
        field("grouped", self.grouped);
        field("splits", self.splits);
        field("least_split_keys", self.least_split_keys);
        field("launch_s", self.launch);
        field("merge_s", self.merge);
        field("tile_s", self.tile);
        field("head_s", self.head);
        field("tile_bytes_per_s", self.tile_bandwidth);
        field("tiles_per_sm", self.tiles_per_sm);
        field("memory_share", self.memory_share);
        field("ramp_s", self.ramp);
        field("overlap", self.overlap);
        field("l2_share", self.l2_share);
        field("l2_flops_per_byte", self.l2_flops_per_byte);
        field("half_width_cold", self.half_width_cold);
        field("half_width_warm", self.half_width_warm);
    }
    bool operator==(const DecodeModel&) const = default;
};

struct AttentionModel {
    PrefillModel prefill;
    std::vector<DecodeModel> decode;  // at least one

    static void fields(auto& self, auto&& field) {
        field("prefill", self.prefill);
        field("decode", self.decode);
    }
    bool operator==(const AttentionModel&) const = default;
};

/// Throws Error, with the JSON path, for a parameter out of its range or two rows of one kernel.
void check_attention_model(const AttentionModel& model, const std::string& where);

/// One attention op folded with a device. Bytes and flops are per element, key or pair of one
/// sequence; times are seconds.
struct AttentionPricer {
    PrefillModel prefill;
    DecodeModel decode_wide, decode_narrow;  // a cache of at least two bytes an element, of less
    double sm_count = 1, peak = 1, per_byte = 1, l2_bytes = 1;
    double heads = 1, kv_heads = 1, query_dim = 1, value_dim = 1, window = 0;
    double latent_width = 0, latent_rope = 0;
    double activation = 2;  // bytes per element
    double widening = 1;    // of the half width, for kinds of shapes that were not measured
    double wide_widening = 1, narrow_widening = 1;  // likewise for kernels
    bool transferred = false;                       // the parameters are another device's
};

/// `hardware.attention` must be there. `activation` is the dtype of queries.
AttentionPricer make_attention_pricer(const HardwareProfile& hardware, const StepShape& shape,
                                      DType activation);

KernelCost attention_cost(const AttentionPricer& pricer, const WorkSize& work);

/// What half widths and errors of attention are kept by: 0 a prefill of fewer than 4,096 tokens in
/// the batch, 1 of more, 2 a decode.
std::size_t attention_regime(bool decode, double batch, double tokens);

}  // namespace tplan
