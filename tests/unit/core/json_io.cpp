#include "core/json_io.h"

#include <cmath>
#include <limits>

#include "tests/support/catch.h"

using namespace tplan;

namespace {

enum class Colour { red, dark_blue };
constexpr auto enum_names(Colour) {
    return std::array<std::string_view, 2>{"red", "dark-blue"};
}

struct Point {
    int x = 0;
    std::int64_t y = 0;
    static void fields(auto& self, auto&& field) {
        field("x", self.x);
        field("y", self.y);
    }
    bool operator==(const Point&) const = default;
};

/// One field of every type that from_json and to_json know.
struct Everything {
    bool flag = false;
    int count = 0;
    double ratio = 0;
    Bandwidth rate;
    std::string name;
    Colour colour = Colour::red;
    std::vector<Point> points;
    std::array<Seconds, 2> interval;
    std::optional<Point> optional;
    Nullable<std::string> nullable;
    Named<Point> named;
    Json embedded;
    static void fields(auto& self, auto&& field) {
        field("flag", self.flag);
        field("count", self.count);
        field("ratio", self.ratio);
        field("bytes_per_s", self.rate);
        field("name", self.name);
        field("colour", self.colour);
        field("points", self.points);
        field("interval_s", self.interval);
        field("optional", self.optional);
        field("nullable", self.nullable);
        field("named", self.named);
        field("embedded", self.embedded);
    }
    bool operator==(const Everything&) const = default;
};

Everything example() {
    return {.flag = true,
            .count = -3,
            .ratio = 0.1,
            .rate = Bandwidth(450e9),
            .name = "a \"quoted\" \n name",
            .colour = Colour::dark_blue,
            .points = {{1, 2}, {3, 4}},
            .interval = {Seconds(1), Seconds(2)},
            .optional = Point{5, 6},
            .nullable = {"text"},
            .named = {{"z", {1, 1}}, {"a", {2, 2}}},
            .embedded = Json::parse(R"({"free":[1,null,"x"]})")};
}

Json document(std::string_view text) {
    return parse_json(text, "f.json");
}

/// The message of the Error that reading `text` as a T gives; "accepted" when it gives none.
template <class T>
std::string reading(std::string_view text) {
    try {
        from_json<T>(document(text), "f.json");
    } catch (const Error& error) {
        return error.what();
    }
    return "accepted";
}

}  // namespace

TEST_CASE("json_io: reading what was written gives the same value") {
    const auto value = example();
    CHECK(from_json<Everything>(document(json_text(value)), "f.json") == value);

    auto sparse = value;
    sparse.optional.reset();
    sparse.nullable.value.reset();
    sparse.points.clear();
    sparse.named.clear();
    CHECK(from_json<Everything>(document(json_text(sparse)), "f.json") == sparse);
}

TEST_CASE("json_io: keys keep the order of fields, names the order given") {
    CHECK(to_json(example()).dump() ==
          R"({"flag":true,"count":-3,"ratio":0.1,"bytes_per_s":450000000000,)"
          R"("name":"a \"quoted\" \n name","colour":"dark-blue",)"
          R"("points":[{"x":1,"y":2},{"x":3,"y":4}],"interval_s":[1,2],)"
          R"("optional":{"x":5,"y":6},"nullable":"text",)"
          R"("named":{"z":{"x":1,"y":1},"a":{"x":2,"y":2}},"embedded":{"free":[1,null,"x"]}})");
}

TEST_CASE("json_io: an empty optional is left out, an empty nullable is null") {
    Everything value;
    const auto json = to_json(value);
    CHECK_FALSE(json.contains("optional"));
    CHECK(json.at("nullable").is_null());
}

TEST_CASE("json_io: doubles survive the way through text to the last bit") {
    for (const double x :
         {0.1, 1.0 / 3, 1e-300, 1.7976931348623157e308, 5e-324, -0.0, 123456789.0}) {
        const auto back = from_json<double>(document(json_text(x)), "x");
        CHECK(back == x);
        CHECK(std::signbit(back) == std::signbit(x));
    }
}

