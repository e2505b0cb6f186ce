#include "tests/support/tiny_configs.h"

#include <array>
#include <string_view>

namespace tplan::test {
namespace {

struct Row {
    std::string_view family;
    std::string_view own;  // keys beside or instead of kShared
};

constexpr std::string_view kShared = R"({
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 256, "max_position_embeddings": 128,
    "tie_word_embeddings": false, "torch_dtype": "float32"})";

// Sorted by family. A null takes a shared key away.
constexpr std::array kRows = {
    Row{"cohere", R"({"num_attention_heads": 4, "tie_word_embeddings": true, "use_qk_norm": true,
        "logit_scale": 0.25, "hidden_act": "silu", "layer_norm_eps": 1e-05})"},
    Row{"deepseek_v2", R"({"num_key_value_heads": 4, "num_hidden_layers": 3, "q_lora_rank": null,
        "kv_lora_rank": 32, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 16,
        "n_routed_experts": 8, "num_experts_per_tok": 2, "n_shared_experts": 2,
        "moe_intermediate_size": 32, "first_k_dense_replace": 1, "routed_scaling_factor": 1.5,
        "topk_method": "group_limited_greedy", "n_group": 4, "topk_group": 2})"},
    Row{"deepseek_v3", R"({"num_key_value_heads": 4, "num_hidden_layers": 3, "q_lora_rank": 48,
        "kv_lora_rank": 32, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 16,
        "n_routed_experts": 8, "num_experts_per_tok": 2, "n_shared_experts": 1,
        "moe_intermediate_size": 32, "first_k_dense_replace": 1, "n_group": 2, "topk_group": 1})"},
    Row{"falcon", R"({"num_key_value_heads": null, "intermediate_size": null,
        "ffn_hidden_size": 128, "num_kv_heads": 2, "new_decoder_architecture": true,
        "tie_word_embeddings": true})"},
    Row{"gemma", R"({"head_dim": 16, "tie_word_embeddings": true,
        "hidden_act": "gelu_pytorch_tanh"})"},
    Row{"gemma2", R"({"head_dim": 16, "tie_word_embeddings": true, "sliding_window": 8,
        "query_pre_attn_scalar": 32, "hidden_activation": "gelu_pytorch_tanh"})"},
    Row{"gemma3_text", R"({"head_dim": 16, "num_hidden_layers": 6, "tie_word_embeddings": true,
        "sliding_window": 8, "query_pre_attn_scalar": 32, "rope_theta": 1000000.0,
        "rope_local_base_freq": 10000.0, "sliding_window_pattern": 3,
        "rope_scaling": {"rope_type": "linear", "factor": 8.0}})"},
    Row{"glm4", R"({"head_dim": 16, "partial_rotary_factor": 0.5, "attention_bias": true})"},
    Row{"glm4_moe", R"({"head_dim": 16, "num_hidden_layers": 3, "partial_rotary_factor": 0.5,
        "attention_bias": true, "use_qk_norm": true, "n_routed_experts": 8,
        "num_experts_per_tok": 2, "n_shared_experts": 1, "moe_intermediate_size": 32,
        "first_k_dense_replace": 1, "routed_scaling_factor": 1.5})"},
    Row{"gpt2", R"({"hidden_size": null, "intermediate_size": null, "num_hidden_layers": null,
        "num_attention_heads": null, "num_key_value_heads": null, "max_position_embeddings": null,
        "n_embd": 64, "n_inner": 128, "n_layer": 2, "n_head": 4, "n_positions": 128,
        "tie_word_embeddings": true})"},
    Row{"gpt_neox", R"({"num_key_value_heads": null, "rotary_pct": 0.25,
        "use_parallel_residual": true})"},
    Row{"gpt_oss", R"({"head_dim": 16, "num_local_experts": 8, "num_experts_per_tok": 2,
        "sliding_window": 8,
        "rope_parameters": {"rope_type": "default", "rope_theta": 150000.0}})"},
    Row{"granite", R"({"embedding_multiplier": 12.0, "residual_multiplier": 0.22,
        "attention_multiplier": 0.0625, "logits_scaling": 8.0})"},
    Row{"llama", R"({"rms_norm_eps": 1e-05})"},
    Row{"mistral", R"({"head_dim": 16, "sliding_window": 8})"},
    Row{"mixtral", R"({"num_local_experts": 8, "num_experts_per_tok": 2})"},
    Row{"olmo2", R"({"rms_norm_eps": 1e-06})"},
    Row{"phi", R"({"partial_rotary_factor": 0.5, "qk_layernorm": true})"},
    Row{"phi3", R"({"pad_token_id": 0, "sliding_window": null})"},
    Row{"qwen2", R"({"num_hidden_layers": 4, "use_sliding_window": true, "sliding_window": 8,
        "max_window_layers": 2})"},
    Row{"qwen2_moe", R"({"num_hidden_layers": 3, "num_experts": 8, "num_experts_per_tok": 2,
        "moe_intermediate_size": 32, "shared_expert_intermediate_size": 48,
        "mlp_only_layers": [1]})"},
    Row{"qwen3", R"({"head_dim": 16, "tie_word_embeddings": true})"},
    Row{"qwen3_moe", R"({"head_dim": 16, "num_hidden_layers": 4, "num_experts": 8,
        "num_experts_per_tok": 2, "moe_intermediate_size": 32, "decoder_sparse_step": 2,
        "norm_topk_prob": true})"},
    Row{"stablelm", R"({"partial_rotary_factor": 0.25, "use_qkv_bias": true})"},
    Row{"starcoder2", R"({"sliding_window": 8, "tie_word_embeddings": true})"},
};

}  // namespace

Json tiny_config(const std::string& family) {
    for (const auto& row : kRows) {
        if (row.family != family) continue;
        auto config = parse_json(kShared, "tiny");
        const auto own = parse_json(row.own, "tiny " + family);
        config["model_type"] = family;
        for (const auto& [key, value] : own.items()) {
            if (value.is_null() && config.contains(key)) {
                config.erase(key);
            } else {
                config[key] = value;
            }
        }
        return config;
    }
    throw Error("tiny_config", "no family \"" + family + "\"");
}

std::vector<std::string> tiny_families() {
    std::vector<std::string> names;
    for (const auto& row : kRows) names.emplace_back(row.family);
    return names;
}

}  // namespace tplan::test
