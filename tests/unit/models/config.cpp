#include "models/config.h"

#include <algorithm>

#include "models/build.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_configs.h"

using namespace tplan;
using Catch::Matchers::Contains;

namespace {

std::string message(auto&& call) {
    try {
        call();
    } catch (const Error& error) {
        return error.what();
    }
    return {};
}

ModelConfig read(const std::string& family, const Json& changes = Json::object()) {
    auto document = test::tiny_config(family);
    for (const auto& [key, value] : changes.items()) document[key] = value;
    return read_model_config(document, "config.json");
}

/// The message for a tiny config of `family` with `key` set to the JSON text `value`.
std::string refusal(const std::string& family, const std::string& key, const std::string& value) {
    return message([&] { read(family, Json{{key, parse_json(value, "test")}}); });
}

bool noted(const ModelConfig& config, const std::string& text) {
    return std::any_of(config.notes.begin(), config.notes.end(),
                       [&](const auto& note) { return note.find(text) != note.npos; });
}

}  // namespace

TEST_CASE("config: a preset, the path of a file and a directory give the same model") {
    const auto preset = load_model_config("qwen3-0.6b");
    CHECK(preset.source == "qwen3-0.6b");
    CHECK(preset.family == "qwen3");
    CHECK(preset.hidden == 1024);
    CHECK(preset.layers == 28);
    CHECK(preset.heads == 16);
    CHECK(preset.kv_heads == 8);
    CHECK(preset.head_dim == 128);
    CHECK(preset.ffn == 3072);
    CHECK(preset.vocab == 151936);
    CHECK(preset.max_positions == 40960);
    CHECK(preset.tied_embeddings);
    CHECK(preset.dtype == DType::bf16);
    CHECK(preset.notes.empty());
    CHECK_FALSE(preset.document.contains("schema"));  // the config itself, without its wrapping

    const test::TempDir folder;
    const auto path = folder.file("config.json", json_text(preset.document));
    for (const auto& model : {path, folder.path()}) {
        const auto config = load_model_config(model);
        CHECK(config.source == path);
        CHECK(config.document == preset.document);
        CHECK(build_model(config) == build_model(preset));
    }
    const auto wrapped = folder.file("preset.json", json_text(Json{{"schema", "tplan.preset/1"},
                                                                   {"source", "x"},
                                                                   {"repository", "a/b"},
                                                                   {"config", preset.document}}));
    CHECK(build_model(load_model_config(wrapped)) == build_model(preset));
    // What other tools load it by.
    CHECK(repository_of("qwen3-0.6b") == "Qwen/Qwen3-0.6B");
    CHECK(repository_of(path) == folder.path());
}

TEST_CASE("config: every preset names its source and reads without passing over a shape") {
    CHECK(preset_names().size() >= 32);
    for (const auto& name : preset_names()) {
        INFO(name);
        const auto config = load_model_config(name);
        CHECK_FALSE(config.family.empty());
        CHECK(config.layer_traits.size() == static_cast<std::size_t>(config.layers));
        CHECK_FALSE(noted(config, "class default"));
    }
}

TEST_CASE("config: what is no model is refused with the nearest preset") {
    CHECK_THAT(message([] { load_model_config("llama-3.1-9b"); }),
               Contains("did you mean \"llama-3.1-8b\"?"));
    CHECK_THAT(message([] { load_model_config("zzzzzzzzzzzzzzzz"); }), Contains("tplan models"));
    CHECK_THAT(message([] { load_model_config(""); }), Contains("no preset"));
    CHECK_THAT(message([] { load_model_config("/no/such/config.json"); }),
               Contains("/no/such/config.json: cannot be read"));
    const test::TempDir folder;
    CHECK_THAT(message([&] { load_model_config(folder.path()); }),
               Contains("/config.json: cannot be read"));
}

TEST_CASE("config: an unreadable document names the file") {
    const test::TempDir folder;
    const auto load = [&](std::string_view text) {
        return message([&] { load_model_config(folder.file("config.json", text)); });
    };
    CHECK_THAT(load("[1]"), Contains("expected an object"));
    CHECK_THAT(load("{\"model_type\": \"llama\""), Contains("config.json, line 1"));
    CHECK_THAT(load("{}"), Contains("config.json/model_type: missing key"));
    CHECK_THAT(load("{\"model_type\": 3}"), Contains("config.json/model_type: expected a string"));
    CHECK_THAT(load("{\"model_type\": \"llama\", \"model_type\": \"llama\"}"),
               Contains("duplicate key"));
    CHECK_THAT(load("{\"schema\": \"tplan.preset/1\"}"), Contains("/source: missing key"));
}