TEST_CASE("json_io: a number that is not finite is never written") {
    CHECK_THROWS_AS(to_json(std::nan("")), Error);
    CHECK_THROWS_AS(to_json(Seconds(std::numeric_limits<double>::infinity())), Error);
}

TEST_CASE("json_io: text is indented by two, numbers of a list stand side by side") {
    auto value = example();
    value.named.resize(1);
    CHECK(json_text(value) == R"({
  "flag": true,
  "count": -3,
  "ratio": 0.1,
  "bytes_per_s": 450000000000,
  "name": "a \"quoted\" \n name",
  "colour": "dark-blue",
  "points": [
    {
      "x": 1,
      "y": 2
    },
    {
      "x": 3,
      "y": 4
    }
  ],
  "interval_s": [1, 2],
  "optional": {
    "x": 5,
    "y": 6
  },
  "nullable": "text",
  "named": {
    "z": {
      "x": 1,
      "y": 1
    }
  },
  "embedded": {
    "free": [
      1,
      null,
      "x"
    ]
  }
}
)");
    CHECK(json_text(std::vector<Point>{}) == "[]\n");
    CHECK(json_text(Named<int>{}) == "{}\n");
    CHECK(json_text(std::string("\xff")) == "\"\ufffd\"\n");  // never text that is not UTF-8
}

TEST_CASE("json_io: wrong types name the path, what was expected and what was found") {
    CHECK(reading<Point>("[1]") == "f.json: expected an object, got an array of 1");
    CHECK(reading<Point>(R"({"x":"1","y":2})") == R"(f.json/x: expected an integer, got "1")");
    CHECK(reading<Point>(R"({"x":null,"y":2})") == "f.json/x: expected an integer, got null");
    CHECK(reading<Point>(R"({"x":true,"y":2})") == "f.json/x: expected an integer, got true");
    CHECK(reading<Point>(R"({"x":{},"y":2})") == "f.json/x: expected an integer, got an object");
    CHECK(reading<bool>("1") == "f.json: expected true or false, got 1");
    CHECK(reading<double>("\"1\"") == "f.json: expected a number, got \"1\"");
    CHECK(reading<Seconds>("null") == "f.json: expected a number, got null");
    CHECK(reading<std::string>("1") == "f.json: expected a string, got 1");
    CHECK(reading<std::vector<int>>("{}") == "f.json: expected an array, got an object");
    CHECK(reading<std::vector<int>>("[0,1,[]]") ==
          "f.json/2: expected an integer, got an array of 0");
    CHECK(reading<std::array<int, 2>>("[1,2,3]") ==
          "f.json: expected an array of 2, got an array of 3");
    CHECK(reading<Named<Point>>("[]") == "f.json: expected an object, got an array of 0");
    CHECK(reading<Named<Point>>(R"({"a":{"x":1,"y":[]}})") ==
          "f.json/a/y: expected an integer, got an array of 0");
    CHECK(reading<Nullable<int>>("false") == "f.json: expected an integer, got false");
}

TEST_CASE("json_io: integers have no fraction and stay in range") {
    CHECK(reading<Point>(R"({"x":3.7,"y":2})") == "f.json/x: expected an integer, got 3.7");
    CHECK(reading<Point>(R"({"x":3.0,"y":2})") == "f.json/x: expected an integer, got 3.0");
    CHECK(reading<int>("2147483647") == "accepted");
    CHECK(reading<int>("2147483648") ==
          "f.json: expected an integer from -2147483648 to 2147483647, got 2147483648");
    CHECK(reading<int>("-2147483649") ==
          "f.json: expected an integer from -2147483648 to 2147483647, got -2147483649");
    CHECK(reading<std::int64_t>("9223372036854775807") == "accepted");
    CHECK(reading<std::int64_t>("-9223372036854775808") == "accepted");
    CHECK(reading<std::int64_t>("9223372036854775808") ==
          "f.json: expected an integer from -9223372036854775808 to 9223372036854775807, got "
          "9223372036854775808");
    // Beyond 64 bits the parser has only a float left.
    CHECK(reading<int>("18446744073709551616") ==
          "f.json: expected an integer from -2147483648 to 2147483647, got 1.8446744073709552e+19");
    CHECK(reading<double>("3") == "accepted");
}

