#include "executor/gpu/steps.h"

#include "tests/support/catch.h"

using namespace tplan;

TEST_CASE("gpu: what has no kernel is refused, choosing tokens has one") {
    CHECK(gpu::step_refusal({.kind = OpKind::largest}, DType::bf16).empty());
    CHECK(gpu::step_refusal({.kind = OpKind::linear}, DType::bf16).empty());
    CHECK_FALSE(gpu::step_refusal({.kind = OpKind::linear}, DType::fp8).empty());
    Step add{.kind = OpKind::add};
    add.inputs = {0, 1, 2, 3};
    CHECK(gpu::step_refusal(add, DType::bf16) == "more than three terms");
}
