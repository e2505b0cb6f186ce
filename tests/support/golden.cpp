#include "tests/support/golden.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/support/catch.h"

namespace tplan::test {
namespace {

bool rewriting() {
    const char* mode = std::getenv("TPLAN_GOLDEN");
    return mode != nullptr && std::string_view(mode) == "write";
}

/// "line 3\n  golden: ..\n  now:    .." for the first line in which the texts differ.
std::string first_difference(const std::string& golden, const std::string& now) {
    std::istringstream a(golden), b(now);
    for (int line = 1;; ++line) {
        std::string x = "<end of text>", y = "<end of text>";
        const bool more_a = static_cast<bool>(std::getline(a, x));
        const bool more_b = static_cast<bool>(std::getline(b, y));
        if (!more_a) x = "<end of text>";
        if (!more_b) y = "<end of text>";
        if (x != y || !more_a)
            return "line " + std::to_string(line) + "\n  golden: " + x + "\n  now:    " + y;
    }
}

}  // namespace

void check_golden(std::string_view name, const std::string& text) {
    const auto path = std::filesystem::path(TPLAN_ROOT) / "tests" / "golden" / name;
    if (rewriting()) {
        std::filesystem::create_directories(path.parent_path());
        std::ofstream out(path, std::ios::binary);
        out << text;
        REQUIRE(out.flush());
        return;
    }
    std::ifstream in(path, std::ios::binary);
    INFO("golden file " << path.string() << "; to accept the new text: ./dev golden");
    REQUIRE(in);
    std::ostringstream golden;
    golden << in.rdbuf();
    const bool same = golden.str() == text;
    INFO("first difference: " << (same ? "" : first_difference(golden.str(), text)));
    CHECK(same);
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
    for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
        text.replace(at, from.size(), to);
    return text;
}

}  // namespace tplan::test
