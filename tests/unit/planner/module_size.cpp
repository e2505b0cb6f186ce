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
    check("layers.*.mlp.down_proj", ModulePart::ffn_output, 64, 128);
    check("layers.*.mlp.experts.gate_up_proj", ModulePart::packed_ffn, 64, 64);
    check("layers.*.mlp.experts.down_proj", ModulePart::ffn_output, 64, 32);
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

TEST_CASE("every family: the sizes of its modules are those of its graph") {
    // No row of a plan is about these.
    const std::vector<std::string> uncut = {"q_a_proj", "kv_a_proj_with_mqa", "shared_expert_gate"};
    for (const auto& family : family_names()) {
        const auto config = tiny(family);
        const auto model = build_model(config);
        for (const auto& block : model.blocks) {
            for (const auto& op : block.ops) {
                if (op.kind != OpKind::linear) continue;
                const auto name = op.name.substr(op.name.rfind('.') + 1);
                if (std::count(uncut.begin(), uncut.end(), name) > 0) continue;
                const bool outside = block.prefix.empty();
                const auto pattern = outside ? op.name : config.modules.layers + ".*." + op.name;
                INFO(family << " " << pattern);
                const auto size = module_size(config, pattern);
                CHECK(size.part != ModulePart::unknown);
                auto shape = block.tensors[static_cast<std::size_t>(op.weights[0])].shape;
                if (op.spec.transposed) std::swap(shape[0], shape[1]);
                CHECK(shape == std::vector<std::int64_t>{size.out, size.in});
            }
        }
        const auto table = module_size(config, config.modules.embedding);
        CHECK(table.part == ModulePart::vocabulary);
    }
}

TEST_CASE("a family's own names decide, whatever they are") {
    auto config = tiny("llama");
    config.modules.attention = "mixer";
    config.modules.q = "to_q";
    config.modules.down = "shrink";
    CHECK(module_size(config, "layers.*.mixer.to_q").out == 64);
    CHECK(module_size(config, "layers.*.mlp.shrink").in == 128);
    CHECK(module_size(config, "layers.*.mixer.shrink").part == ModulePart::unknown);
}

TEST_CASE("what the quantiser leaves alone is not block-quantised") {
    auto config = tiny("qwen3");
    CHECK(module_size(config, "layers.*.mlp.up_proj").quantised);
    CHECK_FALSE(module_size(config, "lm_head").quantised);
    config.settings.unquantised = {{"mlp.up_proj", 0}};
    CHECK_FALSE(module_size(config, "layers.*.mlp.up_proj").quantised);
    CHECK(module_size(config, "layers.*.mlp.gate_proj").quantised);
}
