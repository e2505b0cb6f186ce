#include "app/sweep.h"

#include <algorithm>

#include "tests/support/catch.h"
#include "tests/unit/app/queries.h"

using namespace tplan;
using Catch::Matchers::Contains;
using test::query_of;

TEST_CASE(
    "a sweep marks one best of each hardware, link and batch, and says why others do not go") {
    auto query = query_of("llama-3.1-8b", "h100-sxm");
    query.request.plan.layout = LayoutChoice::hf;
    const SweepAxes axes{{"h100-sxm", "l40s"}, {"pcie"}, {1, 2, 3, 4}, {1, 16}};
    const auto document = sweep(query, axes);
    REQUIRE(document.rows.size() == 16);
    REQUIRE(document.findings.size() == 4);
    for (std::size_t group = 0; group < 4; ++group) {
        const auto* rows = &document.rows[4 * group];
        const auto* best = std::find_if(rows, rows + 4, [](const auto& row) { return row.best; });
        REQUIRE(best != rows + 4);
        CHECK(std::count_if(rows, rows + 4, [](const auto& row) { return row.best; }) == 1);
        for (const auto* row = rows; row != rows + 4; ++row) {
            CHECK(row->hardware == rows->hardware);
            CHECK(row->batch == rows->batch);
            CHECK(row->feasible == (row->tp != 3));  // 32 heads
            CHECK(row->reason.empty() == row->feasible);
            if (!row->feasible) continue;
            CHECK(*row->step.value >= *best->step.value);
            CHECK(*row->speedup.value == Catch::Approx(*rows->step.value / *row->step.value));
        }
        CHECK_THAT(document.findings[group],
                   Contains(fmt::format("{} over pcie, batch {}: TP {} is the fastest",
                                        rows->hardware, rows->batch, best->tp)));
    }
    const auto csv = sweep_csv(document);
    CHECK(std::ranges::count(csv, '\n') == 17);
    CHECK_THAT(csv, Contains("\nh100-sxm,pcie,3,1,false,,,,,,,,,,\n"));
    CHECK_THAT(sweep_text(document), Contains("32 attention heads do not divide over 3 GPUs"));
    query.request.plan.layout = LayoutChoice::best;
    for (const auto& row : sweep(query, axes).rows) CHECK(row.feasible);  // 11, 11 and 10 heads
}

TEST_CASE("a sweep without a degree that fits or works says so") {
    auto query = query_of("llama-3.1-405b", "l4");
    const auto large = sweep(query, {{"l4"}, {"pcie"}, {1, 2}, {1}});
    CHECK(large.findings ==
          std::vector<std::string>{"l4 over pcie, batch 1: no degree fits in memory"});
    query.model = "gpt2";
    query.request.plan.layout = LayoutChoice::hf;  // no TP plan
    const auto none = sweep(query, {{"l4"}, {"pcie"}, {2, 4}, {1}});
    CHECK(none.findings == std::vector<std::string>{"l4 over pcie, batch 1: no degree works"});
    CHECK_THROWS_AS(sweep(query, {{"l4"}, {"pcie"}, {1}, {0}}), Error);
    CHECK_THROWS_AS(sweep(query, {{"l4"}, {"pcie"}, {0}, {1}}), Error);
}

TEST_CASE("a speedup counts from the smallest degree that fits") {
    auto query = query_of("llama-3.1-70b", "h100-sxm");
    query.request.plan.layout = LayoutChoice::hf;
    const auto document = sweep(query, {{"h100-sxm"}, {"nvlink"}, {1, 4, 8}, {1}});
    REQUIRE(document.rows.size() == 3);
    REQUIRE_FALSE(document.rows[0].memory.value->fits);  // 141 GB of weights
    REQUIRE(document.rows[1].memory.value->fits);
    CHECK(*document.rows[0].speedup.value < 1);
    CHECK(*document.rows[1].speedup.value == 1);
    CHECK(*document.rows[2].speedup.value ==
          Catch::Approx(*document.rows[1].step.value / *document.rows[2].step.value));
    CHECK_THAT(document.findings[0], Contains("of TP 4"));
}
