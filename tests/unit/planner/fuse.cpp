#include "planner/fuse.h"

#include "tests/support/catch.h"
#include "tests/unit/planner/programs.h"

using namespace tplan;
using namespace tplan::test;
using Names = std::vector<std::string>;

namespace {

Program served(const std::string& family, int tp, const Json& changes = Json::object()) {
    return lowered(tiny(family, changes), options_for(tp, LayoutChoice::hf, Kernels::served));
}

}  // namespace

TEST_CASE("llama as served: two projections, two add_norms a layer") {
    const auto program = served("llama", 1);
    CHECK(step_names(section(program, "embedding")) ==
          Names{"embed_tokens", "layers.0.input_layernorm"});
    CHECK(step_names(section(program, "layer")) ==
          Names{"self_attn.qkv_proj", "self_attn.rope", "self_attn.attention", "self_attn.o_proj",
                "post_attention_layernorm", "mlp.gate_up_proj", "mlp.act", "mlp.down_proj",
                "next.input_layernorm"});
    CHECK(step_names(section(program, "head")) == Names{"select_last", "lm_head"});
}

TEST_CASE("a fused projection has its parts' outputs side by side") {
    const auto program = served("llama", 2);  // 4 heads and 2 KV heads of 16
    const auto& qkv = step(section(program, "layer"), "self_attn.qkv_proj");
    REQUIRE(qkv.weights.size() == 3);
    REQUIRE(qkv.outputs.size() == 3);
    CHECK(program.tensors[static_cast<std::size_t>(qkv.weights[1].tensor)].name ==
          "model.layers.*.self_attn.k_proj.weight");
    CHECK(qkv.n == 32 + 16 + 16);
    CHECK(qkv.k == 64);
    CHECK(qkv.weight_bytes == (32 + 16 + 16) * 64 * 4);
    CHECK(qkv.biases.empty());
}

TEST_CASE("biases stay with their weights") {
    const auto program = served("qwen2", 1);
    const auto& qkv = step(program.sections[1], "self_attn.qkv_proj");
    REQUIRE(qkv.biases.size() == 3);
    CHECK(program.tensors[static_cast<std::size_t>(qkv.biases[2].tensor)].name ==
          "model.layers.*.self_attn.v_proj.bias");

    // one part with a bias: the others say -1
    Section section;
    section.steps = {{.kind = OpKind::linear,
                      .name = "m.gate_proj",
                      .inputs = {0},
                      .outputs = {1},
                      .weights = {{.tensor = 0}},
                      .n = 4,
                      .k = 8},
                     {.kind = OpKind::linear,
                      .name = "m.up_proj",
                      .inputs = {0},
                      .outputs = {2},
                      .weights = {{.tensor = 1}},
                      .biases = {{.tensor = 2}},
                      .n = 4,
                      .k = 8}};
    fuse_projections(section, {{{"gate_proj", "up_proj"}, "gate_up_proj"}});
    REQUIRE(section.steps.size() == 1);
    CHECK(section.steps[0].biases == std::vector<WeightRef>{{.tensor = -1}, {.tensor = 2}});
    CHECK(section.steps[0].n == 8);
}

TEST_CASE("projections that are gathered one by one stay apart") {
    const auto names = step_names(section(served("olmo2", 2), "layer"));
    CHECK(mentions(names, "self_attn.q_proj"));
    CHECK_FALSE(mentions(names, "qkv_proj"));
    CHECK(mentions(names, "mlp.gate_up_proj"));
    CHECK(mentions(step_names(section(served("olmo2", 1), "layer")), "self_attn.qkv_proj"));
}

