#include "core/error.h"

#include "core/json_io.h"
#include "tests/support/catch.h"

using namespace tplan;

TEST_CASE("error: reads as where, what, hint") {
    const Error error("h200.json/sm_count", "expected an integer, got 3.7", "round it");
    CHECK(std::string(error.what()) ==
          "h200.json/sm_count: expected an integer, got 3.7; round it");
    CHECK(error.where == "h200.json/sm_count");
    CHECK(error.what_happened == "expected an integer, got 3.7");
    CHECK(error.hint == "round it");
}

TEST_CASE("error: without a hint there is no semicolon") {
    CHECK(std::string(Error("plan.json", "is empty").what()) == "plan.json: is empty");
}

TEST_CASE("error: is one line of bounded length") {
    const Error error("a\nb", std::string("tab\there\x1b[31m"), std::string(5000, 'x'));
    CHECK(error.where == "a b");
    CHECK(error.what_happened == "tab\\x09here\\x1b[31m");
    CHECK(error.hint == std::string(1000, 'x') + "..");
    CHECK(std::string(error.what()).size() < 1100);
}

TEST_CASE("violation: is written with the keys of the inspect document") {
    const Violation violation{.code = "kv_heads_not_divisible",
                              .subject = "layers.*.self_attn.k_proj",
                              .need = "num_key_value_heads % tp == 0",
                              .have = "8 % 3 = 2",
                              .message = "8 KV heads do not split over 3 ranks"};
    const auto json = to_json(violation);
    CHECK(json.dump() ==
          R"({"code":"kv_heads_not_divisible","subject":"layers.*.self_attn.k_proj",)"
          R"("need":"num_key_value_heads % tp == 0","have":"8 % 3 = 2",)"
          R"("message":"8 KV heads do not split over 3 ranks"})");
    CHECK(from_json<Violation>(json, "v") == violation);
}
