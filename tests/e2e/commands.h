#pragma once
#include "core/files.h"
#include "core/json_io.h"
#include "tests/support/catch.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

/// What the tests of the built program share.

namespace tplan::test {

inline Json json_of(std::vector<std::string> arguments) {
    arguments.emplace_back("--json");
    const auto result = run_tplan(arguments);
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
    return parse_json(result.out, "stdout");
}

inline void require_keys(const Json& object, std::initializer_list<const char*> keys) {
    for (const auto* key : keys) {
        INFO(key);
        CHECK(object.contains(key));
    }
}

/// Exit code and the words that the one line on stderr must hold.
inline void expect_failure(const std::vector<std::string>& arguments, int code,
                           std::initializer_list<const char*> words) {
    const auto result = run_tplan(arguments);
    INFO(fmt::format("{}", fmt::join(arguments, " ")));
    INFO(result.err);
    CHECK(result.exit_code == code);
    CHECK(std::count(result.err.begin(), result.err.end(), '\n') == 1);
    if (code == 2) CHECK(result.out.empty());
    for (const auto* word : words) {
        INFO(word);
        CHECK(result.err.find(word) != std::string::npos);
    }
}

inline const std::vector<std::string> kPlanQwen = {"plan", "qwen3-0.6b", "--hw", "h100-sxm",
                                                   "--tp", "2",          "-o"};

inline std::string make_plan_file(const TempDir& folder,
                                  std::vector<std::string> arguments = kPlanQwen) {
    auto path = folder / "plan.json";
    arguments.push_back(path);
    const auto result = run_tplan(arguments);
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
    return path;
}

}  // namespace tplan::test