TEST_CASE("json_io: missing keys") {
    CHECK(reading<Point>(R"({"x":1})") == "f.json/y: missing key; add it; see data/schema.md");
    Everything value;
    auto json = to_json(value);
    json.erase("nullable");  // may be null, must be there
    CHECK_THROWS_AS(from_json<Everything>(json, "f.json"), Error);
}

TEST_CASE("json_io: unknown keys name the nearest known one") {
    CHECK(reading<Point>(R"({"x":1,"y":2,"Y":3})") == "f.json/Y: unknown key; did you mean \"y\"?");
    CHECK(reading<Point>(R"({"x":1,"y":2,"velocity":3})") == "f.json/velocity: unknown key");
    CHECK(reading<std::vector<Point>>(R"([{"x":1,"y":2},{"x":1,"y":2,"xx":3}])") ==
          "f.json/1/xx: unknown key; did you mean \"x\"?");
}

TEST_CASE("json_io: enumerators by name only, with the choices and the nearest") {
    CHECK(from_json<Colour>(document("\"dark-blue\""), "f.json") == Colour::dark_blue);
    CHECK(reading<Colour>("\"dark_blue\"") ==
          "f.json: \"dark_blue\" is not one of red, dark-blue; did you mean \"dark-blue\"?");
    CHECK(reading<Colour>("\"transparent\"") ==
          "f.json: \"transparent\" is not one of red, dark-blue");
    CHECK(reading<Colour>("0") == "f.json: expected a string, got 0");
    CHECK(name_of(Colour::dark_blue) == "dark-blue");
    CHECK(parse_enum<Colour>("red", "--colour") == Colour::red);
    CHECK_THROWS_WITH(parse_enum<Colour>("rd", "--colour"),
                      "--colour: \"rd\" is not one of red, dark-blue; did you mean \"red\"?");
}

TEST_CASE("json_io: messages quote the file in one short line") {
    CHECK(reading<Point>(R"({"x":"a\nb","y":2})") ==
          R"(f.json/x: expected an integer, got "a\x0ab")");
    CHECK(reading<Point>(R"({"x":1,"y":2,"a\nb":3})") == R"(f.json/a\x0ab: unknown key)");
    CHECK(reading<Named<int>>(R"({"a\u001bb":null})") ==
          R"(f.json/a\x1bb: expected an integer, got null)");
    CHECK(reading<Colour>("\"" + std::string(10'000, 'x') + "\"").size() < 200);
    CHECK(reading<int>("[" + std::string(10'000, ' ') + "]").size() < 200);
}

TEST_CASE("json_io: the schema line") {
    const auto refusal = [](std::string_view text) -> std::string {
        try {
            require_schema(document(text), "tplan.plan/1", "p.json");
        } catch (const Error& error) {
            return error.what();
        }
        return "accepted";
    };
    CHECK(refusal(R"({"schema":"tplan.plan/1"})") == "accepted");
    CHECK(refusal(R"({"schema":"tplan.plan/2"})") ==
          R"(p.json/schema: expected "tplan.plan/1", got "tplan.plan/2")");
    CHECK(refusal(R"({"schema":1})") == R"(p.json: no "schema" key; expected "tplan.plan/1")");
    CHECK(refusal("{}") == R"(p.json: no "schema" key; expected "tplan.plan/1")");
    CHECK(refusal("[]") == "p.json: expected an object, got an array of 0");
}
