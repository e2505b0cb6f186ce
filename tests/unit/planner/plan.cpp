#include "planner/plan.h"

#include "tests/support/catch.h"
#include "tests/unit/planner/programs.h"

using namespace tplan;
using namespace tplan::test;

namespace {

Planned plan_of(const ModelConfig& config, const PlanOptions& options) {
    return make_plan(config, build_model(config), options);
}

PlanOptions by_hand(int tp, TpPlan plan) {
    auto options = options_for(tp);
    options.tp_plan = std::move(plan);
    return options;
}

const Violation& only_violation(const Planned& planned) {
    REQUIRE_FALSE(planned.plan);
    REQUIRE(planned.feasibility.violations.size() == 1);
    return planned.feasibility.violations[0];
}

}  // namespace

TEST_CASE("llama: projections are cut, norms and the untied embedding are not") {
    const auto program = lowered(tiny("llama"), options_for(2));
    const auto split = [&](const char* name) { return tensor(program, name).split; };
    const auto rows = Split{.kind = SplitKind::chunk, .dim = 0, .parts = 2};
    const auto columns = Split{.kind = SplitKind::chunk, .dim = 1, .parts = 2};
    CHECK(split("model.layers.*.self_attn.q_proj.weight") == rows);
    CHECK(split("model.layers.*.mlp.up_proj.weight") == rows);
    CHECK(split("model.layers.*.mlp.down_proj.weight") == columns);
    CHECK(split("lm_head.weight") == rows);
    CHECK(split("model.embed_tokens.weight") == Split{});
    CHECK(split("model.norm.weight") == Split{});
    CHECK(tensor(program, "model.norm.weight").style == "replicated");
    CHECK(tensor(program, "lm_head.weight").style == "colwise_gather_output");
}

TEST_CASE("a tied head and its embedding are cut alike in 5.16, whole in 5.10") {
    const auto config = tiny("qwen3");
    REQUIRE(config.tied_embeddings);
    const auto program = lowered(config, options_for(2));
    const auto& head = tensor(program, "lm_head.weight");
    const auto& table = tensor(program, "model.embed_tokens.weight");
    CHECK(table.style == "embedding_rowwise");
    CHECK(head.split == table.split);
    CHECK(head.tied);
    CHECK(head.tied_to == "model.embed_tokens.weight");

    auto old = options_for(2);
    old.transformers = Transformers::v5_10;
    const auto seed = lowered(config, old);
    CHECK(tensor(seed, "lm_head.weight").split == Split{});
    CHECK(tensor(seed, "model.embed_tokens.weight").split == Split{});
}

TEST_CASE("the head's rule finds the head whatever it is called") {
    const auto config = tiny("gpt_neox");
    auto model = build_model(config);
    auto& head = model.blocks.back();
    for (auto& op : head.ops) {
        if (op.kind == OpKind::linear) op.name = "embed_out";
    }
    for (auto& tensor : head.tensors) {
        if (tensor.name == "lm_head.weight") tensor.name = "embed_out.weight";
    }
    const auto planned = make_plan(config, model, options_for(2));
    REQUIRE(planned.plan);
    const auto program = lower(model, *planned.plan, config.dtype);
    CHECK(tensor(program, "embed_out.weight").style == "colwise_gather_output");
    CHECK(collectives(section(program, "head")).size() == 1);
    CHECK(tensor(program, "gpt_neox.layers.*.attention.query_key_value.bias").split.parts == 2);
}

TEST_CASE("below an umbrella the rules find the text model") {
    auto document = Json{{"model_type", "gemma3"}, {"text_config", tiny_config("gemma3_text")}};
    const auto config = read_model_config(document, "umbrella");
    const auto program = lowered(config, options_for(2));
    CHECK(tensor(program, "model.language_model.layers.*.mlp.up_proj.weight").style == "colwise");
    CHECK(tensor(program, "model.language_model.embed_tokens.weight").style == "embedding_rowwise");
}

TEST_CASE("at one rank nothing is cut, whatever the plan") {
    for (const auto& family : tiny_families()) {
        const auto config = tiny(family);
        const auto planned = plan_of(config, options_for(1, LayoutChoice::best));
        REQUIRE(planned.plan);
        for (const auto& block : planned.plan->tensors) {
            for (const auto& tensor : block) CHECK(tensor.split == Split{});
        }
    }
}

