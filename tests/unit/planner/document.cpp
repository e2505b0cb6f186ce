#include "planner/document.h"

#include <algorithm>

#include "tests/support/catch.h"
#include "tests/unit/planner/programs.h"

using namespace tplan;
using namespace tplan::test;

TEST_CASE("a note on the configuration stands once in the diagnostics") {
    const auto config = tiny("llama", {{"favourite_colour", "blue"}});
    REQUIRE(config.notes.size() == 1);
    const auto result = make_plan_document(config, load_hardware("h100-sxm"), {});
    REQUIRE(result.document);
    CHECK(std::ranges::count(result.document->diagnostics, config.notes[0]) == 1);
}

TEST_CASE("a plan that cuts nothing says why") {
    PlanRequest request;
    request.plan.tp = 2;
    request.cost.link = "pcie";
    const auto phrase = std::string("an all-reduce costs more than cutting the work saves");
    const auto why = [&](const ModelConfig& config) {
        return make_plan_document(config, load_hardware("h100-sxm"), request).document.value().why;
    };
    // Nanoseconds of work against microseconds for any collective.
    CHECK(why(tiny("llama")).find(phrase) != std::string::npos);
    CHECK(why(load_model_config("llama-3.1-8b")).find(phrase) == std::string::npos);
}

TEST_CASE("a degree that was asked for and does not fit or is too slow") {
    PlanRequest request;
    request.plan.tp = 1;
    request.plan.layout = LayoutChoice::hf;
    request.cost.reserve = Bytes(79e9);
    const auto config = tiny("llama");
    const auto hardware = load_hardware("h100-sxm");
    const auto large = make_plan_document(config, hardware, request).document.value();
    CHECK_FALSE(large.predicted.memory.fits);
    CHECK(large.why.find("does not fit: needs") != std::string::npos);
    REQUIRE_FALSE(large.diagnostics.empty());
    CHECK(large.diagnostics[0].find("TP 1 does not fit") == 0);

    request.cost.reserve = Bytes(0);
    CHECK(make_plan_document(config, hardware, request).document.value().why.find("fit") ==
          std::string::npos);
    request.max_tpot.value = Seconds(1e-9);
    const auto slow = make_plan_document(config, hardware, request);
    CHECK_FALSE(slow.document);
    REQUIRE(slow.feasibility.violations.size() == 1);
    CHECK(slow.feasibility.violations[0].have.find("above the bound") != std::string::npos);
}

TEST_CASE("an estimate lists the assumed figures it rests on, and the share of every source") {
    PlanRequest request;
    request.plan.tp = 1;
    request.plan.layout = LayoutChoice::hf;
    auto hardware = load_hardware("h100-sxm");
    const auto notes = [&] {
        const auto plan = make_plan_document(tiny("llama"), hardware, request).document.value();
        double sum = 0;
        for (const auto& [name, share] : plan.predicted.provenance_shares) sum += share;
        CHECK(std::abs(sum - 1) < 1e-12);
        return join(plan.predicted.notes, "\n");
    };
    CHECK(notes().find("interval_attention") != std::string::npos);
    CHECK(notes().find("interval_collective") == std::string::npos);
    request.plan.tp = 2;
    CHECK(notes().find("interval_collective") != std::string::npos);
    CHECK(notes().find("links/pcie") == std::string::npos);
    request.cost.link = "pcie";
    CHECK(notes().find("links/pcie/bytes_per_s") != std::string::npos);
    for (auto& [key, source] : hardware.sources) source.kind = SourceKind::datasheet;
    CHECK(notes().find("assumed") == std::string::npos);
}
