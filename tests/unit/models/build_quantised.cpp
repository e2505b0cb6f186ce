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
    CHECK_THROWS_WITH(quantised("llama", {{"quant_method", "awq"}, {"bits", 4}}),
                      Contains("quantization_config/quant_method") && Contains("awq"));
    CHECK_THROWS_WITH(quantised("llama", {{"quant_method", "fp8"}}), Contains("weight_block_size"));
}
