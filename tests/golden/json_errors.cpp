#include "core/json_io.h"
#include "tests/support/catch.h"
#include "tests/support/golden.h"

using namespace tplan;

/// What a person reads who wrote a broken file, for every way to break one: the file to review when
/// wording changes.
TEST_CASE("json_errors: messages for malformed documents") {
    std::string report;
    for (const std::string text : {"",
                                   "   ",
                                   "{",
                                   "{\"a\"",
                                   "{\"a\":",
                                   "{\"a\": 1",
                                   "{\"a\": 1,",
                                   "{\"a\": 1,}",
                                   "[1, 2,]",
                                   "[1 2]",
                                   "{\"a\" 1}",
                                   "{\"a\": 1 \"b\": 2}",
                                   "{a: 1}",
                                   "{'a': 1}",
                                   "{\"a\": True}",
                                   "{\"a\": None}",
                                   "[NaN]",
                                   "[-Infinity]",
                                   "[1e999]",
                                   "[01]",
                                   "[+1]",
                                   "[1.]",
                                   "\"no end",
                                   "\"a\tb\"",
                                   "\"\\x41\"",
                                   "\"\\ud800\"",
                                   "{} {}",
                                   "// note\n{}",
                                   "# note\n{}",
                                   "{\"a\": 1, \"a\": 2}",
                                   "\xff\xfe{"}) {
        report += "text:  " + shown(text) + "\n";
        try {
            parse_json(text, "f.json");
            report += "accepted\n\n";
        } catch (const Error& error) {
            report += std::string("error: ") + error.what() + "\n\n";
        }
    }
    test::check_golden("errors/json.txt", report);
}
