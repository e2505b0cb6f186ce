#include "planner/tp_plan.h"

#include <algorithm>

#include "core/files.h"
#include "planner/style.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/planner/programs.h"

using namespace tplan;
using namespace tplan::test;

namespace {

Verdict verdict(const std::string& model_type, Transformers version = Transformers::v5_16,
                bool tied = false) {
    ModelConfig config;
    config.source = "test";
    config.model_type = model_type;
    config.tied_embeddings = tied;
    return tp_verdict(config, version);
}

const std::string* rule(const TpPlan& plan, const std::string& pattern) {
    for (const auto& entry : plan) {
        if (entry.first == pattern) return &entry.second;
    }
    return nullptr;
}

}  // namespace

TEST_CASE("every shipped plan loads and names known styles") {
    int plans = 0;
    for (const auto& type : resource_names("data/tp_plans")) {
        if (type.front() == '_') continue;
        ++plans;
        for (const auto version : {Transformers::v5_16, Transformers::v5_10}) {
            const auto found = verdict(type, version);
            INFO(type);
            CHECK_FALSE(found.reason.empty());
            for (const auto* plan : {&found.base_model_tp_plan, &found.ep_plan}) {
                if (!plan->value) continue;
                for (const auto& [pattern, style] : *plan->value)
                    CHECK_NOTHROW(find_style(shared_styles(), style));
            }
            CHECK((found.supports_tp == SupportsTp::yes) ==
                  found.base_model_tp_plan.value.has_value());
        }
    }
    CHECK(plans == 117);
}

TEST_CASE("llama: seven rules in the shipped order and a gathered head") {
    const auto llama = verdict("llama");
    CHECK(llama.supports_tp == SupportsTp::yes);
    REQUIRE(llama.base_model_tp_plan.value);
    const auto& plan = *llama.base_model_tp_plan.value;
    REQUIRE(plan.size() == 7);
    CHECK(plan.front() ==
          std::pair<std::string, std::string>{"layers.*.self_attn.q_proj", "colwise"});
    CHECK(plan.back() == std::pair<std::string, std::string>{"layers.*.mlp.down_proj", "rowwise"});
    CHECK(llama.lm_head.value == "colwise_gather_output");
}

TEST_CASE("models without a plan say why") {
    for (const auto* type : {"gpt2", "falcon", "stablelm", "opt", "camembert"}) {
        const auto found = verdict(type);
        CHECK(found.supports_tp == SupportsTp::no);
        CHECK_FALSE(found.base_model_tp_plan.value);
        CHECK(found.reason.find("base_model_tp_plan") != std::string::npos);
    }
}

TEST_CASE("an expert-parallel plan alone is no tensor parallelism") {
    const auto found = verdict("gpt_oss");
    CHECK(found.supports_tp == SupportsTp::expert_parallel_only);
    CHECK_FALSE(found.base_model_tp_plan.value);
    REQUIRE(found.ep_plan.value);
    CHECK(*rule(*found.ep_plan.value, "layers.*.mlp.router") == "ep_router");
    CHECK(found.reason.find("expert-parallel plan only") != std::string::npos);
}

TEST_CASE("a tied embedding joins the plan in 5.16 only") {
    const auto tied = verdict("qwen3", Transformers::v5_16, true);
    CHECK(tied.base_model_tp_plan.value->back() ==
          std::pair<std::string, std::string>{"embed_tokens", "embedding_rowwise"});
    CHECK(rule(*verdict("qwen3").base_model_tp_plan.value, "embed_tokens") == nullptr);
    const auto old = verdict("qwen3", Transformers::v5_10, true);
    CHECK(rule(*old.base_model_tp_plan.value, "embed_tokens") == nullptr);
    // no plan, no rule; and a plan that has the rule keeps one
    CHECK_FALSE(verdict("gpt2", Transformers::v5_16, true).base_model_tp_plan.value);
    const auto inkling =
        *verdict("inkling_text", Transformers::v5_16, true).base_model_tp_plan.value;
    CHECK(std::count_if(inkling.begin(), inkling.end(),
                        [](const auto& entry) { return entry.first == "embed_tokens"; }) == 1);
}

