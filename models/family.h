#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/json_io.h"
#include "core/schema.h"
#include "models/graph.h"

/// One model family as data (models/families/<model_type>.json): which config.json key feeds which
/// field, what its blocks are made of, and what its modules are called in transformers.

namespace tplan {

/// Normalisation of q and k before the rotation.
enum class QkNorm { none, per_head, per_head_weights, full_width };
constexpr auto enum_names(QkNorm) {
    return std::array<std::string_view, 4>{"none", "per_head", "per_head_weights", "full_width"};
}

/// Which layers attend through the sliding window, when `layer_types` does not say so itself.
enum class Sliding {
    none,
    all,
    upper,       // from layer `full_layers` on (max_window_layers)
    lower_even,  // every other of the first `full_layers`, from 0
    pattern      // all but every `sliding_pattern`-th
};
constexpr auto enum_names(Sliding) {
    return std::array<std::string_view, 5>{"none", "all", "upper", "lower_even", "pattern"};
}

/// What does not depend on config.json. A key left out of the file has the value given here.
struct Traits {
    NormKind norm = NormKind::rms;
    bool norm_bias = false;         // layer norms carry a bias
    bool norm_unit_offset = false;  // scale by (1 + weight)
    QkNorm qk_norm = QkNorm::none;
    NormKind qk_norm_kind = NormKind::rms;
    bool qk_norm_bias = false;
    bool qk_norm_unit_offset = false;
    bool gated = true;                                // MLP: act(gate) * up
    bool rotary = true;                               // false: learned positions only
    bool latent_attention = false;                    // MLA
    bool sinks = false;                               // one learned logit per head
    bool scale_embedding = false;                     // times sqrt(hidden)
    bool transposed = false;                          // linear weights stored [in, out] (Conv1D)
    QkvPacking qkv_packing = QkvPacking::concat;      // when `ModuleNames::qkv` is set
    Sliding sliding = Sliding::none;                  // see Sliding
    bool clamped_swiglu = false;                      // gpt_oss experts
    bool experts_in_out = false;                      // expert weights [experts, in, out]
    bool expert_bias = false;                         // experts and router carry biases
    RouterScore router_score = RouterScore::softmax;  // see RoutingSpec
    GroupScore group_score = GroupScore::best;
    bool router_correction = false;     // e_score_correction_bias
    bool gelu_means_tanh = false;       // "gelu" in hidden_act is the tanh approximation
    bool parallel_shares_norm = false;  // a parallel block has no mlp_norm
    bool falcon = false;                // its forms of block and of qkv (config_falcon.cpp)
    std::string umbrella_prefix = "model.language_model";  // base prefix below an umbrella
    std::string umbrella_checkpoint;  // module on disk that holds base and head; empty: as above

    static void fields(auto& self, auto&& field) {
        field("norm", self.norm);
        field("norm_bias", self.norm_bias);
        field("norm_unit_offset", self.norm_unit_offset);
        field("qk_norm", self.qk_norm);
        field("qk_norm_kind", self.qk_norm_kind);
        field("qk_norm_bias", self.qk_norm_bias);
        field("qk_norm_unit_offset", self.qk_norm_unit_offset);
        field("gated", self.gated);
        field("rotary", self.rotary);
        field("latent_attention", self.latent_attention);
        field("sinks", self.sinks);
        field("scale_embedding", self.scale_embedding);
        field("transposed", self.transposed);
        field("qkv_packing", self.qkv_packing);
        field("sliding", self.sliding);
        field("clamped_swiglu", self.clamped_swiglu);
        field("experts_in_out", self.experts_in_out);
        field("expert_bias", self.expert_bias);
        field("router_score", self.router_score);
        field("group_score", self.group_score);
        field("router_correction", self.router_correction);
        field("gelu_means_tanh", self.gelu_means_tanh);
        field("parallel_shares_norm", self.parallel_shares_norm);
        field("falcon", self.falcon);
        field("umbrella_prefix", self.umbrella_prefix);
        field("umbrella_checkpoint", self.umbrella_checkpoint);
    }
    bool operator==(const Traits&) const = default;
};

/// Module names as transformers has them; an empty name means that the family has no such module.
/// The norms present give the block its form: before a sublayer, after it, or both.
struct ModuleNames {
    std::string base = "model", layers = "layers";
    std::string embedding = "embed_tokens", positions, final_norm = "norm", lm_head = "lm_head";
    std::string attention = "self_attn", q = "q_proj", k = "k_proj", v = "v_proj", o = "o_proj";
    std::string qkv;  // set: one fused projection instead of q, k, v
    std::string q_norm = "q_norm", k_norm = "k_norm";
    std::string mlp = "mlp", gate = "gate_proj", up = "up_proj", down = "down_proj";
    std::string gate_up;  // set: one fused projection instead of gate and up
    std::string router = "gate", experts = "experts", shared = "shared_experts", shared_gate;
    std::string attention_norm = "input_layernorm";     // of the attention's input
    std::string attention_out_norm;                     // of the attention's output
    std::string mlp_norm = "post_attention_layernorm";  // of the MLP's input
    std::string mlp_out_norm;                           // of the MLP's output

    static void fields(auto& self, auto&& field) {
        field("base", self.base);
        field("layers", self.layers);
        field("embedding", self.embedding);
        field("positions", self.positions);
        field("final_norm", self.final_norm);
        field("lm_head", self.lm_head);
        field("attention", self.attention);
        field("q", self.q);
        field("k", self.k);
        field("v", self.v);
        field("o", self.o);
        field("qkv", self.qkv);
        field("q_norm", self.q_norm);
        field("k_norm", self.k_norm);
        field("mlp", self.mlp);
        field("gate", self.gate);
        field("up", self.up);
        field("down", self.down);
        field("gate_up", self.gate_up);
        field("router", self.router);
        field("experts", self.experts);
        field("shared", self.shared);
        field("shared_gate", self.shared_gate);
        field("attention_norm", self.attention_norm);
        field("attention_out_norm", self.attention_out_norm);
        field("mlp_norm", self.mlp_norm);
        field("mlp_out_norm", self.mlp_out_norm);
    }
    bool operator==(const ModuleNames&) const = default;
};

/// Where one field comes from: the names its key goes by, and transformers' class default for a
/// config.json without it (null: none, see config_fields.h). Without names it is a constant.
struct KeyRule {
    std::string field;
    std::vector<std::string> keys;
    Json fallback;
};

struct Family {
    std::string name;
    std::string source;
    std::vector<KeyRule> keys;
    Named<std::vector<Json>> only;  // key -> the values that tplan has a graph for
    std::vector<std::string> harmless;
    Named<std::vector<std::string>> checkpoint;  // tensor of a block -> what it is made of on disk
    Traits traits;
    ModuleNames modules;
};

/// The family that serves a model type, read from its one file; nullopt when there is none. Throws
/// Error for a malformed file.
std::optional<Family> load_family(const std::string& model_type);

/// What a family's file looks like.
SchemaOf family_schema();

/// Names of all families, sorted.
std::vector<std::string> family_names();

}  // namespace tplan
