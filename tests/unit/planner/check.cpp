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

TEST_CASE("a number that cannot be one is a difference, another type or a missing key an error") {
    PlanRequest request;
    request.plan.tp = 2;
    const auto made = make_plan_document(tiny("llama"), load_hardware("h100-sxm"), request);
    const auto document = to_json(made.document.value());
    const auto with = [&](const char* pointer, const Json& value) {
        auto edited = document;
        edited[Json::json_pointer(pointer)] = value;
        return edited;
    };
    const auto first = [&](const Json& edited) {
        const auto differences = check_plan(edited, "plan.json");
        return differences.empty() ? std::string("none") : differences.front().path;
    };
    CHECK(first(document) == "none");
    CHECK(first(with("/request/workload/batch", 0)) == "request/workload/batch");
    CHECK(first(with("/request/plan/tp", -2)) == "request/plan/tp");
    CHECK(first(with("/request/cost/memory_fraction", 1.5)) == "request/cost/memory_fraction");
    CHECK(first(with("/tp", 2.5)) == "tp");
    CHECK(first(with("/tp", 1e30)) == "tp");
    CHECK(first(with("/model/hidden_size", 0)) == "model/hidden_size");
    CHECK(first(with("/hardware/memory_bytes", -1)) == "hardware/memory_bytes");
    // More ranks than the profile has devices: no key is named, but it is an answer.
    CHECK(first(with("/request/plan/tp", 64)) != "none");

    const auto complaint = [&](const Json& edited) {
        return error_text([&] { check_plan(edited, "plan.json"); });
    };
    CHECK(complaint(document).empty());
    CHECK(holds(complaint(with("/tp", "2")), {"plan.json/tp"}));
    CHECK(holds(complaint(with("/tp", true)), {"plan.json/tp"}));
    CHECK(holds(complaint(with("/model/hidden_size", "x")), {"plan.json/model/hidden_size"}));
    CHECK(holds(complaint(with("/model/model_type", "helium")), {"no op graph for \"helium\""}));
    auto without = document;
    without["predicted"].erase("step_s");
    CHECK(holds(complaint(without), {"plan.json/predicted/step_s", "missing key"}));
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
