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
