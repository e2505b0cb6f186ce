#include "planner/check.h"

#include "tests/support/catch.h"
#include "tests/unit/planner/programs.h"

using namespace tplan;
using namespace tplan::test;

TEST_CASE("documents are compared value by value") {
    const auto differences = [](const char* found, const char* expected) {
        return compare_json(Json::parse(found), Json::parse(expected), 10);
    };
    CHECK(differences(R"({"a": [1, 2.0, "x", null, true]})", R"({"a": [1, 2.0, "x", null, true]})")
              .empty());
    const auto edited = differences(R"({"a": {"b": [1, 2.5]}})", R"({"a": {"b": [1, 2]}})");
    REQUIRE(edited.size() == 1);
    CHECK(edited[0] == Difference{"a/b/1", "2.5", "2"});
    CHECK(differences(R"({"a": 1})", R"({"a": 1, "b": 2})").at(0).path == "b");
    CHECK(differences(R"({"a": 1, "b": 2})", R"({"a": 1})").at(0).expected == "no such key");
    CHECK(differences("[1, 2]", "[1]").at(0).found == "2 entries");
    CHECK(differences(R"("1")", "1").size() == 1);
    CHECK(differences("true", "1").size() == 1);
}

TEST_CASE("rounding in the last bits is no difference, an edit is") {
    CHECK(compare_json(Json(1.0), Json(1.0 + 1e-14), 10).empty());
    CHECK(compare_json(Json(1.0), Json(1.0 + 1e-10), 10).size() == 1);
    CHECK(compare_json(Json(0), Json(1e-30), 10).size() == 1);
    CHECK(compare_json(Json(1610707968), Json(1610707969), 10).size() == 1);
}

TEST_CASE("a plan file that no request could have made is an error with its path") {
    PlanRequest request;
    request.plan.tp = 2;
    const auto made = make_plan_document(tiny("llama"), load_hardware("h100-sxm"), request);
    const auto document = to_json(made.document.value());
    const auto complaint = [&](auto change) {
        auto edited = document;
        change(edited);
        return error_text([&] { check_plan(edited, "plan.json"); });
    };
    CHECK(complaint([](Json&) {}).empty());
    CHECK(holds(complaint([](Json& plan) { plan["request"]["workload"]["batch"] = 0; }),
                {"plan.json/request/workload/batch: 0 is out of range"}));
    CHECK(holds(complaint([](Json& plan) { plan["request"]["plan"]["tp"] = -2; }),
                {"plan.json/request/plan/tp"}));
    CHECK(holds(complaint([](Json& plan) { plan["model"]["model_type"] = "helium"; }),
                {"no op graph for \"helium\""}));
}

TEST_CASE("the list of differences is bounded") {
    Json many = Json::array();
    Json other = Json::array();
    for (int i = 0; i < 100; ++i) {
        many.push_back(i);
        other.push_back(i + 1);
    }
    CHECK(compare_json(many, other, 7).size() == 7);
}
