#include "app/schema.h"

#include <filesystem>
#include <regex>

#include "core/files.h"
#include "tests/support/catch.h"
#include "tests/support/golden.h"

using namespace tplan;
using namespace tplan::test;

TEST_CASE("data/schema.md is what the code reads and writes") {
    check_golden("../../data/schema.md", schema_text());
}

TEST_CASE("data/schema.md has every schema the sources name") {
    namespace fs = std::filesystem;
    const auto text = schema_text();
    const std::regex name("\"(tplan\\.[a-z_-]+/[0-9]+)\"");
    int found = 0;
    for (const auto* folder : {"models", "cost_model", "planner", "executor", "app"}) {
        for (const auto& file : fs::recursive_directory_iterator(fs::path(TPLAN_ROOT) / folder)) {
            const auto ending = file.path().extension();
            if (ending != ".h" && ending != ".cpp") continue;
            const auto source = read_file(file.path().string(), std::size_t{1} << 20);
            for (std::sregex_iterator at(source.begin(), source.end(), name), end; at != end;
                 ++at) {
                ++found;
                INFO(file.path() << " names " << (*at)[1]);
                CHECK(text.find("## " + (*at)[1].str() + "\n") != std::string::npos);
            }
        }
    }
    CHECK(found >= 15);
}
