#include "app/refusal.h"

#include "tests/support/catch.h"
#include "tests/support/tiny_configs.h"

using namespace tplan;
using Catch::Matchers::Contains;

TEST_CASE("a refusal names model and degree, and for sizes the degrees that work") {
    const auto config = read_model_config(test::tiny_config("llama"), "tiny llama");
    PlanRequest request;
    auto& options = request.plan;
    options.tp = 3;
    options.layout = LayoutChoice::hf;
    auto refusal =
        refuse(config, request, judge(config, tp_verdict(config, options.transformers), options));
    CHECK_THAT(refusal_text(refusal), Contains("TP 3 does not work: heads_not_divisible") &&
                                          Contains("; remedies: ") &&
                                          Contains("degrees that work: 1 2"));
    CHECK(refusal.model == config.source);
    CHECK(refusal_text(refusal).starts_with(config.source + ": "));

    refusal.tp.value.reset();
    refusal.gpus.value = 8;
    refusal.remedies.clear();
    refusal.violations = {
        {"does_not_fit", "llama", "a degree that fits", "none of 1..8", "too big"}};
    CHECK_THAT(refusal_text(refusal),
               Contains("none of TP 1 to 8 works: does_not_fit: too big (none of 1..8)"));
    CHECK_THAT(refusal_text(refusal), !Contains("degrees that work"));
}