TEST_CASE("5.10 has no head rule, older plans, and not yet every class") {
    CHECK_FALSE(verdict("llama", Transformers::v5_10).lm_head.value);
    const auto next = verdict("qwen3_next", Transformers::v5_10);
    CHECK(rule(*next.base_model_tp_plan.value, "layers.*.linear_attn.in_proj_qkvz") == nullptr);
    CHECK(rule(*verdict("qwen3_next").base_model_tp_plan.value,
               "layers.*.linear_attn.in_proj_qkvz") != nullptr);
    CHECK_FALSE(verdict("mixtral", Transformers::v5_10).ep_plan.value);
    CHECK(verdict("mixtral").ep_plan.value);
    CHECK(verdict("gpt_oss", Transformers::v5_10).ep_plan.value);
    const auto young = verdict("deepseek_v32", Transformers::v5_10);
    CHECK(young.supports_tp == SupportsTp::no);
    CHECK(young.reason.find("does not exist in transformers 5.10") != std::string::npos);
}

TEST_CASE("an umbrella answers with its text model") {
    CHECK(verdict("gemma3").base_model_tp_plan == verdict("gemma3_text").base_model_tp_plan);
    CHECK(verdict("llava").supports_tp == SupportsTp::no);
}

TEST_CASE("known types are those of the tables") {
    for (const auto* type : {"llama", "gpt2", "gemma3", "camembert", "blip-2", "llava"})
        CHECK_NOTHROW(verdict(type));
    for (const auto* type : {"", "../llama", "_no_plan", "."})
        CHECK_THROWS_AS(verdict(type), Error);
    CHECK(holds(error_text([] { verdict("lama"); }),
                {"test/model_type", "\"lama\"", "did you mean \"llama\"?"}));
    CHECK(holds(error_text([] { verdict("zzzzzzzzzz"); }), {"correct the key"}));
}

TEST_CASE("a type that only tplan has a graph for runs by a plan given by hand") {
    auto config = tiny("llama");
    config.model_type = "house_model";
    const auto found = tp_verdict(config, Transformers::v5_16);
    CHECK(found.supports_tp == SupportsTp::no);
    CHECK(found.reason == "house_model is no model type of transformers 5.16");
    const auto model = build_model(config);
    auto options = options_for(2);
    const auto without = make_plan(config, model, options);
    CHECK(codes(without.feasibility) == std::vector<std::string>{"no_tp_plan"});
    options.tp_plan = TpPlan{{"layers.*.mlp.up_proj", "colwise"},
                             {"layers.*.mlp.gate_proj", "colwise"},
                             {"layers.*.mlp.down_proj", "rowwise"}};
    CHECK(make_plan(config, model, options).plan);
}

TEST_CASE("the rules in effect: by hand, or the plan with its head") {
    ModelConfig config;
    config.model_type = "qwen3_moe";
    const auto shipped = verdict("qwen3_moe");
    const auto rules = rules_in_effect(config, shipped, std::nullopt);
    CHECK(rules.size() == shipped.base_model_tp_plan.value->size() + 1);
    CHECK(rules.back().first == "lm_head");
    const TpPlan by_hand{{"layers.*.mlp.up_proj", "colwise"}};
    CHECK(rules_in_effect(config, shipped, by_hand) == by_hand);
    CHECK(rules_in_effect(config, verdict("gpt2"), std::nullopt).empty());

    config.quant_method = "fp8";  // its quantiser drops norms and experts
    const auto rewritten = rules_in_effect(config, shipped, std::nullopt);
    CHECK(rule(rewritten, "layers.*.mlp.experts.down_proj") == nullptr);
    CHECK(rule(rewritten, "layers.*.self_attn.q_norm") == nullptr);
    CHECK(rule(rewritten, "layers.*.self_attn.q_proj") != nullptr);
}

TEST_CASE("a plan by hand is read strictly") {
    const TempDir folder;
    const auto write = [&](const char* text) { return folder.file("plan.json", text); };
    const auto plan = read_tp_plan(write(R"({"layers.*.q": "colwise_rep", "a": "rowwise"})"));
    CHECK(plan == TpPlan{{"layers.*.q", "colwise_rep"}, {"a", "rowwise"}});
    const auto refused = error_text([&] { read_tp_plan(write(R"({"a": "columns"})")); });
    CHECK(holds(refused, {"plan.json/a", "\"columns\"", "supported:"}));
    CHECK_THROWS_AS(read_tp_plan(write("{}")), Error);
    CHECK_THROWS_AS(read_tp_plan(write("[]")), Error);
    CHECK_THROWS_AS(read_tp_plan(write(R"({"a": null})")), Error);
    CHECK_THROWS_AS(read_tp_plan(folder / "none.json"), Error);
}