TEST_CASE("config: a size of the wrong type or out of range names its key") {
    CHECK(refusal("llama", "num_hidden_layers", "3.7") ==
          "config.json/num_hidden_layers: expected an integer from 1 to 10000, got 3.7");
    const std::vector<std::string> bad = {"3.0",        "true", "null",  "\"8\"",
                                          "[8]",        "{}",   "0",     "-8",
                                          "2147483649", "1e3",  "1e300", "9223372036854775808"};
    for (const auto& value : bad) {
        for (const auto* key : {"hidden_size", "num_attention_heads", "vocab_size",
                                "max_position_embeddings", "num_hidden_layers"}) {
            INFO(key << " " << value);
            CHECK_THAT(refusal("llama", key, value),
                       Contains(std::string("config.json/") + key + ": expected an integer"));
        }
    }
    CHECK_THAT(refusal("llama", "num_hidden_layers", "10001"), Contains("from 1 to 10000"));
    CHECK(read("llama", {{"num_hidden_layers", 10000}}).layers == 10000);
    CHECK(read("llama", {{"vocab_size", 2147483648}}).vocab == 2147483648);
    CHECK_THAT(refusal("llama", "num_key_value_heads", "0"), Contains("num_key_value_heads"));
    CHECK_THAT(refusal("llama", "head_dim", "0"), Contains("head_dim"));
    CHECK_THAT(refusal("mistral", "sliding_window", "0"), Contains("sliding_window"));
    CHECK_THAT(refusal("mixtral", "num_local_experts", "-1"), Contains("num_local_experts"));
    CHECK_THAT(refusal("deepseek_v3", "kv_lora_rank", "null"), Contains("kv_lora_rank"));
}

TEST_CASE("config: numbers, flags and names of the wrong type name their key") {
    CHECK_THAT(refusal("llama", "rms_norm_eps", "0"), Contains("rms_norm_eps: expected a number"));
    CHECK_THAT(refusal("llama", "rms_norm_eps", "true"), Contains("rms_norm_eps"));
    CHECK_THAT(refusal("llama", "rope_theta", "\"1e4\""), Contains("rope_theta"));
    CHECK_THAT(refusal("llama", "tie_word_embeddings", "1"),
               Contains("tie_word_embeddings: expected true or false, got 1"));
    CHECK_THAT(refusal("llama", "attention_bias", "null"), Contains("attention_bias"));
    CHECK_THAT(refusal("llama", "hidden_act", "7"), Contains("hidden_act"));
    CHECK_THAT(refusal("llama", "torch_dtype", "\"int8\""), Contains("torch_dtype"));
    CHECK_THAT(refusal("phi", "partial_rotary_factor", "1.5"), Contains("partial_rotary_factor"));
    CHECK_THAT(refusal("qwen3_moe", "mlp_only_layers", "[0.5]"), Contains("mlp_only_layers/0"));
}

TEST_CASE("config: null stands for none where transformers allows it") {
    const auto config = read("llama", {{"num_key_value_heads", nullptr}, {"head_dim", nullptr}});
    CHECK(config.kv_heads == 4);
    CHECK(config.head_dim == 16);
    CHECK(read("gpt2", {{"n_inner", nullptr}}).ffn == 256);
    CHECK(read("gemma2", {{"attn_logit_softcapping", nullptr}}).settings.attention_softcap == 0);
    CHECK(read("deepseek_v3", {{"q_lora_rank", nullptr}}).q_lora_rank == 0);
    CHECK_FALSE(read("mistral", {{"sliding_window", nullptr}}).layer_traits[0].sliding);
    CHECK(read("llama", {{"rope_scaling", nullptr}, {"quantization_config", nullptr}}).layers == 2);
}

