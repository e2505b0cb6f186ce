#include "models/config.h"

#include <algorithm>
#include <filesystem>

#include "core/files.h"
#include "models/config_fields.h"

namespace tplan {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kPresets = "models/configs";

/// Keys of any config.json that say nothing about the graph: generation, training, bookkeeping.
constexpr std::array<std::string_view, 73> kHarmless = {
    // clang-format off
    "_attn_implementation", "_attn_implementation_autoset", "_commit_hash", "_name_or_path",
    "architectures", "attention_dropout", "attn_implementation", "auto_map", "bad_words_ids",
    "begin_suppress_tokens", "bos_token_id", "cache_implementation",
    "classifier_dropout", "decoder_start_token_id",
    "device_map", "diversity_penalty", "do_sample", "dtype", "early_stopping", "embd_pdrop",
    "encoder_no_repeat_ngram_size", "eos_token_id", "exponential_decay_length_penalty",
    "finetuning_task", "forced_bos_token_id", "forced_eos_token_id", "gradient_checkpointing",
    "hidden_dropout", "hidden_dropout_prob", "id2label", "initializer_range", "is_decoder",
    "keys_to_ignore_at_inference", "label2id", "length_penalty", "max_length",
    "max_new_tokens", "min_length", "model_type", "no_repeat_ngram_size", "num_beam_groups",
    "num_beams", "num_labels", "num_return_sequences", "original_max_position_embeddings",
    "output_attentions", "output_hidden_states", "output_router_logits", "output_scores",
    "pad_token_id", "prefix", "problem_type",
    "quantization_config", "remove_invalid_values", "repetition_penalty", "resid_pdrop",
    "return_dict", "return_dict_in_generate", "router_aux_loss_coef", "sep_token_id",
    "suppress_tokens", "task_specific_params", "temperature", "tf_legacy_loss",
    "tokenizer_class", "top_k", "top_p", "torch_dtype", "torchscript",
    "transformers_version", "typical_p", "use_bfloat16", "use_cache"
    // clang-format on
};

/// Keys that change the graph of any family unless they have one of these values.
constexpr std::array<std::pair<std::string_view, std::string_view>, 7> kNeutralValues = {
    {{"is_encoder_decoder", "[false, null]"},
     {"add_cross_attention", "[false, null]"},
     {"cross_attention_hidden_size", "[null]"},
     {"tie_encoder_decoder", "[false, null]"},
     {"pruned_heads", "[{}, [], null]"},
     {"pretraining_tp", "[1, null]"},
     {"chunk_size_feed_forward", "[0, null]"}}};

DType read_dtype(const Json& in, const std::string& where) {
    constexpr std::array<std::pair<std::string_view, DType>, 3> kNames = {
        {{"bfloat16", DType::bf16}, {"float16", DType::fp16}, {"float32", DType::fp32}}};
    const auto given = from_json<std::string>(in, where);
    const auto name = given.rfind("torch.", 0) == 0 ? given.substr(6) : given;
    for (const auto& [text, dtype] : kNames) {
        if (name == text) return dtype;
    }
    throw Error(where, "\"" + shown(given) + "\" is not one of bfloat16, float16, float32");
}

/// "torch_dtype" or its newer spelling, of the text model or else of the umbrella.
void read_checkpoint_dtype(const Json& text, const std::string& where, const Json& outer,
                           ModelConfig& config) {
    for (const auto* document : {&text, &outer}) {
        const auto& place = document == &text ? where : config.source;
        for (const auto* key : {"torch_dtype", "dtype"}) {
            const auto found = document->find(key);
            if (found == document->end() || found->is_null()) continue;
            config.dtype = read_dtype(*found, place + "/" + key);
            return;
        }
    }
    config.notes.push_back("no torch_dtype: weights are taken as bf16");
}

/// Sizes of the experts that follow from others.
void complete_experts(const std::string& where, ModelConfig& config) {
    if (config.experts == 0) return;
    if (config.moe_ffn == 0) config.moe_ffn = config.ffn;
    if (config.shared_experts > 0) config.shared_ffn = config.shared_experts * config.moe_ffn;
    if (config.shared_ffn > 0 && config.shared_experts == 0) config.shared_experts = 1;
    if (config.shared_ffn > kLargestSize) {
        throw Error(where + "/n_shared_experts",
                    fmt::format("{} shared experts of {} columns are above 2^31",
                                config.shared_experts, config.moe_ffn));
    }
    if (config.experts_per_token == 0) throw Error(where + "/num_experts_per_tok", "missing key");
    if (config.experts_per_token > config.experts) {
        throw Error(where + "/num_experts_per_tok",
                    fmt::format("expected an integer from 1 to the {} experts, got {}",
                                config.experts, config.experts_per_token));
    }
}

/// How the experts of a token are chosen: what config.json says joined with the family's traits.
void complete_routing(const std::string& where, ModelConfig& config) {
    auto& routing = config.settings.routing;
    routing.score = config.traits.router_score;
    routing.group_score = config.traits.group_score;
    routing.correction = config.traits.router_correction;
    if (!config.settings.grouped_routing) routing.groups = routing.top_groups = 1;
    if (routing.groups == 0 || routing.top_groups == 0)
        throw Error(where + "/n_group", "missing key: groups are to be chosen, see topk_method");
    const auto size = config.experts / routing.groups;
    if (config.experts % routing.groups != 0) {
        throw Error(where + "/n_group", fmt::format("{} experts do not divide into {} groups",
                                                    config.experts, routing.groups));
    }
    if (routing.top_groups > routing.groups ||
        routing.top_groups * size < config.experts_per_token) {
        throw Error(
            where + "/topk_group",
            fmt::format("{} of {} groups with {} experts each do not give the {} that "
                        "every token visits",
                        routing.top_groups, routing.groups, size, config.experts_per_token));
    }
    if (routing.groups > 1 && routing.group_score == GroupScore::two_best && size < 2)
        throw Error(where + "/n_group", "groups of one expert have no second best to count");
}

/// Sizes that follow from others, and what must hold between them.
void complete_sizes(const KeyReader& reader, ModelConfig& config) {
    const auto& where = reader.where;
    if (config.kv_heads == 0) config.kv_heads = config.heads;
    if (config.kv_lora_rank > 0) config.head_dim = config.qk_nope_dim + config.qk_rope_dim;
    if (config.head_dim == 0) {
        if (config.hidden % config.heads != 0) {
            throw Error(where + "/num_attention_heads",
                        fmt::format("hidden size {} is not a multiple of {} heads, and no head_dim "
                                    "is given",
                                    config.hidden, config.heads));
        }
        config.head_dim = config.hidden / config.heads;
    }
    if (config.heads % config.kv_heads != 0) {
        throw Error(where + "/num_key_value_heads",
                    fmt::format("{} attention heads are not a multiple of {} KV heads",
                                config.heads, config.kv_heads));
    }
    if (config.ffn == 0) config.ffn = 4 * config.hidden;
    complete_experts(where, config);
    if (config.experts > 0) complete_routing(where, config);
}

void refuse_unsupported(const Family& family, KeyReader& reader) {
    const auto require_one_of = [&](const std::string& key, const Json& allowed) {
        const auto* value = reader.find(key);
        if (!value || std::find(allowed.begin(), allowed.end(), *value) != allowed.end()) return;
        throw Error(reader.path(key),
                    fmt::format("{} has no graph for model_type {}; known: {}",
                                shown(value->dump()), family.name, allowed.dump()));
    };
    for (const auto& [key, allowed] : kNeutralValues)
        require_one_of(std::string(key), parse_json(allowed, "kNeutralValues"));
    for (const auto& [key, allowed] : family.only) require_one_of(key, Json(allowed));
}

/// One note naming the keys that were neither used nor known to be harmless.
void note_other_keys(const KeyReader& reader, const Family& family, ModelConfig& config) {
    constexpr std::size_t kMost = 20;
    std::vector<std::string> other;
    for (const auto& [key, value] : reader.document.items()) {
        if (reader.seen.contains(key)) continue;
        if (std::find(kHarmless.begin(), kHarmless.end(), key) != kHarmless.end()) continue;
        const auto& listed = family.harmless;
        if (std::find(listed.begin(), listed.end(), key) != listed.end()) continue;
        other.push_back(shown(key));
    }
    if (other.empty()) return;
    const auto more = other.size() > kMost ? other.size() - kMost : 0;
    other.resize(other.size() - more);
    config.notes.push_back("keys passed over: " + join(other, ", ") +
                           (more ? fmt::format(" and {} more", more) : ""));
}

void read_by_family(const Family& family, KeyReader& reader, ModelConfig& config) {
    config.family = family.name;
    config.traits = family.traits;
    config.modules = family.modules;
    config.checkpoint = family.checkpoint;
    for (const auto& rule : family.keys) read_field(rule, reader, config);
    refuse_unsupported(family, reader);
    read_rope(reader, config);
    if (config.settings.parallel && family.traits.parallel_shares_norm)
        config.modules.mlp_norm.clear();
    if (family.traits.falcon) complete_falcon(reader, config);
    complete_sizes(reader, config);
    read_layer_traits(reader, config);
    note_other_keys(reader, family, config);
}

Json unwrap_preset(const Json& document, const std::string& source) {
    if (!document.is_object()) wrong_type(source, "an object", document);
    const auto schema = document.find("schema");
    if (schema == document.end() || *schema != Preset{}.schema) return document;
    auto preset = from_json<Preset>(document, source);
    if (!preset.config.is_object()) wrong_type(source + "/config", "an object", preset.config);
    return std::move(preset.config);
}

}  // namespace

