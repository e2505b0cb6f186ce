#include "app/step_rows.h"

#include "tests/support/catch.h"
#include "tests/unit/app/studies.h"

using namespace tplan;
using namespace tplan::test;

TEST_CASE("step rows: their sum is the step") {
    for (const auto* model : {"llama-3.1-8b", "deepseek-v3"}) {
        const auto study = study_for(model, "h200-sxm", 8);
        const auto sum = sum_of(step_rows(study));
        CHECK(sum.together / study.totals->step == Catch::Approx(1));
        CHECK(sum.share == Catch::Approx(1));
    }
}

TEST_CASE("step rows: every column sorts both ways") {
    const auto rows = step_rows(study_for("deepseek-v3", "h200-sxm", 8));
    const auto columns = step_columns(true);
    for (std::size_t c = 0; c < columns.size(); ++c) {
        INFO(columns[c].name);
        auto up = rows, down = rows;
        sort_rows(up, c, false);
        sort_rows(down, c, true);
        for (std::size_t i = 1; i < rows.size(); ++i) {
            CHECK_FALSE(columns[c].before(up[i], up[i - 1]));
            CHECK_FALSE(columns[c].before(down[i - 1], down[i]));
        }
    }
    auto slowest = rows;
    sort_rows(slowest, 5, true);
    CHECK(slowest.front().together > slowest.back().together);
}

TEST_CASE("step rows: a filter keeps what holds it; a comma-separated line per row") {
    const auto rows = step_rows(study_for("llama-3.1-8b", "h100-sxm", 4));
    const auto reduces = filtered(rows, "all_reduce");
    REQUIRE(reduces.size() == 2);
    CHECK(reduces.front().name == "self_attn.o_proj.all_reduce");
    const auto csv = csv_of(reduces);
    CHECK(std::count(csv.begin(), csv.end(), '\n') == 3);
    CHECK_THAT(csv, Catch::Contains("self_attn.o_proj.all_reduce,layer,all_reduce,32,"));
}

TEST_CASE("step rows: layers of one name count only where they were measured") {
    auto study = study_for("deepseek-v3", "h200-sxm", 8);  // dense layers 0..2, then experts
    Validation validation;
    for (const auto* id : {"layers.1.self_attn.o_proj", "layers.7.self_attn.o_proj"}) {
        MeasuredOp op;
        op.id = id;
        op.time = Seconds(1);
        validation.measured.ops.push_back(op);
    }
    study.validation = validation;
    for (const auto& row : filtered(step_rows(study), "self_attn.o_proj")) {
        if (row.name != "self_attn.o_proj") continue;
        INFO(row.section);
        CHECK(row.measured == Seconds(1));
    }
}
