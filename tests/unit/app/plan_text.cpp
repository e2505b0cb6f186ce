#include "app/plan_text.h"

#include "tests/support/catch.h"

using namespace tplan;
using Catch::Matchers::Contains;

TEST_CASE("the layout of a plan is told by place, what is cut by how") {
    PlanDocument plan;
    plan.tp = 2;
    plan.predicted.step = Seconds(1);
    plan.why = "because";
    plan.certificate.emplace().bound = Seconds(1);
    plan.layout = {
        {.block = 0, .layers = {-1}, .ops = {{"embed_tokens", "replicated"}}},
        {.block = 1,
         .layers = {0, 1, 2},
         .ops = {{"q_proj", "out"}, {"k_proj", "out"}, {"norm", "replicated"}, {"o_proj", "in"}}},
        {.block = 1, .layers = {3}, .ops = {{"q_proj", "replicated"}}},
        {.block = 1, .layers = {4, 6}, .ops = {{"experts", "ffn"}}},
        {.block = 1, .layers = {8, 10, 12, 14, 16}, .ops = {{"experts", "ffn"}}},
        {.block = 1, .layers = {20, 22, 24, 28, 30, 40}, .ops = {{"experts", "ffn"}}},
        {.block = 2, .layers = {-1}, .ops = {{"lm_head", "out"}}}};
    const auto text = plan_text(plan);
    CHECK_THAT(text, Contains("layout of the plan, over 2 ranks:\n"));
    CHECK_THAT(text, Contains("  embedding: whole on every rank\n"));
    CHECK_THAT(text, Contains("  layers 0 to 2: q_proj, k_proj by output rows; o_proj by input "
                              "columns\n"));
    CHECK_THAT(text, Contains("  layer 3: whole on every rank\n"));
    CHECK_THAT(text, Contains("  layers 4, 6: experts by ffn\n"));
    CHECK_THAT(text, Contains("  5 layers, every 2nd of 8 to 16: experts by ffn\n"));
    CHECK_THAT(text, Contains("  6 layers between 20 and 40: experts by ffn\n"));
    CHECK_THAT(text, Contains("  head: lm_head by output rows\n"));
}
