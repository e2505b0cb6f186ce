#include "planner/column_cut.h"

#include "tests/support/catch.h"
#include "tests/unit/planner/programs.h"

using namespace tplan;
using namespace tplan::test;

namespace {

int activation_named(const Block& block, const std::string& name) {
    for (std::size_t i = 0; i < block.activations.size(); ++i) {
        if (block.activations[i].name == name) return static_cast<int>(i);
    }
    throw Error(name, "no such activation");
}

std::optional<Split> cut_of(const std::string& family, const std::string& name, int tp,
                            const Json& changes = Json::object()) {
    const auto model = build_model(tiny(family, changes));
    const auto& block = model.blocks[1];
    return column_cut(block, activation_named(block, name), tp);
}

}  // namespace

// tiny models: hidden 64, 4 heads of 16, ffn 128

TEST_CASE("column_cut: even shares are plain chunks") {
    CHECK(cut_of("llama", "self_attn.q_proj", 2) ==
          Split{.kind = SplitKind::chunk, .dim = 1, .parts = 2});
    CHECK(cut_of("llama", "self_attn.k_proj", 2) ==
          Split{.kind = SplitKind::chunk, .dim = 1, .parts = 2});
    CHECK(cut_of("llama", "mlp.gate_proj", 4) ==
          Split{.kind = SplitKind::chunk, .dim = 1, .parts = 4});
}

TEST_CASE("column_cut: KV heads are copied whole where the degree passes them") {
    CHECK(cut_of("llama", "self_attn.k_proj", 4) ==
          Split{.kind = SplitKind::grouped, .dim = 1, .parts = 4, .unit = 16});
    CHECK(cut_of("llama", "self_attn.k_proj", 3) ==
          Split{.kind = SplitKind::covering, .dim = 1, .parts = 3, .blocks = 2, .unit = 16});
}

TEST_CASE("column_cut: what does not divide is cut by heads and by 16 columns") {
    CHECK(cut_of("llama", "self_attn.q_proj", 3) ==
          Split{.kind = SplitKind::balanced, .dim = 1, .parts = 3, .unit = 16});
    CHECK(cut_of("llama", "mlp.gate_proj", 3) ==
          Split{.kind = SplitKind::balanced, .dim = 1, .parts = 3, .unit = 16});
    CHECK(cut_of("phi3", "mlp.gate_up_proj", 3) ==
          Split{.kind = SplitKind::packed, .dim = 1, .parts = 3, .unit = 16});
    CHECK(cut_of("phi3", "mlp.gate_up_proj", 2) ==
          Split{.kind = SplitKind::packed, .dim = 1, .parts = 2});
    CHECK(cut_of("phi3", "self_attn.qkv_proj", 2)->kind == SplitKind::qkv);
}

TEST_CASE("column_cut: a quantisation block is not cut") {
    auto model = build_model(tiny("llama"));
    auto& block = model.blocks[1];
    for (auto& tensor : block.tensors) {
        if (tensor.shape.size() == 2) tensor.quant_block = {32, 32};
    }
    // heads of 16 share blocks of 32: two ranks get 32 columns each, three cannot
    const int q = activation_named(block, "self_attn.q_proj");
    CHECK(column_cut(block, q, 2)->kind == SplitKind::chunk);
    CHECK_FALSE(column_cut(block, q, 4));
    CHECK_FALSE(column_cut(block, q, 3));
    const int gate = activation_named(block, "mlp.gate_proj");
    CHECK(column_cut(block, gate, 3)->unit == 32);
}