ModelConfig read_model_config(const Json& document, const std::string& source) {
    ModelConfig config;
    config.source = source;
    config.document = unwrap_preset(document, source);
    const Json& outer = config.document;

    const auto type = outer.find("model_type");
    if (type == outer.end())
        throw Error(source + "/model_type", "missing key", "is this a Hugging Face config.json?");
    config.model_type = from_json<std::string>(*type, source + "/model_type");
    config.device_map = outer.contains("device_map") && !outer["device_map"].is_null();

    // The text model: the document itself, or what an umbrella of several models nests.
    auto family = load_family(config.model_type);
    const Json* text = &outer;
    std::string where = source;
    if (const auto nested = outer.find("text_config"); !family && nested != outer.end()) {
        where += "/text_config";
        if (!nested->is_object()) wrong_type(where, "an object", *nested);
        text = &*nested;
        config.umbrella = config.model_type;
        config.model_type += "_text";
        if (const auto inner = text->find("model_type"); inner != text->end())
            config.model_type = from_json<std::string>(*inner, where + "/model_type");
        family = load_family(config.model_type);
        config.notes.push_back("text model of " + shown(config.umbrella) +
                               "; its other towers are left out");
    }

    KeyReader reader{*text, where, {}};
    read_checkpoint_dtype(*text, where, outer, config);
    for (const auto* part : {text, &outer}) {
        if (const auto quantised = part->find("quantization_config"); quantised != part->end()) {
            const auto& place = part == text ? where : source;
            read_quantisation(*quantised, place + "/quantization_config", config);
            break;
        }
    }
    if (family) {
        read_by_family(*family, reader, config);
    } else {
        read_usual_sizes(reader, config);
    }
    if (const auto tied = outer.find("tie_word_embeddings");
        text != &outer && tied != outer.end() && !text->contains("tie_word_embeddings")) {
        config.tied_embeddings = from_json<bool>(*tied, source + "/tie_word_embeddings");
    }
    return config;
}

