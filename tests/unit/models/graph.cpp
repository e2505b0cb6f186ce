#include "models/graph.h"

#include "tests/support/catch.h"

using namespace tplan;

namespace {

/// An embedding [10, 4], three layers with a weight [4, 4] each, and a tied head.
Model small_model() {
    Block embedding{.prefix = "model",
                    .tensors = {{.name = "embed_tokens.weight", .shape = {10, 4}}}};
    Block layer{
        .prefix = "model.layers.*",
        .tensors = {{.name = "mlp.weight", .shape = {4, 4}, .dtype = DType::fp8},
                    {.name = "mlp.weight_scale_inv", .shape = {2, 1}, .dtype = DType::fp32}}};
    Block head{.prefix = "",
               .tensors = {{.name = "lm_head.weight", .shape = {10, 4}, .tied = true}}};
    Model model;
    model.blocks = {embedding, layer, head};
    model.sequence = {{0, -1}, {1, 0}, {1, 1}, {1, 2}, {2, -1}};
    return model;
}

}  // namespace

TEST_CASE("graph: parameters count every layer, scales too, and tied weights once") {
    CHECK(parameter_count(small_model()) == 10 * 4 + 3 * (4 * 4 + 2));
}

TEST_CASE("graph: weight bytes follow each tensor's dtype") {
    CHECK(weight_bytes(small_model()) == 40 * 2 + 3 * (16 * 1 + 2 * 4));
}

TEST_CASE("graph: a tensor's full name carries the layer in place of the star") {
    const auto model = small_model();
    CHECK(full_name(model.blocks[1], model.blocks[1].tensors[0], 2) == "model.layers.2.mlp.weight");
    CHECK(full_name(model.blocks[1], model.blocks[1].tensors[0], -1) ==
          "model.layers.*.mlp.weight");
    CHECK(full_name(model.blocks[2], model.blocks[2].tensors[0], -1) == "lm_head.weight");
    CHECK(full_name(model.blocks[0], model.blocks[0].tensors[0], -1) ==
          "model.embed_tokens.weight");
}

TEST_CASE("graph: mxfp4 is 32 four-bit values and one scale byte") {
    CHECK(bytes_of(DType::mxfp4) * 32 == 17);
}
