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

std::string contents(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    INFO("golden file " << path.string() << "; to accept the new text: ./dev golden");
    REQUIRE(in);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
}

void rewrite(const std::filesystem::path& path, const std::string& text) {
    std::ofstream out(path, std::ios::binary);
    out << text;
    REQUIRE(out.flush());
}

void compare(const std::filesystem::path& path, const std::string& golden,
             const std::string& text) {
    INFO("golden file " << path.string() << "; to accept the new text: ./dev golden");
    const bool same = golden == text;
    INFO("first difference: " << (same ? "" : first_difference(golden, text)));
    CHECK(same);
}

}  // namespace

void check_golden(std::string_view name, const std::string& text) {
    const auto path = std::filesystem::path(TPLAN_ROOT) / "tests" / "golden" / name;
    if (rewriting()) {
        std::filesystem::create_directories(path.parent_path());
        rewrite(path, text);
        return;
    }
    compare(path, contents(path), text);
}

void check_golden_part(std::string_view path, std::string_view name, const std::string& text) {
    const auto file = std::filesystem::path(TPLAN_ROOT) / path;
    const auto whole = contents(file);
    const auto begin = "<!-- golden: " + std::string(name) + " -->\n";
    const auto at = whole.find(begin);
    INFO(file.string() << " needs the lines " << begin << "and <!-- end -->");
    REQUIRE(at != std::string::npos);
    const auto from = at + begin.size(), to = whole.find("<!-- end -->\n", from);
    REQUIRE(to != std::string::npos);
    if (rewriting()) {
        rewrite(file, whole.substr(0, from) + text + whole.substr(to));
        return;
    }
    compare(file, whole.substr(from, to - from), text);
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
    for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
        text.replace(at, from.size(), to);
    return text;
}

}  // namespace tplan::test