TEST_CASE("the next layer's norm takes the next layer's weight, the last the final norm's") {
    const auto program = served("llama", 2);
    const auto name = [&](int tensor) {
        return program.tensors[static_cast<std::size_t>(tensor)].name;
    };
    const auto& next = section(program, "layer").steps.back();
    CHECK(next.kind == OpKind::add_norm);
    REQUIRE(next.weights.size() == 1);
    CHECK(name(next.weights[0].tensor) == "model.layers.*.input_layernorm.weight");
    CHECK(next.weights[0].next_layer);
    CHECK(name(next.weights[0].last) == "model.norm.weight");
    const auto& first = section(program, "embedding").steps.back();
    CHECK(first.weights[0].next_layer);
    CHECK(first.weights[0].tensor == next.weights[0].tensor);
    const auto& own = step(section(program, "layer"), "post_attention_layernorm");
    CHECK(own.kind == OpKind::add_norm);
    CHECK_FALSE(own.weights[0].next_layer);
    CHECK(own.spec.norm.has_value());
    // residual stream in place, the norm beside it
    CHECK(own.outputs[0] == own.inputs[0]);
    CHECK(own.outputs[0] == next.outputs[0]);
    CHECK(next.outputs[1] == section(program, "layer").steps.front().inputs[0]);
    CHECK(next.outputs[1] == section(program, "head").steps.front().inputs[0]);
}

TEST_CASE("unlike kinds of layers share the boundary norm") {
    const auto program = served("gemma2", 2);
    REQUIRE(program.sections.size() == 4);
    CHECK(program.sections[1].steps.back().weights == program.sections[2].steps.back().weights);
    CHECK(program.sections[1].steps.back().kind == OpKind::add_norm);
}

TEST_CASE("blocks without a common first norm keep their steps") {
    const auto program = served("olmo2", 1);  // no norm before attention
    for (const auto& step : program.sections[1].steps) {
        for (const auto& weight : step.weights) CHECK_FALSE(weight.next_layer);
    }
    CHECK(program.sections.back().steps.front().kind == OpKind::norm);
}

TEST_CASE("an addition of three values takes the next norm too") {
    for (const std::string family : {"gpt_neox", "cohere"}) {
        const auto changes =
            family == "cohere" ? Json{{"use_qk_norm", false}} : Json(Json::object());
        const auto program = served(family, 2, changes);
        INFO(family);
        const auto& last = program.sections[1].steps.back();
        CHECK(last.kind == OpKind::add_norm);
        CHECK(last.inputs.size() == 3);
        CHECK(last.weights.front().next_layer);
    }
}

TEST_CASE("groups of ops that may run as one step") {
    const auto model = build_model(tiny("llama"));
    const auto& layer = model.blocks[1];
    const auto named = [&](Kernels kernels) {
        std::vector<std::string> names;
        for (const auto& group : fused_groups(model, layer, kernels)) {
            std::string name;
            for (const auto op : group) name += layer.ops[op].name + " ";
            if (group.size() > 1) names.push_back(name);
        }
        return names;
    };
    CHECK(named(Kernels::served) == Names{"self_attn.q_proj self_attn.k_proj self_attn.v_proj ",
                                          "attention_residual post_attention_layernorm ",
                                          "mlp.gate_proj mlp.up_proj "});
    CHECK(named(Kernels::hf).empty());
    CHECK(norms_cross_layers(model));
    CHECK_FALSE(norms_cross_layers(build_model(tiny("olmo2"))));
    CHECK(norms_cross_layers(build_model(tiny("gemma2"))));
}

TEST_CASE("no buffer is left that no step uses") {
    for (const auto& family : tiny_families()) {
        const auto program = served(family, 1);
        std::vector<bool> used(program.buffers.size(), false);
        for (const auto& section : program.sections) {
            for (const auto& step : section.steps) {
                for (const int buffer : step.inputs)
                    used.at(static_cast<std::size_t>(buffer)) = true;
                for (const int buffer : step.outputs)
                    used.at(static_cast<std::size_t>(buffer)) = true;
            }
        }
        CHECK(std::count(used.begin(), used.end(), false) == 0);
    }
}

TEST_CASE("as one GEMM per module nothing is fused") {
    const auto program = lowered(tiny("llama"), options_for(2));
    CHECK(mentions(step_names(section(program, "layer")), "self_attn.k_proj"));
    for (const auto& section : program.sections) {
        for (const auto& step : section.steps) {
            CHECK(step.kind != OpKind::add_norm);
            CHECK(step.weights.size() <= 1);
        }
    }
}
