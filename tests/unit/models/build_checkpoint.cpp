#include "models/build.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_configs.h"

using namespace tplan;

namespace {

using Names = std::vector<std::string>;

/// Names on disk of the tensor `name` in the last layer or outside the layers.
Names on_disk(const Model& model, const std::string& name) {
    for (auto block = model.blocks.rbegin(); block != model.blocks.rend(); ++block) {
        for (const auto& tensor : block->tensors) {
            if (tensor.name == name) return tensor.checkpoint_names;
        }
    }
    throw std::out_of_range("no tensor " + name);
}

Model tiny(const std::string& family, const Json& changes = Json::object()) {
    auto document = test::tiny_config(family);
    for (const auto& [key, value] : changes.items()) document[key] = value;
    return build_model(read_model_config(document, "tiny"));
}

}  // namespace

TEST_CASE("checkpoint: a tensor stored under its own name needs no other") {
    for (const auto& block : tiny("llama").blocks) {
        for (const auto& tensor : block.tensors) CHECK(tensor.checkpoint_names.empty());
    }
}

TEST_CASE("checkpoint: packed experts come apart by expert and half") {
    const auto qwen = tiny("qwen3_moe");
    CHECK(on_disk(qwen, "mlp.experts.gate_up_proj") ==
          Names{"model.layers.*.mlp.experts.*.gate_proj.weight",
                "model.layers.*.mlp.experts.*.up_proj.weight"});
    CHECK(on_disk(qwen, "mlp.gate.weight").empty());
    const auto mixtral = tiny("mixtral");
    CHECK(on_disk(mixtral, "mlp.experts.down_proj") ==
          Names{"model.layers.*.block_sparse_moe.experts.*.w2.weight"});
    CHECK(on_disk(mixtral, "mlp.gate.weight") ==
          Names{"model.layers.*.block_sparse_moe.gate.weight"});
}

TEST_CASE("checkpoint: scales go where their weights go") {
    const auto model =
        tiny("qwen3_moe",
             {{"quantization_config", {{"quant_method", "fp8"}, {"weight_block_size", {16, 16}}}}});
    CHECK(on_disk(model, "mlp.experts.down_proj_scale_inv") ==
          Names{"model.layers.*.mlp.experts.*.down_proj.weight_scale_inv"});
    CHECK(on_disk(model, "self_attn.q_proj.weight_scale_inv").empty());
}

TEST_CASE("checkpoint: mxfp4 is values and scales") {
    const auto model = tiny("gpt_oss", {{"quantization_config", {{"quant_method", "mxfp4"}}}});
    CHECK(on_disk(model, "mlp.experts.down_proj") ==
          Names{"model.layers.*.mlp.experts.down_proj_blocks",
                "model.layers.*.mlp.experts.down_proj_scales"});
    CHECK(on_disk(tiny("gpt_oss"), "mlp.experts.down_proj").empty());
}

TEST_CASE("checkpoint: renamed modules and umbrellas") {
    CHECK(on_disk(tiny("gpt_neox"), "lm_head.weight") == Names{"embed_out.weight"});
    const auto gemma = build_model(load_model_config("gemma-3-27b"));
    CHECK(on_disk(gemma, "self_attn.q_proj.weight") ==
          Names{"language_model.model.layers.*.self_attn.q_proj.weight"});
    CHECK(on_disk(gemma, "model.language_model.norm.weight") ==
          Names{"language_model.model.norm.weight"});
    CHECK(on_disk(gemma, "lm_head.weight").empty());  // tied: not on disk
    CHECK(on_disk(tiny("gemma3_text"), "self_attn.q_proj.weight").empty());
}
