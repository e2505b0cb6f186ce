#include "models/build.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_configs.h"

using namespace tplan;
using Catch::Matchers::Contains;

namespace {

Model quantised(const std::string& family, const Json& quantisation) {
    auto document = test::tiny_config(family);
    document["quantization_config"] = quantisation;
    return build_model(read_model_config(document, "tiny"));
}

const Tensor* find_tensor(const Block& block, const std::string& name) {
    for (const auto& tensor : block.tensors) {
        if (tensor.name == name) return &tensor;
    }
    return nullptr;
}

const Json kAwq = {{"quant_method", "awq"}, {"bits", 4}, {"group_size", 32}};
const Json kGptq = {{"quant_method", "gptq"}, {"bits", 8}, {"group_size", 32}, {"desc_act", true}};
const Json kBlocks = {{"quant_method", "fp8"}, {"weight_block_size", {16, 48}}};

}  // namespace

TEST_CASE("quantised: fp8 linears of the layers get one scale per block, rounded up") {
    const auto model = quantised("llama", kBlocks);
    const auto& layer = model.blocks[1];
    const auto* weight = find_tensor(layer, "mlp.down_proj.weight");  // [64, 128]
    REQUIRE(weight);
    CHECK(weight->dtype == DType::fp8);
    CHECK(weight->quant_block == std::array<std::int64_t, 2>{16, 48});
    const auto* scales = find_tensor(layer, "mlp.down_proj.weight_scale_inv");
    REQUIRE(scales);
    CHECK(scales->shape == std::vector<std::int64_t>{4, 3});
    CHECK(scales->axes == std::vector<Axis>{Axis::block, Axis::block});
    CHECK(scales->dtype == DType::fp32);
    CHECK(scales->scales_of == "mlp.down_proj.weight");
}

TEST_CASE("quantised: norms, embedding, head and router stay as they are") {
    const auto model = quantised("qwen3_moe", kBlocks);
    CHECK(model.blocks.front().tensors[0].dtype == DType::fp32);
    CHECK(find_tensor(model.blocks.back(), "lm_head.weight")->dtype == DType::fp32);
    const auto& sparse = model.blocks[2];
    CHECK(find_tensor(sparse, "input_layernorm.weight")->dtype == DType::fp32);
    CHECK(find_tensor(sparse, "mlp.gate.weight")->dtype == DType::fp32);
    CHECK(find_tensor(sparse, "mlp.experts.gate_up_proj")->dtype == DType::fp8);  // [8, 64, 64]
    const auto* scales = find_tensor(sparse, "mlp.experts.gate_up_proj_scale_inv");
    REQUIRE(scales);
    CHECK(scales->shape == std::vector<std::int64_t>{8, 4, 2});
    CHECK(scales->axes == std::vector<Axis>{Axis::experts, Axis::block, Axis::block});
    CHECK(scales->packed_halves == 2);
}

TEST_CASE("quantised: modules the checkpoint leaves alone keep its dtype") {
    auto config = kBlocks;
    config["modules_to_not_convert"] = {"model.layers.*.self_attn", "down_proj"};
    const auto model = quantised("llama", config);
    const auto& layer = model.blocks[1];
    CHECK(find_tensor(layer, "self_attn.q_proj.weight")->dtype == DType::fp32);
    CHECK(find_tensor(layer, "mlp.down_proj.weight")->dtype == DType::fp32);
    CHECK(find_tensor(layer, "mlp.up_proj.weight")->dtype == DType::fp8);
    CHECK_FALSE(find_tensor(layer, "mlp.down_proj.weight_scale_inv"));

    // named layer by layer: all of them, or an Error
    config["modules_to_not_convert"] = {"model.layers.0.mlp.up_proj", "model.layers.1.mlp.up_proj"};
    CHECK(find_tensor(quantised("llama", config).blocks[1], "mlp.up_proj.weight")->dtype ==
          DType::fp32);
    config["modules_to_not_convert"] = {"model.layers.0.mlp.up_proj"};
    CHECK_THROWS_WITH(quantised("llama", config),
                      Contains("quantization_config/modules_to_not_convert"));
}

TEST_CASE("quantised: mxfp4 packs the experts and nothing else") {
    const auto model = quantised("gpt_oss", {{"quant_method", "mxfp4"}});
    const auto& layer = model.blocks[1];
    CHECK(find_tensor(layer, "mlp.experts.gate_up_proj")->dtype == DType::mxfp4);
    CHECK(find_tensor(layer, "mlp.experts.down_proj")->dtype == DType::mxfp4);
    CHECK(find_tensor(layer, "mlp.experts.down_proj_bias")->dtype == DType::fp32);
    CHECK(find_tensor(layer, "self_attn.q_proj.weight")->dtype == DType::fp32);
}

TEST_CASE("quantised: a method without a graph is refused by name") {
    CHECK_THROWS_WITH(quantised("llama", {{"quant_method", "exl2"}, {"bits", 4}}),
                      Contains("quantization_config/quant_method") && Contains("exl2"));
    // Conv1D weights are [in, out].
    CHECK_THROWS_WITH(quantised("gpt2", kAwq), Contains("[in, out]"));
    CHECK_THROWS_WITH(quantised("llama", {{"quant_method", "fp8"}}), Contains("weight_block_size"));
}

