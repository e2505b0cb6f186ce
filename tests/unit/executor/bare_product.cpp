#include "executor/bare_product.h"

#include "core/error.h"
#include "tests/support/catch.h"

using namespace tplan;

TEST_CASE("a bare product gives one sample for each repetition") {
    const auto samples = sample_bare_product({DType::fp32, 1, 4, 32, 16, {}}, "cpu", 3);
    REQUIRE(samples.size() == 3);
    for (const auto& sample : samples) CHECK(sample.time > Seconds(0));
}

TEST_CASE("a bare product of weights that the backend cannot multiply is refused") {
    CHECK_THROWS_AS(sample_bare_product({DType::fp8, 1, 4, 32, 16, {}}, "cpu", 1), Error);
}
