#include <cstdint>
#include <limits>

#include "core/json_io.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

using namespace tplan;
using Catch::Matchers::Contains;

namespace {

/// The message of the Error that parsing `text` gives; "accepted" when it gives none.
std::string parsing(std::string_view text) {
    try {
        parse_json(text, "f.json");
    } catch (const Error& error) {
        return error.what();
    }
    return "accepted";
}

std::string nested(int depth) {
    return std::string(static_cast<std::size_t>(depth), '[') +
           std::string(static_cast<std::size_t>(depth), ']');
}

}  // namespace

TEST_CASE("json_parse: every kind of value, in the order of the text") {
    const std::string text = R"({"z":[1,-2,3.5,"s",true,false,null,{}],"a":{"b":[]}})";
    CHECK(parse_json(text, "f.json").dump() == text);
    CHECK(parse_json(" 7 ", "f.json") == Json(7));
    CHECK(parse_json("\xef\xbb\xbf{}", "f.json") == Json::object());  // a byte-order mark
    CHECK(parse_json("18446744073709551615", "f.json").get<std::uint64_t>() ==
          std::numeric_limits<std::uint64_t>::max());
}

TEST_CASE("json_parse: a document cut at any byte is refused with a position") {
    const std::string text =
        R"({"name": "a\u00e9\n", "list": [1, -2.5e3, true, null], "o": {"k": "v"}})";
    REQUIRE(parsing(text) == "accepted");
    CHECK(parsing("") == "f.json: is empty; a JSON document was expected");
    for (std::size_t length = 1; length < text.size(); ++length) {
        CAPTURE(length);
        CHECK_THAT(parsing(text.substr(0, length)), Contains("f.json, line 1, column "));
    }
}

TEST_CASE("json_parse: a document followed by anything is refused") {
    CHECK(parsing("{} ") == "accepted");
    CHECK(parsing("{}\n{}") ==
          "f.json, line 2, column 1: unexpected {, expected the end of the file");
    CHECK(parsing("1 2") == "f.json, line 1, column 3: unexpected 2, expected the end of the file");
}

TEST_CASE("json_parse: the position is where the eye should look") {
    CHECK(parsing("{\n  \"a\": 1\n  \"bcd\": 2\n}") ==
          "f.json, line 3, column 3: unexpected \"bcd\", expected ',' or '}'");
    CHECK(parsing("{\"a\": 12 345}") ==
          "f.json, line 1, column 10: unexpected 345, expected ',' or '}'");
    CHECK(parsing("{\n  \"a\": 1,\n}\n") ==
          "f.json, line 3, column 1: unexpected }, expected a key in double quotes; remove the "
          "comma before it");
    CHECK(
        parsing("[1,\n2") ==
        "f.json, line 2, column 2: the text ends early, expected ',' or ']'; the array that opens "
        "at line 1, column 1 is not closed");
}

TEST_CASE("json_parse: duplicate keys are refused in every object, not across them") {
    CHECK(parsing(R"({"a":1,"b":{"a":2},"c":[{"a":3},{"a":4}]})") == "accepted");
    CHECK(parsing("{\"a\":1,\n \"a\":1}") ==
          "f.json, line 2, column 2: duplicate key \"a\"; keep one of them");
    CHECK(parsing(R"({"x":{"k":1,"\u006b":2}})") ==
          "f.json, line 1, column 13: duplicate key \"k\"; keep one of them");
    CHECK(parsing(R"({"a\"b":1,"a\"b":2})") ==
          "f.json, line 1, column 11: duplicate key \"a\"b\"; keep one of them");
    CHECK(parsing(R"({"a\nb":1,"a\nb":2})") ==
          "f.json, line 1, column 11: duplicate key \"a\\x0ab\"; keep one of them");
}

TEST_CASE("json_parse: 64 levels, no more") {
    CHECK(parsing(nested(64)) == "accepted");
    CHECK(parsing(nested(65)) == "f.json, line 1, column 65: nested deeper than 64 levels");
    std::string objects;
    for (int i = 0; i < 65; ++i) objects += "{\"k\":";
    CHECK_THAT(parsing(objects), Contains("nested deeper than 64 levels"));
    CHECK_THAT(parsing(std::string(1'000'000, '[')), Contains("nested deeper than 64 levels"));
}

TEST_CASE("json_parse: numbers beyond double and names of numbers are refused") {
    CHECK(parsing("[1e308, 1e-400]") == "accepted");
    CHECK(parsing("[1e999]") == "f.json, line 1, column 2: number 1e999 is out of range");
    CHECK(parsing("{\"a\": -1e999}") == "f.json, line 1, column 7: number -1e999 is out of range");
    for (const auto* name :
         {"NaN", "Infinity", "-Infinity", "nan", "inf", "+1", "0x10", ".5", "01", "1."}) {
        CAPTURE(name);
        CHECK_THAT(parsing(name), Contains("f.json, line 1, column "));
    }
}

TEST_CASE("json_parse: strings must be UTF-8 without raw control characters") {
    CHECK(parsing("\"\xff\"") == "f.json, line 1, column 2: invalid string: ill-formed UTF-8 byte");
    CHECK_THAT(parsing("\"a\nb\""), Contains("control character"));
    CHECK_THAT(parsing(R"("\ud800")"), Contains("surrogate"));
    CHECK_THAT(parsing(std::string("\"a\0b\"", 5)), Contains("zero byte"));
}

TEST_CASE("json_parse: a zero byte does not end the text") {
    CHECK(parsing(std::string("{}\0garbage", 10)) ==
          "f.json, line 1, column 3: a zero byte, expected JSON text");
    CHECK(parsing(std::string("{}\0", 3)) ==
          "f.json, line 1, column 3: a zero byte, expected JSON text");
}

TEST_CASE("json_parse: messages stay short however long the text") {
    const std::string long_text(100'000, 'x');
    CHECK(parsing("\"" + long_text).size() < 200);
    CHECK(parsing(long_text).size() < 200);
    CHECK(parsing("{\"" + long_text + "\":1,\"" + long_text + "\":2}").size() < 200);
    CHECK(parsing("[1" + std::string(100'000, '0') + "]").size() < 200);
}

TEST_CASE("json_parse: size and number of values are bounded") {
    constexpr std::size_t kLimit = std::size_t{64} << 20;
    CHECK(parsing("1" + std::string(kLimit - 1, ' ')) == "accepted");
    CHECK(parsing("1" + std::string(kLimit, ' ')) == "f.json: is larger than 64 MiB");

    JsonLimits limits;
    CHECK(limits.values == 8'000'000);
    limits.values = 4;
    CHECK_NOTHROW(parse_json("[1,{\"k\":2}]", "f.json", limits));
    CHECK_THROWS_WITH(parse_json("[1,{\"k\":2},[]]", "f.json", limits),
                      "f.json: holds more than 4 values");
}

TEST_CASE("json_parse: a file is read with its path in messages") {
    const test::TempDir folder;
    const auto path = folder.file("a.json", "{\"a\":");
    CHECK_THROWS_WITH(load_json(path), Catch::Matchers::StartsWith(path + ", line 1, column 6: "));
    folder.file("a.json", "{\"a\":1}");
    CHECK(load_json(path).dump() == "{\"a\":1}");
    CHECK_THROWS_AS(load_json(folder / "none"), Error);
}
