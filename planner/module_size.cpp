#include "planner/module_size.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace tplan {
namespace {

/// One module name as the shipped plans of types without a graph spell it, and the module group it
/// is found in.
struct NameRow {
    std::string_view name;
    bool attention;  // below self_attn or attention, else below the MLP or outside the layers
    ModulePart part;
};

constexpr std::array kNames = {
    NameRow{"q_proj", true, ModulePart::query_heads},
    NameRow{"q_b_proj", true, ModulePart::query_heads},
    NameRow{"q_gate_proj", true, ModulePart::query_heads},
    NameRow{"g_proj", true, ModulePart::query_heads},
    NameRow{"gate_proj", true, ModulePart::query_heads},
    NameRow{"kv_b_proj", true, ModulePart::query_heads},
    NameRow{"sinks", true, ModulePart::query_heads},
    NameRow{"k_proj", true, ModulePart::kv_heads},
    NameRow{"v_proj", true, ModulePart::kv_heads},
    NameRow{"qkv_proj", true, ModulePart::fused_heads},
    NameRow{"query_key_value", true, ModulePart::fused_heads},
    NameRow{"c_attn", true, ModulePart::fused_heads},
    NameRow{"qkv", true, ModulePart::fused_heads},
    NameRow{"o_proj", true, ModulePart::attention_output},
    NameRow{"dense", true, ModulePart::attention_output},
    NameRow{"c_proj", true, ModulePart::attention_output},
    NameRow{"proj", true, ModulePart::attention_output},
    NameRow{"gate_up_proj", false, ModulePart::packed_ffn},
    NameRow{"gate_proj", false, ModulePart::ffn},
    NameRow{"up_proj", false, ModulePart::ffn},
    NameRow{"down_proj", false, ModulePart::ffn_output},
    NameRow{"fc1", false, ModulePart::ffn},
    NameRow{"fc2", false, ModulePart::ffn_output},
    NameRow{"c_fc", false, ModulePart::ffn},
    NameRow{"c_proj", false, ModulePart::ffn_output},
    NameRow{"dense_h_to_4h", false, ModulePart::ffn},
    NameRow{"dense_4h_to_h", false, ModulePart::ffn_output},
    NameRow{"lm_head", false, ModulePart::vocabulary},
    NameRow{"embed_out", false, ModulePart::vocabulary},
    NameRow{"embed_tokens", false, ModulePart::vocabulary},
    NameRow{"wte", false, ModulePart::vocabulary},
};

bool contains(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

/// The key without a trailing parameter name, and its last component.
std::string_view module_of(std::string_view pattern) {
    for (const std::string_view tail : {".weight_scale_inv", ".weight", ".qweight", ".bias"}) {
        if (pattern.ends_with(tail)) return pattern.substr(0, pattern.size() - tail.size());
    }
    return pattern;
}

/// The part a module is by the family's own names; unknown for names that it does not list.
ModulePart part_in_family(const ModuleNames& names, std::string_view name, std::string_view group) {
    struct Row {
        std::string_view name;
        ModulePart part;
    };
    const std::array attention = {
        Row{names.q, ModulePart::query_heads}, Row{names.k, ModulePart::kv_heads},
        Row{names.v, ModulePart::kv_heads}, Row{names.qkv, ModulePart::fused_heads},
        Row{names.o, ModulePart::attention_output}};
    const std::array mlp = {Row{names.gate, ModulePart::ffn}, Row{names.up, ModulePart::ffn},
                            Row{names.down, ModulePart::ffn_output},
                            Row{names.gate_up, ModulePart::packed_ffn}};
    const std::array outside = {Row{names.embedding, ModulePart::vocabulary},
                                Row{names.lm_head, ModulePart::vocabulary}};
    const auto look_up = [&](const auto& rows) {
        const auto row = std::find_if(rows.begin(), rows.end(),
                                      [&](const Row& candidate) { return candidate.name == name; });
        return row == rows.end() ? ModulePart::unknown : row->part;
    };
    if (group.ends_with("." + names.attention)) return look_up(attention);
    if (contains(group, "." + names.mlp)) return look_up(mlp);
    return look_up(outside);
}

ModulePart part_of(const ModelConfig& config, std::string_view module) {
    if (contains(module, "linear_attn.")) return ModulePart::linear_attention;
    const auto dot = module.rfind('.');
    const auto name = dot == module.npos ? module : module.substr(dot + 1);
    const auto group = dot == module.npos ? std::string_view() : module.substr(0, dot);
    if (!config.family.empty()) {
        const auto part = part_in_family(config.modules, name, group);
        if (part != ModulePart::unknown) return part;
    }
    const bool attention = contains(group, "attn") || contains(group, "attention");
    const auto row = std::find_if(kNames.begin(), kNames.end(), [&](const NameRow& candidate) {
        return candidate.name == name && candidate.attention == attention;
    });
    return row == kNames.end() ? ModulePart::unknown : row->part;
}

struct InnerWidth {
    std::int64_t size;
    std::string_view key;
};

/// Inner width of the MLP a key belongs to: routed experts, shared experts or dense.
InnerWidth ffn_of(const ModelConfig& config, std::string_view module) {
    if (contains(module, "shared_expert")) return {config.shared_ffn, "shared_intermediate_size"};
    if (contains(module, "experts")) return {config.moe_ffn, "moe_intermediate_size"};
    return {config.ffn, "intermediate_size"};
}

/// Does the checkpoint keep the module as it was?
bool kept_whole(const ModelConfig& config, std::string_view module) {
    const auto full = config.modules.base + "." + std::string(module);
    return std::any_of(config.settings.unquantised.begin(), config.settings.unquantised.end(),
                       [&](const auto& entry) { return names_module(entry.first, full); });
}

std::int64_t number(const ModelConfig& config, const char* key) {
    if (!config.document.is_object()) return 0;
    const auto* document = &config.document;
    if (const auto text = document->find("text_config");
        text != document->end() && text->is_object() && !document->contains(key)) {
        document = &*text;
    }
    const auto found = document->find(key);
    return found != document->end() && found->is_number_integer() ? found->get<std::int64_t>() : 0;
}

/// Gated delta-rule layers (qwen3_next, qwen3_5): per key head a query and a key, per value head a
/// value and a gate. Widths from the keys linear_num_{key,value}_heads,
/// linear_{key,value}_head_dim.
std::int64_t linear_attention_out(const ModelConfig& config, std::string_view module) {
    const auto value_heads = number(config, "linear_num_value_heads");
    const auto keys =
        number(config, "linear_num_key_heads") * number(config, "linear_key_head_dim");
    const auto values = value_heads * number(config, "linear_value_head_dim");
    if (module.ends_with("in_proj_qkvz")) return 2 * keys + 2 * values;
    if (module.ends_with("in_proj_qkv")) return 2 * keys + values;
    if (module.ends_with("in_proj_ba")) return 2 * value_heads;
    if (module.ends_with("in_proj_z")) return values;
    if (module.ends_with("in_proj_a") || module.ends_with("in_proj_b")) return value_heads;
    if (module.ends_with("out_proj")) return config.hidden;
    return 0;
}

}  // namespace

ModuleSize module_size(const ModelConfig& config, const std::string& pattern) {
    const auto module = module_of(pattern);
    const bool latent = config.kv_lora_rank > 0;
    const auto query_dim = latent ? config.qk_nope_dim + config.qk_rope_dim : config.head_dim;
    const auto value_dim = latent ? config.v_head_dim : config.head_dim;
    const auto [ffn, key] = ffn_of(config, module);
    ModuleSize size{
        .part = part_of(config, module), .quantised = !kept_whole(config, module), .key = key};
    switch (size.part) {
        case ModulePart::query_heads:
            size.in = config.hidden;
            size.out = config.heads * query_dim;
            if (module.ends_with("q_b_proj")) size.in = config.q_lora_rank;
            if (module.ends_with("kv_b_proj")) {
                size.in = config.kv_lora_rank;
                size.out = config.heads * (config.qk_nope_dim + value_dim);
            }
            // One output per head or per column, and no quantised weight: not worth guessing.
            if (module.ends_with("g_proj") || module.ends_with("sinks")) size.out = 0;
            break;
        case ModulePart::kv_heads:
            size.in = config.hidden;
            size.out = config.kv_heads * config.head_dim;
            break;
        case ModulePart::fused_heads:
            size.in = config.hidden;
            size.out = (config.heads + 2 * config.kv_heads) * config.head_dim;
            break;
        case ModulePart::attention_output:
            size.in = config.heads * value_dim;
            size.out = config.hidden;
            break;
        case ModulePart::linear_attention:
            size.out = linear_attention_out(config, module);
            break;
        case ModulePart::ffn:
            size.in = config.hidden;
            size.out = ffn;
            break;
        case ModulePart::ffn_output:
            size.in = ffn;
            size.out = config.hidden;
            break;
        case ModulePart::packed_ffn:
            size.in = config.hidden;
            size.out = 2 * ffn;
            break;
        case ModulePart::vocabulary:
            size.in = config.hidden;
            size.out = config.vocab;
            size.quantised = false;
            break;
        case ModulePart::unknown:
            size.quantised = false;
            break;
    }
    return size;
}

}  // namespace tplan
