// Layer kinds, rotary embedding and quantisation of a config.json.
#include <algorithm>

#include "models/config.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_configs.h"

using namespace tplan;
using Catch::Matchers::Contains;

namespace {

ModelConfig read(const std::string& family, const Json& changes = Json::object()) {
    auto document = test::tiny_config(family);
    for (const auto& [key, value] : changes.items()) document[key] = value;
    return read_model_config(document, "config.json");
}

std::string message(const std::string& family, const Json& changes) {
    try {
        read(family, changes);
    } catch (const Error& error) {
        return error.what();
    }
    return {};
}

/// One letter a layer: s for sliding, f for full attention.
std::string sliding(const ModelConfig& config) {
    std::string text;
    for (const auto& layer : config.layer_traits) text += layer.sliding ? 's' : 'f';
    return text;
}

/// One letter a layer: e for experts, d for dense.
std::string sparse(const ModelConfig& config) {
    std::string text;
    for (const auto& layer : config.layer_traits) text += layer.sparse ? 'e' : 'd';
    return text;
}

}  // namespace

TEST_CASE("layers: which slide follows the family's rule") {
    CHECK(sliding(read("llama", {{"sliding_window", 8}})) == "ff");
    CHECK(sliding(read("mistral")) == "ss");
    CHECK(sliding(read("gemma2", {{"num_hidden_layers", 4}})) == "sfsf");
    CHECK(sliding(read("gemma3_text")) == "ssfssf");
    CHECK(sliding(read("gpt_oss")) == "sf");
    CHECK(sliding(read("qwen2")) == "ffss");
    CHECK(sliding(read("qwen2", {{"use_sliding_window", false}})) == "ffff");
    CHECK(sliding(read("qwen2_moe", {{"num_hidden_layers", 5},
                                     {"use_sliding_window", true},
                                     {"max_window_layers", 4}})) == "sfsff");
    CHECK(sliding(read("qwen3_moe", {{"use_sliding_window", true}})) == "ssss");
}

TEST_CASE("layers: layer_types has the last word") {
    const Json types = {"full_attention", "sliding_attention"};
    CHECK(sliding(read("gemma2", {{"layer_types", types}})) == "fs");
    CHECK(sliding(read("gemma2", {{"layer_types", types}, {"sliding_window", nullptr}})) == "ff");
    CHECK_THAT(message("gemma2", {{"layer_types", {"full_attention"}}}),
               Contains("config.json/layer_types: expected an array of 2"));
    CHECK_THAT(message("gemma2", {{"layer_types", {"full_attention", "chunked_attention"}}}),
               Contains("config.json/layer_types/1"));
    CHECK_THAT(message("gemma2", {{"layer_types", {"full_attention", 1}}}),
               Contains("config.json/layer_types/1"));
}

TEST_CASE("layers: which are sparse follows the family's keys") {
    CHECK(sparse(read("llama")) == "dd");
    CHECK(sparse(read("mixtral")) == "ee");
    CHECK(sparse(read("deepseek_v3")) == "dee");
    CHECK(sparse(read("deepseek_v3", {{"first_k_dense_replace", 0}})) == "eee");
    CHECK(sparse(read("qwen2_moe")) == "ede");
    CHECK(sparse(read("qwen3_moe")) == "dede");
    CHECK(sparse(read("qwen3_moe", {{"mlp_only_layers", {3}}})) == "dedd");
}

TEST_CASE("rope: scaling types are read, noted or refused") {
    const auto linear = read("llama", {{"rope_scaling", {{"type", "linear"}, {"factor", 4.0}}}});
    CHECK(linear.settings.rope_position_scale == 4);
    CHECK(linear.notes.empty());
    for (const auto* type : {"llama3", "yarn", "longrope", "dynamic"}) {
        const auto config =
            read("llama", {{"rope_scaling", {{"rope_type", type}, {"factor", 8.0}}}});
        CHECK(config.settings.rope_position_scale == 1);
        REQUIRE(config.notes.size() == 1);
        CHECK_THAT(config.notes[0], Contains(type));
    }
    CHECK_THAT(message("llama", {{"rope_scaling", {{"rope_type", "spiral"}, {"factor", 8.0}}}}),
               Contains("config.json/rope_scaling/rope_type"));
    CHECK_THAT(message("llama", {{"rope_scaling", {{"rope_type", "linear"}}}}),
               Contains("config.json/rope_scaling/factor"));
    CHECK_THAT(message("llama", {{"rope_scaling", {{"rope_type", "linear"}, {"factor", -1}}}}),
               Contains("config.json/rope_scaling/factor"));
    CHECK_THAT(message("llama", {{"rope_scaling", "linear"}}),
               Contains("config.json/rope_scaling"));
}

TEST_CASE("rope: the newer rope_parameters carry theta and the rotated fraction") {
    const auto config = read(
        "phi",
        {{"rope_parameters",
          {{"rope_type", "default"}, {"rope_theta", 5000.0}, {"partial_rotary_factor", 0.25}}}});
    CHECK(config.settings.rope_theta == 5000);
    CHECK(config.settings.rotary_fraction == 0.25);
    const auto gemma = read(
        "gemma3_text",
        {{"rope_scaling", nullptr},
         {"rope_parameters",
          {{"full_attention", {{"rope_type", "linear"}, {"factor", 2.0}, {"rope_theta", 7000.0}}},
           {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", 300.0}}}}}});
    CHECK(gemma.settings.rope_theta == 7000);
    CHECK(gemma.settings.rope_position_scale == 2);
    CHECK(gemma.settings.rope_local_theta == 300);
}

TEST_CASE("quantisation: method and block are read, bad ones named") {
    const auto config = read(
        "llama",
        {{"quantization_config", {{"quant_method", "fp8"}, {"weight_block_size", {128, 64}}}}});
    CHECK(config.quant_method == "fp8");
    CHECK(config.quant_block == std::array<std::int64_t, 2>{128, 64});
    CHECK(read("llama").quant_method.empty());
    const auto refusal = [](const Json& quantisation) {
        return message("llama", {{"quantization_config", quantisation}});
    };
    CHECK_THAT(refusal(3), Contains("config.json/quantization_config: expected an object"));
    CHECK_THAT(refusal({{"bits", 4}}), Contains("quantization_config/quant_method: missing key"));
    CHECK_THAT(refusal({{"quant_method", "fp8"}, {"weight_block_size", {128}}}),
               Contains("quantization_config/weight_block_size"));
    CHECK_THAT(refusal({{"quant_method", "fp8"}, {"weight_block_size", {128, 0}}}),
               Contains("quantization_config/weight_block_size/1"));
    CHECK_THAT(refusal({{"quant_method", "fp8"}, {"modules_to_not_convert", {1}}}),
               Contains("quantization_config/modules_to_not_convert/0"));
}
