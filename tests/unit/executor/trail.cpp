#include "executor/trail.h"

#include "tests/support/catch.h"

using namespace tplan;

TEST_CASE("a trail keeps the last 64 steps and says which one is under way", "[executor]") {
    Trail trail;
    CHECK(trail.records().empty());
    CHECK(trail.last() == "no step yet");
    trail.begin("embed", 0, OpKind::embedding, 0);
    CHECK(trail.records().front().end_s == 0);
    CHECK(trail.last() == "step #0, embedding \"embed\"");
    trail.end();
    CHECK(trail.records().front().end_s >= trail.records().front().begin_s);
    CHECK(trail.last() == "step #0, embedding \"embed\" done");
    for (int i = 1; i <= 100; ++i) {
        trail.begin("layers." + std::to_string(i), i, OpKind::all_reduce, 4096);
        trail.end();
    }
    const auto records = trail.records();
    REQUIRE(records.size() == Trail::kSteps);
    CHECK(records.front().index == 37);
    CHECK(records.back().step == "layers.100");
    CHECK(records.back().kind == "all_reduce");
    CHECK(records.back().bytes == 4096);
    trail.begin(std::string(500, 'x'), 101, OpKind::linear, 0);
    CHECK(trail.records().back().step == std::string(87, 'x'));
}