TEST_CASE("best copies KV heads, hf refuses") {
    const auto config = tiny("llama");  // 4 heads, 2 KV heads
    const auto refused = plan_of(config, options_for(4));
    CHECK(only_violation(refused).code == "kv_heads_not_divisible");
    const auto best = plan_of(config, options_for(4, LayoutChoice::best));
    REQUIRE(best.plan);
    CHECK(best.feasibility.feasible);
    const auto program = lowered(config, options_for(4, LayoutChoice::best));
    const auto& k = tensor(program, "model.layers.*.self_attn.k_proj.weight");
    CHECK(k.split.kind == SplitKind::grouped);
    // ranks 0 and 1 hold KV head 0, ranks 2 and 3 head 1, as their query heads read them
    CHECK(slices(k.split, 32, 1) == std::vector<Slice>{{0, 16}});
    CHECK(slices(k.split, 32, 2) == std::vector<Slice>{{16, 16}});
}

TEST_CASE("scales follow block-quantised weights") {
    const auto config = load_model_config("qwen3-32b-fp8");
    const auto program = lowered(config, options_for(8));
    const auto& weight = tensor(program, "model.layers.*.mlp.down_proj.weight");
    const auto& scales = tensor(program, "model.layers.*.mlp.down_proj.weight_scale_inv");
    CHECK(weight.split == Split{.kind = SplitKind::chunk, .dim = 1, .parts = 8});
    CHECK(scales.split == weight.split);
    CHECK(scales.style == "rowwise");
    CHECK(local_extent(weight.split, 25600, 3) == 128 * local_extent(scales.split, 200, 3));

    const auto copied = lowered(config, [] {
        auto options = options_for(8, LayoutChoice::best);
        return options;
    }());
    CHECK(tensor(copied, "model.layers.*.self_attn.k_proj.weight").split.kind == SplitKind::chunk);
}

TEST_CASE("a plan by hand: relative and absolute keys, old spellings") {
    const auto config = tiny("llama");
    const TpPlan relative{{"layers.*.mlp.gate_proj", "local_colwise"},
                          {"layers.*.mlp.up_proj", "local_colwise"},
                          {"layers.*.mlp.down_proj", "local_rowwise"},
                          {"lm_head", "colwise_rep"}};
    TpPlan absolute;
    for (const auto& [pattern, style] : relative)
        absolute.emplace_back(pattern == "lm_head" ? pattern : "model." + pattern, style);
    const auto one = plan_of(config, by_hand(2, relative));
    const auto other = plan_of(config, by_hand(2, absolute));
    REQUIRE(one.plan);
    REQUIRE(other.plan);
    CHECK(one.plan->tensors == other.plan->tensors);
    CHECK(one.plan->op_styles == other.plan->op_styles);
    const auto program = lowered(config, by_hand(2, relative));
    CHECK(tensor(program, "model.layers.*.mlp.up_proj.weight").style == "colwise");
    CHECK(tensor(program, "model.layers.*.self_attn.q_proj.weight").split == Split{});
    CHECK(mentions(one.plan->notes, "self_attn.q_proj.weight"));  // replicated, and said so
}

TEST_CASE("rules that match nothing are named") {
    const auto planned =
        plan_of(tiny("llama"), by_hand(2, {{"layers.*.mlp.up", "colwise"}, {"norm", "replicate"}}));
    REQUIRE(planned.plan);
    CHECK(mentions(planned.plan->notes, "match nothing here: model.layers.*.mlp.up"));
}

TEST_CASE("styles that a module cannot carry are violations") {
    CHECK(
        only_violation(plan_of(tiny("llama"), by_hand(2, {{"norm", "sequence_parallel"}}))).code ==
        "op_unsupported");
    const auto mixed =
        plan_of(tiny("phi3"), by_hand(2, {{"layers.*.self_attn.qkv_proj", "colwise"}}));
    CHECK(only_violation(mixed).subject == "model.layers.*.self_attn.qkv_proj.weight");
    // a head that is not cut cannot share the storage of an embedding that is
    const auto tied = plan_of(tiny("qwen3"), by_hand(2, {{"embed_tokens", "embedding_rowwise"}}));
    CHECK(holds(only_violation(tied).message, {"lm_head.weight", "shares its storage"}));
    // the reverse is a view of the whole table
    CHECK(plan_of(tiny("qwen3"), by_hand(2, {{"lm_head", "colwise_rep"}})).plan);
}

TEST_CASE("models without a plan take one by hand") {
    const auto config = tiny("gpt2");
    CHECK(only_violation(plan_of(config, options_for(2))).code == "no_tp_plan");
    const auto planned =
        plan_of(config, by_hand(2, {{"h.*.mlp.c_fc", "colwise"}, {"h.*.mlp.c_proj", "rowwise"}}));
    CHECK(planned.plan);
}
