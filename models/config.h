#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/json_io.h"
#include "models/family.h"
#include "models/graph.h"

/// A Hugging Face config.json, read by the key map of its family (models/families/*.json).

namespace tplan {

/// What one decoder layer is made of, when layers differ.
struct LayerTraits {
    bool sliding = false;  // sliding-window attention
    bool sparse = false;   // mixture of experts instead of a dense MLP
    bool operator==(const LayerTraits&) const = default;
};

/// What config.json says beyond the sizes. A number that is 0 means "the family has none", unless
/// said otherwise.
struct Settings {
    double norm_eps = 1e-6;
    ActivationKind activation = ActivationKind::silu;

    bool qkv_bias = false, out_bias = false, mlp_bias = false, lm_head_bias = false;
    bool qk_norm = true;    // the family's q/k norm is switched on
    bool parallel = false;  // attention and MLP both read the block's input

    // rotary embedding
    double rope_theta = 10000, rope_local_theta = 0;  // local: of sliding layers
    double rotary_fraction = 1;                       // of head_dim
    double rope_position_scale = 1;                   // linear rope_scaling
    bool rope_interleaved = false;

    // attention
    std::int64_t window = 0;           // tokens, of the sliding layers
    bool use_sliding = true;           // use_sliding_window
    std::int64_t full_layers = 0;      // max_window_layers
    std::int64_t sliding_pattern = 0;  // every n-th layer attends fully
    double query_scalar = 0;           // scores are scaled by its -1/2 power; 0: head_dim
    double attention_multiplier = 0;   // replaces that scale
    double attention_softcap = 0;
    bool multi_query = false, new_decoder = false;  // falcon
    std::int64_t parallel_norms = 0;                // falcon

    // stream and head
    double embedding_multiplier = 1, residual_multiplier = 1;
    double logit_multiplier = 1;  // logits are multiplied by it,
    double logit_divisor = 1;     // divided by it,
    double logit_softcap = 0;     // then capped

    // which layers are sparse
    std::int64_t first_dense = 0;  // the first so many are dense
    std::int64_t sparse_step = 1;  // of the rest, every so-manieth is sparse
    std::vector<std::int64_t> dense_layers;

    RoutingSpec routing;
    bool grouped_routing = true;  // topk_method; without it all experts are one group

    // Modules that a quantised checkpoint keeps as they are: pattern with '*' for the layer, and in
    // how many layers (0: the pattern itself says all).
    Named<std::int64_t> unquantised;
    bool operator==(const Settings&) const = default;
};

/// Integer weights with a scale and a zero point for each group of `size` input columns of a row.
/// bits 0: the checkpoint has none.
struct GroupQuantisation {
    std::int64_t bits = 0;   // of a weight; 32 / bits are packed into a word
    std::int64_t size = 0;   // 0: one group, the whole row
    bool reordered = false;  // desc_act: the columns of a group lie anywhere in the row
    bool operator==(const GroupQuantisation&) const = default;
};

/// The shape of a model. Everything the graph, the planner's divisibility rules and reports need.
struct ModelConfig {
    std::string source;      // where it came from: a preset's name or a path
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
    std::string quant_method;                       // "" , "fp8", "mxfp4", "awq", "gptq", ..
    std::array<std::int64_t, 2> quant_block{0, 0};  // Tensor::quant_block of its weights
    GroupQuantisation groups;                       // of awq and gptq
    bool device_map = false;  // the document carries a device_map: conflicts with a TP plan

    // of the family, for build_model; unset without one
    Traits traits;
    ModuleNames modules;
    Named<std::vector<std::string>> checkpoint;  // see Family
    Settings settings;
};

/// A file of models/configs: a config.json with where its shapes were published.
struct Preset {
    std::string schema = "tplan.preset/1";
    std::string source;
    std::string repository;  // of the weights, on the Hugging Face hub
    Json config;
    static void fields(auto& self, auto&& field) {
        field("schema", self.schema);
        field("source", self.source);
        field("repository", self.repository);
        field("config", self.config);
    }
};

/// Resolves MODEL: a preset name (models/configs/<name>.json), a path to a config.json, or a
/// directory holding one. Throws Error for anything unreadable, wrong-typed, out of range
/// (sizes 1..2^31, layers up to 10,000) or unsupported, naming the key; for an unknown preset with
/// the nearest name. A model_type without a graph comes back with `family` empty and the sizes that
/// its usual keys give (0 = unknown): whether the type is known at all is the planner's question.
ModelConfig load_model_config(const std::string& model);

/// The same from a parsed document: a config.json, or a preset that wraps one. `source` is used in
/// messages.
ModelConfig read_model_config(const Json& document, const std::string& source);

/// Does an entry of `unquantised` name this module? As in transformers, it is looked for at the
/// start or at the end of the full name.
bool names_module(std::string_view pattern, std::string_view module);

/// What other tools load the model by: the repository of a preset, or the directory of a
/// config.json. `source` is ModelConfig::source.
std::string repository_of(const std::string& source);

/// Names of the presets, sorted.
std::vector<std::string> preset_names();

}  // namespace tplan