TEST_CASE("config: sizes that contradict each other are refused") {
    CHECK_THAT(refusal("llama", "num_attention_heads", "6"),
               Contains("config.json/num_attention_heads: hidden size 64 is not a multiple of 6"));
    CHECK_THAT(refusal("llama", "num_key_value_heads", "3"),
               Contains("config.json/num_key_value_heads: 4 attention heads are not a multiple"));
    CHECK_THAT(refusal("mixtral", "num_experts_per_tok", "9"), Contains("num_experts_per_tok"));
    CHECK_THAT(message([] {
                   read("gpt2", {{"hidden_size", 32}});
               }),
               Contains("config.json/hidden_size: 32 contradicts config.json/n_embd"));
    CHECK(read("gpt2", {{"hidden_size", 64}}).hidden == 64);
}

TEST_CASE("config: an absent key takes the class default, and a shape says so") {
    auto document = test::tiny_config("llama");
    document.erase("vocab_size");
    document.erase("max_position_embeddings");
    document.erase("torch_dtype");
    const auto config = read_model_config(document, "config.json");
    CHECK(config.vocab == 32000);
    CHECK(config.max_positions == 2048);
    CHECK(noted(config, "no vocab_size: the class default 32000 is taken"));
    CHECK(noted(config, "no torch_dtype: weights are taken as bf16"));
    CHECK(read("gemma2", {{"torch_dtype", "torch.float16"}}).dtype == DType::fp16);
    CHECK_FALSE(read_model_config({{"model_type", "llama"}}, "config.json").tied_embeddings);
    CHECK(read_model_config({{"model_type", "gemma2"}}, "config.json").tied_embeddings);
}

TEST_CASE("config: keys that change the graph and are not supported are refused") {
    CHECK_THAT(refusal("llama", "hidden_act", "\"mish\""),
               Contains("config.json/hidden_act: activation \"mish\" has no graph"));
    CHECK_THAT(refusal("llama", "hidden_act", "\"sillu\""), Contains("did you mean \"silu\"?"));
    CHECK_THAT(refusal("falcon", "alibi", "true"), Contains("config.json/alibi"));
    CHECK_THAT(refusal("gpt2", "scale_attn_by_inverse_layer_idx", "true"),
               Contains("scale_attn_by_inverse_layer_idx"));
    CHECK_THAT(refusal("gpt2", "add_cross_attention", "true"), Contains("add_cross_attention"));
    CHECK_THAT(refusal("llama", "is_encoder_decoder", "true"), Contains("is_encoder_decoder"));
    CHECK_THAT(refusal("deepseek_v3", "moe_layer_freq", "2"), Contains("moe_layer_freq"));
    CHECK_THAT(refusal("gpt_oss", "swiglu_limit", "5.0"), Contains("swiglu_limit"));
    CHECK_THAT(refusal("gemma3_text", "use_bidirectional_attention", "true"),
               Contains("use_bidirectional_attention"));
    CHECK_THAT(
        message([] {
            read("falcon", {{"new_decoder_architecture", false}, {"num_ln_in_parallel_attn", 2}});
        }),
        Contains("num_ln_in_parallel_attn"));
    CHECK(refusal("falcon", "alibi", "false").empty());
    CHECK_THAT(refusal("falcon", "apply_residual_connection_post_layernorm", "true"),
               Contains("config.json/apply_residual_connection_post_layernorm"));
    CHECK_THAT(refusal("gemma", "hidden_activation", "\"silu\""), Contains("hidden_activation"));
}

TEST_CASE("config: usually harmless keys are refused where their value changes the graph") {
    CHECK_THAT(refusal("llama", "pruned_heads", R"({"0": [1]})"),
               Contains("config.json/pruned_heads: {\"0\":[1]} has no graph"));
    CHECK_THAT(refusal("llama", "pretraining_tp", "2"), Contains("config.json/pretraining_tp"));
    CHECK_THAT(refusal("qwen3", "chunk_size_feed_forward", "128"),
               Contains("config.json/chunk_size_feed_forward"));
    CHECK_THAT(refusal("llama", "cross_attention_hidden_size", "64"),
               Contains("cross_attention_hidden_size"));
    CHECK_THAT(refusal("llama", "tie_encoder_decoder", "true"), Contains("tie_encoder_decoder"));
    for (const auto& [key, value] :
         {std::pair{"pruned_heads", "{}"}, std::pair{"pretraining_tp", "1"},
          std::pair{"chunk_size_feed_forward", "0"}, std::pair{"is_encoder_decoder", "false"}}) {
        INFO(key);
        CHECK(refusal("llama", key, value).empty());
        CHECK_FALSE(noted(read("llama", {{key, Json::parse(value)}}), key));
    }
}

