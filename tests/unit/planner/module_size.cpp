#include "planner/module_size.h"

#include "tests/support/catch.h"
#include "tests/unit/planner/programs.h"

using namespace tplan;
using namespace tplan::test;

TEST_CASE("sizes by the last words of a key") {
    // hidden 64, 4 heads of 16, 2 KV heads, ffn 128, experts 32 wide, shared 32, vocabulary 256
    const auto config = tiny("glm4_moe");
    const auto check = [&](const char* pattern, ModulePart part, std::int64_t out,
                           std::int64_t in) {
        INFO(pattern);
        const auto size = module_size(config, pattern);
        CHECK(size.part == part);
        CHECK(size.out == out);
        CHECK(size.in == in);
    };
    check("layers.*.self_attn.q_proj", ModulePart::query_heads, 64, 64);
    check("layers.*.self_attn.k_proj.weight", ModulePart::kv_heads, 32, 64);
    check("layers.*.self_attn.o_proj", ModulePart::attention_output, 64, 64);
    check("layers.*.mlp.gate_proj", ModulePart::ffn, 128, 64);
    check("layers.*.mlp.down_proj", ModulePart::ffn, 64, 128);
    check("layers.*.mlp.experts.gate_up_proj", ModulePart::packed_ffn, 64, 64);
    check("layers.*.mlp.experts.down_proj", ModulePart::ffn, 64, 32);
    check("layers.*.mlp.shared_experts.up_proj", ModulePart::ffn, 32, 64);
    check("lm_head", ModulePart::vocabulary, 256, 64);
    check("layers.*.mlp.gate", ModulePart::unknown, 0, 0);
    // gate_proj below attention is an output gate per head, not an MLP
    CHECK(module_size(config, "layers.*.self_attn.gate_proj").part == ModulePart::query_heads);
    CHECK(module_size(config, "layers.*.mlp.experts.gate_up_proj").key == "moe_intermediate_size");
    CHECK(module_size(config, "layers.*.mlp.gate_proj").key == "intermediate_size");
}

TEST_CASE("latent attention: per head 16 + 8 for queries, 16 + 16 for keys and values") {
    const auto config = tiny("deepseek_v2");
    CHECK(module_size(config, "layers.*.self_attn.q_proj").out == 4 * 24);
    CHECK(module_size(config, "layers.*.self_attn.kv_b_proj").out == 4 * 32);
    CHECK(module_size(config, "layers.*.self_attn.o_proj").in == 4 * 16);
}

TEST_CASE("what the quantiser leaves alone is not block-quantised") {
    auto config = tiny("qwen3");
    CHECK(module_size(config, "layers.*.mlp.up_proj").quantised);
    CHECK_FALSE(module_size(config, "lm_head").quantised);
    config.settings.unquantised = {{"mlp.up_proj", 0}};
    CHECK_FALSE(module_size(config, "layers.*.mlp.up_proj").quantised);
    CHECK(module_size(config, "layers.*.mlp.gate_proj").quantised);
}
