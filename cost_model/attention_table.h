#pragma once
#include <array>
#include <vector>

#include "cost_model/hardware.h"

/// Measured attention cores made ready for pricing, as residuals log(measured / analytic).

namespace tplan {

/// Residual of one attention over log batch x log tokens, bilinear.
struct AttentionGrid {
    std::vector<double> log_batch, log_tokens;  // ascending
    std::vector<double> residual;               // [batch][tokens]
    bool inside = true;                         // the head layout was measured, on as many ranks
    std::array<double, 3> half_width{};  // of the 90 % interval by attention_regime(); 0: unknown

    bool empty() const { return residual.empty(); }
    double at(double log_batch_, double log_tokens_) const;
    bool covers(double log_batch_, double log_tokens_) const;
};

/// What a lookup is made for.
struct AttentionKey {
    DType kv_dtype = DType::fp32;
    int ranks = 1;  // that share the machine's memory; on GPUs each has its own
    bool decode = true;
    double heads = 0, kv_heads = 0, head_dim = 0;
    Residency residency = Residency::cold;  // of the cache in a decode
};

/// Builds the grid of one head layout from the points of its dtype and phase; empty when there are
/// none. A measured layout is its own grid; others are weighed by kriging over heads, KV heads and
/// head size around the mean residual. Prefill points over a prefix are not used.
AttentionGrid attention_grid(const HardwareProfile& hardware, const AttentionKey& key);

/// Half widths of the 90 % interval of attention taken from the table: head layouts are left out
/// one at a time, at most `most_left_out` of them, and their rows predicted from the others.
std::vector<TableWidth> attention_widths(const HardwareProfile& hardware,
                                         std::size_t most_left_out);

}  // namespace tplan