TEST_CASE("config: other keys are named in one note") {
    const auto config = read("llama", {{"mystery", 1}, {"temperature", 0.5}, {"riddle", {1, 2}}});
    CHECK(noted(config, "keys passed over: mystery, riddle"));
    CHECK_FALSE(noted(config, "temperature"));
    Json many = Json::object();
    for (int i = 0; i < 1000; ++i) many["key_" + std::to_string(i)] = i;
    const auto crowded = read("llama", many);
    CHECK(noted(crowded, "and 980 more"));
    CHECK(crowded.notes.size() == 1);
}

TEST_CASE("config: an umbrella gives its text model") {
    const auto config = load_model_config("gemma-3-27b");
    CHECK(config.umbrella == "gemma3");
    CHECK(config.model_type == "gemma3_text");
    CHECK(config.family == "gemma3_text");
    CHECK(config.layers == 62);
    CHECK(config.dtype == DType::bf16);  // stands outside text_config
    CHECK(config.tied_embeddings);

    Json nested = {{"model_type", "new_vlm"}, {"text_config", test::tiny_config("llama")}};
    nested["text_config"].erase("tie_word_embeddings");
    nested["tie_word_embeddings"] = true;
    const auto other = read_model_config(nested, "config.json");
    CHECK(other.umbrella == "new_vlm");
    CHECK(other.family == "llama");
    CHECK(other.tied_embeddings);

    nested["text_config"]["torch_dtype"] = "int3";
    CHECK_THAT(message([&] { read_model_config(nested, "config.json"); }),
               Contains("config.json/text_config/torch_dtype"));
    nested["text_config"]["torch_dtype"] = "bfloat16";
    nested["text_config"]["quantization_config"] = {{"quant_method", "unheard_of"}};
    CHECK_THAT(message([&] { build_model(read_model_config(nested, "config.json")); }),
               Contains("quantization_config"));
    nested["text_config"].erase("quantization_config");
    nested["text_config"]["hidden_size"] = 0;
    CHECK_THAT(message([&] { read_model_config(nested, "config.json"); }),
               Contains("config.json/text_config/hidden_size"));
    nested["text_config"] = 3;
    CHECK_THAT(message([&] { read_model_config(nested, "config.json"); }),
               Contains("config.json/text_config: expected an object"));
}

TEST_CASE("config: a type without a graph keeps the sizes that its usual keys give") {
    const Json document = {
        {"model_type", "dbrx_like"}, {"d_model", 512},     {"n_heads", 8},
        {"num_hidden_layers", 4},    {"vocab_size", 1000}, {"num_local_experts", 16},
        {"head_dim", nullptr}};
    const auto config = read_model_config(document, "config.json");
    CHECK(config.family.empty());
    CHECK(config.model_type == "dbrx_like");
    CHECK(config.hidden == 512);
    CHECK(config.heads == 8);
    CHECK(config.layers == 4);
    CHECK(config.vocab == 1000);
    CHECK(config.experts == 16);
    CHECK(config.kv_heads == 0);
    CHECK(config.head_dim == 0);
    CHECK(config.ffn == 0);
    auto bad = document;
    bad["n_heads"] = -8;
    CHECK_THAT(message([&] { read_model_config(bad, "config.json"); }),
               Contains("config.json/n_heads: expected an integer"));
}

TEST_CASE("config: a device_map is remembered") {
    CHECK(read("llama", {{"device_map", "auto"}}).device_map);
    CHECK_FALSE(read("llama", {{"device_map", nullptr}}).device_map);
    CHECK_FALSE(read("llama").device_map);
}

TEST_CASE("config: models too large to count are refused") {
    const Json huge = {{"hidden_size", 2147483648},
                       {"intermediate_size", 2147483648},
                       {"num_local_experts", 2147483648}};
    CHECK_THROWS_AS(build_model(read("mixtral", huge)), Error);
    CHECK_THROWS_AS(build_model(read("llama", {{"hidden_size", 2147483648}})), Error);
    CHECK_THROWS_AS(build_model(read("llama", {{"head_dim", 2147483648}})), Error);
    CHECK_THROWS_AS(read("deepseek_v3", {{"n_shared_experts", 2147483648}}), Error);
}
