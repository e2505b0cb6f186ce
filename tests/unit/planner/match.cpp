#include "planner/match.h"

#include "tests/support/catch.h"
#include "tests/unit/planner/programs.h"

using namespace tplan;
using namespace tplan::test;

namespace {

std::string found(const std::string* style) {
    return style ? *style : "";
}

}  // namespace

TEST_CASE("modules match exactly, numbers between dots as stars") {
    const TpPlan plan{{"model.layers.*.mlp", "a"}, {"model.layers.*.fc1", "b"}};
    CHECK(found(match_module(plan, "model.layers.3.mlp")) == "a");
    CHECK(found(match_module(plan, "model.layers.127.fc1")) == "b");
    CHECK(match_module(plan, "model.layers.3.mlp.up_proj") == nullptr);  // no parent fallback
    CHECK(match_module(plan, "layers.3.mlp") == nullptr);
    CHECK(found(match_module({{"blocks.*", "c"}}, "blocks.7")) == "c");  // after the last dot too
    CHECK(match_module({{"*.a", "d"}}, "7.a") == nullptr);               // not before the first
}

TEST_CASE("parameters inherit from their module") {
    const TpPlan plan{{"layers.*.q_proj", "colwise"}, {"layers.*.q_proj.bias", "own"}};
    CHECK(found(match_parameter(plan, "layers.0.q_proj.weight")) == "colwise");
    CHECK(found(match_parameter(plan, "layers.0.q_proj.bias")) == "own");
    CHECK(match_parameter(plan, "layers.0.q_proj.inner.weight") == nullptr);  // one level only
}

TEST_CASE("the checkpoint loader takes the first branch that matches anywhere") {
    // The order in the plan decides: "experts" must come after what lies below it.
    const TpPlan good{{"mlp.experts.down_proj", "rowwise"}, {"mlp.experts", "moe_tp_experts"}};
    const TpPlan bad{{"mlp.experts", "moe_tp_experts"}, {"mlp.experts.down_proj", "rowwise"}};
    const std::string name = "model.layers.0.mlp.experts.down_proj";
    CHECK(found(match_checkpoint(good, name)) == "rowwise");
    CHECK(found(match_checkpoint(bad, name)) == "moe_tp_experts");
    // '*' spans anything, dots match any character, and neither end is anchored.
    CHECK(found(match_checkpoint({{"layers.*.q", "x"}}, "model.layers.0.self_attn.q_proj")) == "x");
    CHECK(found(match_checkpoint({{"a.b", "x"}}, "zazbz")) == "x");
    CHECK(match_checkpoint({{"layers.*.k", "x"}}, "model.layers.0.self_attn.q_proj") == nullptr);
    CHECK(found(match_checkpoint({{"a*b*c", "x"}}, "a1b2b3c")) == "x");
    CHECK(match_checkpoint({{"a*b*c", "x"}}, "a1b2b3") == nullptr);
}

TEST_CASE("saving replaces every digit and looks at parent and grandparent") {
    CHECK(found(match_saved({{"layers.*.w*", "x"}}, "layers.0.w1.weight")) == "x");
    CHECK(match_saved({{"layers.*.w1", "x"}}, "layers.0.w1.weight") == nullptr);
    CHECK(found(match_saved({{"layers.*", "x"}}, "layers.0.q.weight")) == "x");
    CHECK(match_saved({{"layers", "x"}}, "layers.0.q.weight") == nullptr);
}

TEST_CASE("coverage tells unused rules, replicated leftovers and disagreements") {
    const auto model = build_model(tiny("llama"));
    const TpPlan plan{{"model.layers.*.self_attn.q_proj", "colwise"},
                      {"model.layers.*.self_attn.nothing", "colwise"}};
    const auto coverage = check_coverage(plan, model);
    CHECK(coverage.unused_rules == std::vector<std::string>{"model.layers.*.self_attn.nothing"});
    CHECK(mentions(coverage.unsharded, "model.layers.*.self_attn.k_proj.weight"));
    CHECK_FALSE(mentions(coverage.unsharded, "q_proj"));
    CHECK(coverage.matcher_disagreements.empty());

    // "fc1" is no key after its digit became a star: saving would not gather what loading cut.
    const auto phi = build_model(tiny("phi"));
    const auto split = check_coverage({{"model.layers.*.mlp.fc1", "colwise"}}, phi);
    CHECK(mentions(split.matcher_disagreements, "fc1.weight: the parameter look-up finds colwise"));
}
