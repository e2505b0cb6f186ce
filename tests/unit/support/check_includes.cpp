#include <filesystem>

#include "tests/support/catch.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

using namespace tplan::test;

namespace {

ProcessResult check(const TempDir& tree) {
    return run_process({TPLAN_ROOT "/tests/support/check_includes.sh", tree.path()});
}

/// A tree with a header in every library.
void grow(const TempDir& tree) {
    for (const auto* folder :
         {"core", "models", "cost_model", "planner", "executor/cuda", "app/cli", "gui"})
        std::filesystem::create_directories(tree / folder);
    for (const auto* header : {"core/c.h", "models/m.h", "cost_model/m.h", "planner/p.h",
                               "executor/e.h", "app/a.h", "app/cli/c.h"})
        tree.file(header, "#pragma once\n");
}

}  // namespace

TEST_CASE("check_includes: the right direction passes") {
    const TempDir tree;
    grow(tree);
    tree.file("core/a.cpp", "#include <nlohmann/json.hpp>\n#include <vector>\n");
    tree.file("planner/p.cpp", "#include \"cost_model/m.h\"\n#include \"core/c.h\"\n");
    tree.file("app/cli/main.cpp",
              "#include <CLI/CLI.hpp>\n#include \"app/a.h\"\n#include \"app/cli/c.h\"\n");
    const auto result = check(tree);
    CHECK(result.out == "");
    CHECK(result.exit_code == 0);
}

TEST_CASE("check_includes: every wrong direction is named with file and line") {
    const TempDir tree;
    grow(tree);
    tree.file("core/a.cpp", "\n#include \"models/m.h\"\n");
    tree.file("executor/e.cpp", "#include \"cost_model/m.h\"\n");
    tree.file("cost_model/m.cpp", "#  include \"executor/e.h\"\n");
    tree.file("app/a.cpp", "#include \"app/cli/c.h\"\n");
    tree.file("models/m.cpp",
              "#include <nlohmann/json.hpp>\n#include <Eigen/Core>\n#include <cuda_runtime.h>\n");
    tree.file("planner/p.cpp", "#include \"../core/c.h\"\n#include \"p.h\"\n");
    const auto result = check(tree);
    CHECK(result.exit_code == 1);
    CHECK(
        result.out ==
        "app/a.cpp:1: app may not include \"app/cli/c.h\" (allowed: core models cost_model planner "
        "executor app)\n"
        "core/a.cpp:2: core may not include \"models/m.h\" (allowed: core)\n"
        "cost_model/m.cpp:1: cost_model may not include \"executor/e.h\" (allowed: core models "
        "cost_model)\n"
        "executor/e.cpp:1: executor may not include \"cost_model/m.h\" (allowed: core models "
        "executor)\n"
        "models/m.cpp:1: <nlohmann/json.hpp> belongs in core tests only\n"
        "models/m.cpp:2: <Eigen/Core> belongs in executor only\n"
        "models/m.cpp:3: <cuda_runtime.h> belongs in executor/cuda tests/fake_cuda only\n"
        "planner/p.cpp:1: include \"../core/c.h\" by its path from the root\n"
        "planner/p.cpp:2: \"p.h\" does not exist below the root; include by path from the root\n");
}

TEST_CASE("check_includes: 500 lines are the limit") {
    const TempDir tree;
    grow(tree);
    tree.file("app/a.cpp", std::string(500, '\n'));
    CHECK(check(tree).exit_code == 0);
    tree.file("app/a.cpp", std::string(501, '\n'));
    CHECK(check(tree).out == "app/a.cpp: 501 lines; 500 is the limit, split it by concept\n");
}