TEST_CASE("quantised: awq is four-bit weights with scales and zero points of their groups") {
    const auto model = quantised("llama", kAwq);
    const auto& layer = model.blocks[1];
    const auto* weight = find_tensor(layer, "mlp.down_proj.qweight");
    REQUIRE(weight);
    CHECK(weight->shape == std::vector<std::int64_t>{64, 128});
    CHECK(weight->dtype == DType::int4);
    CHECK(weight->quant_block == std::array<std::int64_t, 2>{8, 32});  // 8 in a word, groups of 32
    const auto* scales = find_tensor(layer, "mlp.down_proj.scales");
    REQUIRE(scales);
    CHECK(scales->shape == std::vector<std::int64_t>{64, 4});
    CHECK(scales->axes == std::vector<Axis>{Axis::hidden, Axis::block});
    CHECK(scales->dtype == DType::fp16);
    CHECK(scales->scales_of == weight->name);
    const auto* zeros = find_tensor(layer, "mlp.down_proj.qzeros");
    REQUIRE(zeros);
    CHECK(zeros->shape == scales->shape);
    CHECK(zeros->dtype == DType::int4);
    CHECK_FALSE(find_tensor(layer, "mlp.down_proj.g_idx"));
    CHECK_FALSE(find_tensor(layer, "mlp.down_proj.weight"));
    CHECK(find_tensor(layer, "input_layernorm.weight")->dtype == DType::fp32);
    CHECK(find_tensor(model.blocks.back(), "lm_head.weight")->dtype == DType::fp32);
}

TEST_CASE("quantised: gptq keeps each column's group; reordered columns want all scales") {
    const auto model = quantised("llama", kGptq);
    const auto& layer = model.blocks[1];
    const auto* weight = find_tensor(layer, "mlp.down_proj.qweight");
    REQUIRE(weight);
    CHECK(weight->dtype == DType::int8);
    CHECK(weight->quant_block == std::array<std::int64_t, 2>{4, 4});
    CHECK(find_tensor(layer, "mlp.down_proj.scales")->axes.back() == Axis::other);
    const auto* order = find_tensor(layer, "mlp.down_proj.g_idx");
    REQUIRE(order);
    CHECK(order->shape == std::vector<std::int64_t>{128});
    CHECK(order->dtype == DType::int32);
    auto one_group = kGptq;
    one_group["group_size"] = -1;
    one_group["desc_act"] = false;
    const auto whole = quantised("llama", one_group);
    CHECK(find_tensor(whole.blocks[1], "mlp.down_proj.scales")->shape ==
          std::vector<std::int64_t>{64, 1});
}

TEST_CASE("quantised: experts in integers, by their names on disk") {
    const auto model = quantised("mixtral", kAwq);
    const auto& layer = model.blocks[1];
    const auto* weight = find_tensor(layer, "mlp.experts.down_proj");  // [8, 64, 128]
    REQUIRE(weight);
    CHECK(weight->dtype == DType::int4);
    CHECK(weight->checkpoint_names ==
          std::vector<std::string>{"model.layers.*.block_sparse_moe.experts.*.w2.qweight"});
    const auto* scales = find_tensor(layer, "mlp.experts.down_proj_scales");
    REQUIRE(scales);
    CHECK(scales->shape == std::vector<std::int64_t>{8, 64, 4});
    CHECK(scales->checkpoint_names ==
          std::vector<std::string>{"model.layers.*.block_sparse_moe.experts.*.w2.scales"});
}

TEST_CASE("quantised: Llama 3.1 8B in awq has its 8.03e9 parameters in 5.73 GB") {
    const auto model = build_model(load_model_config("llama-3.1-8b-awq"));
    CHECK(parameter_count(model) == 8'030'261'248);
    // A layer: q and o 4096 x 4096, k and v 1024 x 4096, gate, up and down 14336 x 4096. Embedding
    // and head 128256 x 4096, norms 65 x 4096, two bytes each.
    const double integers = 32.0 * (2 * 4096 * 4096 + 2 * 1024 * 4096 + 3.0 * 14336 * 4096);
    const double others = 2 * 128256.0 * 4096 + 65 * 4096;
    CHECK(weight_bytes(model) == integers / 2 + integers / 128 * (2 + 0.5) + others * 2);
    CHECK(weight_bytes(model) == 5'727'854'592);
}

TEST_CASE("quantised: what integers have no graph for is refused by its key") {
    const auto refused = [](Json quantisation, const char* key, const Json& value) {
        quantisation[key] = value;
        INFO(key);
        CHECK_THROWS_WITH(quantised("llama", quantisation),
                          Contains(std::string("quantization_config/") + key));
    };
    refused(kAwq, "bits", 8);
    refused(kAwq, "bits", "four");
    refused(kAwq, "group_size", 100);
    refused(kAwq, "version", "gemv");
    refused(kGptq, "bits", 3);
    refused(kGptq, "desc_act", "yes");
    refused(kGptq, "dynamic", {{"-:.*down.*", Json::object()}});
    refused(kGptq, "lm_head", true);
    refused(kGptq, "checkpoint_format", "marlin");
    CHECK_THROWS_WITH(quantised("llama", {{"quant_method", "awq"}, {"bits", 4}}),
                      Contains("quantization_config/group_size: missing key"));
}