namespace {

bool is_preset(const std::string& name) {
    const auto presets = preset_names();
    return std::binary_search(presets.begin(), presets.end(), name);
}

std::string preset_path(const std::string& name) {
    return resource_path(std::string(kPresets) + "/" + name + ".json");
}

}  // namespace

ModelConfig load_model_config(const std::string& model) {
    if (is_preset(model)) return read_model_config(load_json(preset_path(model)), model);
    std::error_code ignored;
    if (fs::is_directory(model, ignored)) {
        const auto path = (fs::path(model) / "config.json").string();
        return read_model_config(load_json(path), path);
    }
    const bool path_like = model.find('/') != std::string::npos || model.ends_with(".json");
    if (path_like || fs::exists(model, ignored)) return read_model_config(load_json(model), model);
    const auto nearest = did_you_mean(model, preset_names());
    throw Error(
        "MODEL",
        fmt::format("\"{}\" is no preset, no config.json and no directory with one", shown(model)),
        nearest.empty() ? "see tplan models" : nearest);
}

bool names_module(std::string_view pattern, std::string_view module) {
    return module.starts_with(pattern) || module.ends_with(pattern);
}

std::string repository_of(const std::string& source) {
    if (is_preset(source)) return load_json(preset_path(source)).value("repository", source);
    const fs::path path(source);
    if (path.extension() != ".json") return source;
    return path.has_parent_path() ? path.parent_path().string() : ".";
}

std::vector<std::string> preset_names() {
    return resource_names(kPresets);
}

}  // namespace tplan
