#include "app/bench.h"

#include "tests/support/catch.h"

using namespace tplan;
using Catch::Matchers::Contains;

TEST_CASE("a bench of one part has its own keys and lines only") {
    BenchDocument document;
    document.machine = "A Processor, 2 cores";
    document.all_reduce_64k_s = 2.5e-5;
    const auto json = to_json(document);
    CHECK(json.contains("all_reduce_64k_s"));
    CHECK_FALSE(json.contains("estimates_per_s_per_core"));
    CHECK_THAT(bench_text(document), Contains("25.0 us") && Contains("A Processor, 2 cores") &&
                                         !Contains("estimates per second"));
}
