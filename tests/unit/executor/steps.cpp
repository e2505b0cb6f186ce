#include "executor/gpu/steps.h"

#include "tests/support/catch.h"

using namespace tplan;

TEST_CASE("gpu: a choice of tokens is refused with the way out") {
    CHECK(gpu::step_refusal({.kind = OpKind::largest}, DType::bf16).find("--sampling logits") !=
          std::string::npos);
    CHECK(gpu::step_refusal({.kind = OpKind::linear}, DType::bf16).empty());
}
