#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "models/config.h"

/// How large the module of a plan's key is, from the configuration alone: a verdict must work for
/// model types tplan has no graph for.

namespace tplan {

/// What the cut dimension of a module counts.
enum class ModulePart {
    query_heads,       // q_proj, and every projection with one output group per query head
    kv_heads,          // k_proj, v_proj
    fused_heads,       // q, k and v in one projection
    attention_output,  // o_proj: its input are the heads
    linear_attention,  // projections of linear attention layers
    ffn,               // gate, up
    ffn_output,        // down: its input is the inner width
    packed_ffn,        // gate over up in one weight
    vocabulary,        // head and embedding
    unknown
};

struct ModuleSize {
    ModulePart part = ModulePart::unknown;
    std::int64_t out = 0, in = 0;  // features; 0 = not known
    bool quantised = false;        // the weight follows a block-quantised checkpoint
    std::string_view key;          // what config.json calls the inner width of an MLP
};

/// The size of the module that a plan's key names, by the last words of the key: those of the
/// family where tplan has a graph, else those the shipped plans use.
ModuleSize module_size(const ModelConfig& config, const std::string& pattern);

constexpr bool is_attention(ModulePart part) {
    return part == ModulePart::query_heads || part == ModulePart::kv_heads ||
           part == ModulePart::fused_heads || part == ModulePart::attention_output;
}

}  // namespace tplan
