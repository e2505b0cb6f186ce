#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/json_io.h"
#include "models/graph.h"

/// A Hugging Face config.json, read by the key map of its family (models/families/*.json).

namespace tplan {

/// What one decoder layer is made of, when layers differ.
struct LayerTraits {
    bool sliding = false;  // sliding-window attention
    bool sparse = false;   // mixture of experts instead of a dense MLP
    bool operator==(const LayerTraits&) const = default;
};

/// The shape of a model. Everything the graph, the planner's divisibility rules and reports need.
struct ModelConfig {
    std::string source;      // where it came from: "preset qwen3-0.6b" or a path
    Json document;           // the whole config.json
    std::string model_type;  // of the text model: "qwen3", "gemma3_text"
    std::string umbrella;    // outer model_type when the text model is nested; else empty
    std::string family;      // families/<family>.json; empty when tplan has no graph for this type
    std::vector<std::string> notes;

    std::int64_t hidden = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, ffn = 0, vocab = 0;
    std::int64_t max_positions = 0;  // 0 = unknown
    bool tied_embeddings = false;
    DType dtype = DType::bf16;              // of the checkpoint ("torch_dtype" or "dtype")
    std::vector<LayerTraits> layer_traits;  // one per layer

    // mixture of experts; experts 0 = dense
    std::int64_t experts = 0, experts_per_token = 0, moe_ffn = 0, shared_experts = 0,
                 shared_ffn = 0;
    // multi-head latent attention; kv_lora_rank 0 = plain
    std::int64_t q_lora_rank = 0, kv_lora_rank = 0, qk_nope_dim = 0, qk_rope_dim = 0,
                 v_head_dim = 0;
    // quantisation
    std::string quant_method;  // "" , "fp8", "mxfp4", ..
    std::array<std::int64_t, 2> quant_block{0, 0};
    bool device_map = false;  // the document carries a device_map: conflicts with a TP plan
};

/// Resolves MODEL: a preset name (models/configs/<name>.json), a path to a config.json, or a
/// directory holding one. Throws Error for anything unreadable, wrong-typed, out of range
/// (sizes 1..2^31, layers up to 10,000) or unsupported, naming the key; for an unknown preset with
/// the nearest name. A model_type without a graph but with a plan entry (data/tp_plans) comes back
/// with `family` empty.
ModelConfig load_model_config(const std::string& model);

/// The same from a parsed document. `source` is used in messages.
ModelConfig read_model_config(const Json& document, const std::string& source);

/// Names of the presets, sorted.
std::vector<std::string> preset_names();

}  // namespace tplan
