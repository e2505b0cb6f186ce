#include "models/config_fields.h"

#include <algorithm>

namespace tplan {
namespace {

/// Whether null in config.json stands for "none" (transformers' `int | None`).
enum class Null { refused, none, as_default };  // as_default: where the class has null too

struct SizeField {
    std::string_view name;
    std::int64_t& (*at)(ModelConfig&);
    std::int64_t low, high;
    Null null = Null::refused;
};
struct NumberField {
    std::string_view name;
    double& (*at)(ModelConfig&);
    Null null = Null::refused;
};
struct FlagField {
    std::string_view name;
    bool& (*at)(ModelConfig&);
};

using Config = ModelConfig;
using Size = std::int64_t;
constexpr auto kMax = kLargestSize;

constexpr std::array kSizes = {
    SizeField{"hidden", [](Config& c) -> Size& { return c.hidden; }, 1, kMax},
    SizeField{"layers", [](Config& c) -> Size& { return c.layers; }, 1, kMostLayers},
    SizeField{"heads", [](Config& c) -> Size& { return c.heads; }, 1, kMax},
    SizeField{"kv_heads", [](Config& c) -> Size& { return c.kv_heads; }, 1, kMax, Null::none},
    SizeField{"head_dim", [](Config& c) -> Size& { return c.head_dim; }, 1, kMax, Null::none},
    SizeField{"ffn", [](Config& c) -> Size& { return c.ffn; }, 1, kMax, Null::as_default},
    SizeField{"vocab", [](Config& c) -> Size& { return c.vocab; }, 1, kMax},
    SizeField{"max_positions", [](Config& c) -> Size& { return c.max_positions; }, 1, kMax},
    SizeField{"experts", [](Config& c) -> Size& { return c.experts; }, 1, kMax},
    SizeField{"experts_per_token", [](Config& c) -> Size& { return c.experts_per_token; }, 1, kMax},
    SizeField{"moe_ffn", [](Config& c) -> Size& { return c.moe_ffn; }, 1, kMax},
    SizeField{"shared_experts", [](Config& c) -> Size& { return c.shared_experts; }, 0, kMax,
              Null::none},
    SizeField{"shared_ffn", [](Config& c) -> Size& { return c.shared_ffn; }, 0, kMax},
    SizeField{"q_lora_rank", [](Config& c) -> Size& { return c.q_lora_rank; }, 1, kMax, Null::none},
    SizeField{"kv_lora_rank", [](Config& c) -> Size& { return c.kv_lora_rank; }, 1, kMax},
    SizeField{"qk_nope_dim", [](Config& c) -> Size& { return c.qk_nope_dim; }, 1, kMax},
    SizeField{"qk_rope_dim", [](Config& c) -> Size& { return c.qk_rope_dim; }, 1, kMax},
    SizeField{"v_head_dim", [](Config& c) -> Size& { return c.v_head_dim; }, 1, kMax},
    SizeField{"window", [](Config& c) -> Size& { return c.settings.window; }, 1, kMax, Null::none},
    SizeField{"full_layers", [](Config& c) -> Size& { return c.settings.full_layers; }, 0, kMax},
    SizeField{"sliding_pattern", [](Config& c) -> Size& { return c.settings.sliding_pattern; }, 1,
              kMax},
    SizeField{"parallel_norms", [](Config& c) -> Size& { return c.settings.parallel_norms; }, 1, 2,
              Null::none},
    SizeField{"first_dense", [](Config& c) -> Size& { return c.settings.first_dense; }, 0, kMax},
    SizeField{"sparse_step", [](Config& c) -> Size& { return c.settings.sparse_step; }, 1, kMax},
    SizeField{"router_groups", [](Config& c) -> Size& { return c.settings.routing.groups; }, 1,
              kMax, Null::none},
    SizeField{"router_top_groups", [](Config& c) -> Size& { return c.settings.routing.top_groups; },
              1, kMax, Null::none},
};

constexpr std::array kNumbers = {
    NumberField{"norm_eps", [](Config& c) -> double& { return c.settings.norm_eps; }},
    NumberField{"rope_theta", [](Config& c) -> double& { return c.settings.rope_theta; }},
    NumberField{"rope_local_theta",
                [](Config& c) -> double& { return c.settings.rope_local_theta; }},
    NumberField{"rotary_fraction", [](Config& c) -> double& { return c.settings.rotary_fraction; }},
    NumberField{"query_scalar", [](Config& c) -> double& { return c.settings.query_scalar; }},
    NumberField{"attention_multiplier",
                [](Config& c) -> double& { return c.settings.attention_multiplier; }},
    NumberField{"attention_softcap",
                [](Config& c) -> double& { return c.settings.attention_softcap; }, Null::none},
    NumberField{"embedding_multiplier",
                [](Config& c) -> double& { return c.settings.embedding_multiplier; }},
    NumberField{"residual_multiplier",
                [](Config& c) -> double& { return c.settings.residual_multiplier; }},
    NumberField{"logit_multiplier",
                [](Config& c) -> double& { return c.settings.logit_multiplier; }},
    NumberField{"logit_divisor", [](Config& c) -> double& { return c.settings.logit_divisor; }},
    NumberField{"router_scale", [](Config& c) -> double& { return c.settings.routing.scale; }},
    NumberField{"logit_softcap", [](Config& c) -> double& { return c.settings.logit_softcap; },
                Null::none},
};

constexpr std::array kFlags = {
    FlagField{"tied_embeddings", [](Config& c) -> bool& { return c.tied_embeddings; }},
    FlagField{"qkv_bias", [](Config& c) -> bool& { return c.settings.qkv_bias; }},
    FlagField{"out_bias", [](Config& c) -> bool& { return c.settings.out_bias; }},
    FlagField{"mlp_bias", [](Config& c) -> bool& { return c.settings.mlp_bias; }},
    FlagField{"lm_head_bias", [](Config& c) -> bool& { return c.settings.lm_head_bias; }},
    FlagField{"qk_norm", [](Config& c) -> bool& { return c.settings.qk_norm; }},
    FlagField{"parallel", [](Config& c) -> bool& { return c.settings.parallel; }},
    FlagField{"rope_interleaved", [](Config& c) -> bool& { return c.settings.rope_interleaved; }},
    FlagField{"use_sliding", [](Config& c) -> bool& { return c.settings.use_sliding; }},
    FlagField{"multi_query", [](Config& c) -> bool& { return c.settings.multi_query; }},
    FlagField{"router_normalise", [](Config& c) -> bool& { return c.settings.routing.normalise; }},
    FlagField{"new_decoder", [](Config& c) -> bool& { return c.settings.new_decoder; }},
};

struct ActivationName {
    std::string_view name;
    ActivationKind kind;
};
// "gelu_new" and "gelu_fast" are the tanh approximation written in two ways.
constexpr std::array kActivations = {
    ActivationName{"silu", ActivationKind::silu},
    ActivationName{"swish", ActivationKind::silu},
    ActivationName{"gelu", ActivationKind::gelu},
    ActivationName{"gelu_python", ActivationKind::gelu},
    ActivationName{"gelu_new", ActivationKind::gelu_tanh},
    ActivationName{"gelu_fast", ActivationKind::gelu_tanh},
    ActivationName{"gelu_pytorch_tanh", ActivationKind::gelu_tanh},
    ActivationName{"relu", ActivationKind::relu},
};

/// Keys that most families share, for a model type without a graph.
struct UsualKey {
    std::string_view field;
    std::array<std::string_view, 4> keys;
};
constexpr std::array kUsualKeys = {
    UsualKey{"hidden", {"hidden_size", "n_embd", "d_model", "dim"}},
    UsualKey{"layers", {"num_hidden_layers", "n_layer", "n_layers", "num_layers"}},
    UsualKey{"heads", {"num_attention_heads", "n_head", "n_heads", "num_heads"}},
    UsualKey{"kv_heads", {"num_key_value_heads", "num_kv_heads", "n_head_kv", ""}},
    UsualKey{"head_dim", {"head_dim", "", "", ""}},
    UsualKey{"ffn", {"intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size"}},
    UsualKey{"vocab", {"vocab_size", "", "", ""}},
    UsualKey{"max_positions", {"max_position_embeddings", "n_positions", "", ""}},
    UsualKey{"experts", {"num_local_experts", "num_experts", "n_routed_experts", ""}},
    UsualKey{"experts_per_token", {"num_experts_per_tok", "", "", ""}},
    UsualKey{"moe_ffn", {"moe_intermediate_size", "", "", ""}},
};

/// Fields whose absence from config.json deserves a note.
constexpr std::array<std::string_view, 5> kShapes = {"hidden", "layers", "heads", "ffn", "vocab"};

template <class Table>
auto find_row(const Table& table, std::string_view name) {
    return std::find_if(table.begin(), table.end(),
                        [&](const auto& row) { return row.name == name; });
}

/// The first of the rule's keys that the document has. Two spellings of one key must agree.
const Json* find_rule(const KeyRule& rule, KeyReader& reader, std::string& path) {
    const Json* found = nullptr;
    for (const auto& key : rule.keys) {
        const auto* value = reader.find(key);
        if (!value) continue;
        if (found && !found->is_null() && !value->is_null() && *found != *value) {
            throw Error(
                reader.path(key),
                fmt::format("{} contradicts {}, another name of it", shown(value->dump()), path),
                "keep one of them");
        }
        if (!found || found->is_null()) {
            found = value;
            path = reader.path(key);
        }
    }
    return found;
}

/// transformers' topk_method: whether experts are chosen out of the best groups only.
bool read_grouping(const Json& in, const std::string& where) {
    const auto method = from_json<std::string>(in, where);
    if (method == "greedy") return false;
    if (method == "group_limited_greedy") return true;
    throw Error(where, fmt::format("\"{}\" has no graph; known: greedy, group_limited_greedy",
                                   shown(method)));
}

std::vector<std::int64_t> read_layer_numbers(const Json& in, const std::string& where) {
    std::vector<std::int64_t> numbers;
    if (in.is_null()) return numbers;
    if (!in.is_array()) wrong_type(where, "an array of layer numbers", in);
    for (std::size_t i = 0; i < in.size(); ++i) {
        numbers.push_back(read_size(in[i], where + "/" + std::to_string(i), 0, kMostLayers));
    }
    return numbers;
}

}  // namespace

const Json* KeyReader::find(std::string_view key) {
    const auto found = document.find(std::string(key));
    if (found == document.end()) return nullptr;
    seen.emplace(key);
    return &*found;
}

std::int64_t read_size(const Json& in, const std::string& where, std::int64_t low,
                       std::int64_t high) {
    const bool integer = in.is_number_integer();
    const bool huge = in.is_number_unsigned() &&
                      in.get<std::uint64_t>() > static_cast<std::uint64_t>(kLargestSize);
    if (integer && !huge) {
        if (const auto value = in.get<std::int64_t>(); value >= low && value <= high) return value;
    }
    wrong_type(where, fmt::format("an integer from {} to {}", low, high), in);
}

double read_positive(const Json& in, const std::string& where, double high) {
    if (in.is_number()) {
        if (const auto value = in.get<double>(); value > 0 && value <= high) return value;
    }
    const bool bounded = high < std::numeric_limits<double>::max();
    wrong_type(where, bounded ? fmt::format("a number above 0 up to {}", high) : "a number above 0",
               in);
}

ActivationKind read_activation(const Json& in, const std::string& where) {
    if (!in.is_string()) wrong_type(where, "the name of an activation", in);
    const auto& name = in.get_ref<const std::string&>();
    if (const auto row = find_row(kActivations, name); row != kActivations.end()) return row->kind;
    std::vector<std::string> choices;
    for (const auto& row : kActivations) choices.emplace_back(row.name);
    throw Error(
        where,
        fmt::format("activation \"{}\" has no graph; known: {}", shown(name), join(choices, ", ")),
        did_you_mean(name, choices));
}

void read_field(const KeyRule& rule, KeyReader& reader, ModelConfig& config) {
    std::string path = reader.where + " (class default of " + rule.field + ")";
    const auto* given = find_rule(rule, reader, path);
    const Json& value = given ? *given : rule.fallback;
    if (!given && !rule.fallback.is_null() &&
        std::find(kShapes.begin(), kShapes.end(), rule.field) != kShapes.end()) {
        config.notes.push_back(
            fmt::format("no {}: the class default {} is taken", rule.keys.front(), value.dump()));
    }
    const auto is_none = [&](Null null) {
        // A family file writes null where the class default is None or worked out from others.
        return value.is_null() && (null == Null::none || !given ||
                                   (null == Null::as_default && rule.fallback.is_null()));
    };
    if (const auto row = find_row(kSizes, rule.field); row != kSizes.end()) {
        row->at(config) = is_none(row->null) ? 0 : read_size(value, path, row->low, row->high);
    } else if (const auto number = find_row(kNumbers, rule.field); number != kNumbers.end()) {
        number->at(config) = is_none(number->null) ? 0 : read_positive(value, path);
    } else if (const auto flag = find_row(kFlags, rule.field); flag != kFlags.end()) {
        if (!value.is_boolean()) wrong_type(path, "true or false", value);
        flag->at(config) = value.get<bool>();
    } else if (rule.field == "activation") {
        auto& kind = config.settings.activation;
        kind = read_activation(value, path);
        if (config.traits.gelu_means_tanh && kind == ActivationKind::gelu)
            kind = ActivationKind::gelu_tanh;
    } else if (rule.field == "router_method") {
        config.settings.grouped_routing = read_grouping(value, path);
    } else if (rule.field == "dense_layers") {
        config.settings.dense_layers = read_layer_numbers(value, path);
    } else {
        throw Error("models/families/" + config.family + ".json/keys/" + rule.field,
                    "no field of that name");
    }
}

void read_usual_sizes(KeyReader& reader, ModelConfig& config) {
    for (const auto& [field, keys] : kUsualKeys) {
        const auto row = find_row(kSizes, field);
        for (const auto key : keys) {
            const auto* value = key.empty() ? nullptr : reader.find(key);
            if (!value || (value->is_null() && row->null == Null::none)) continue;
            row->at(config) = read_size(*value, reader.path(key), row->low, row->high);
            break;
        }
    }
}

}  // namespace tplan
