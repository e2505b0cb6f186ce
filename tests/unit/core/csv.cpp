#include "core/csv.h"

#include "core/error.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

using namespace tplan;
using namespace tplan::test;

namespace {

/// The message of the Error that parsing `text` as "t.csv" throws.
std::string refusal(const std::string& text, const CsvLimits& limits = {}) {
    try {
        parse_csv(text, "t.csv", limits);
    } catch (const Error& error) {
        return error.what();
    }
    return "accepted";
}

bool starts(const std::string& text, const std::string& with) {
    INFO(text);
    return text.starts_with(with);
}

}  // namespace

TEST_CASE("csv: cells by name, with quotes, empty cells and both line ends") {
    const auto table =
        parse_csv("a,\"b, c\",d\r\n1,\"say \"\"hi\"\", then\",\r\n\r\n,x y,3\n", "t.csv");
    REQUIRE(table.rows() == 2);
    CHECK(table.columns == std::vector<std::string>{"a", "b, c", "d"});
    CHECK(table.column("d") == 2);
    CHECK(table.column("e") == -1);
    CHECK(table.cell(0, 0) == "1");
    CHECK(table.cell(0, 1) == "say \"hi\", then");
    CHECK(table.cell(0, 2).empty());
    CHECK(table.cell(1, 0).empty());
    CHECK(table.cell(1, 1) == "x y");
    CHECK(table.cell(1, 2) == "3");
    CHECK(table.where(1, 2) == "t.csv:4:6");  // the blank line counts
}

TEST_CASE("csv: a byte order mark, a missing last line end and no rows are fine") {
    CHECK(parse_csv("\xEF\xBB\xBF"
                    "a,b\n1,2",
                    "t.csv")
              .cell(0, 1) == "2");
    CHECK(parse_csv("\xEF\xBB\xBF"
                    "a,b\n1,2",
                    "t.csv")
              .columns.front() == "a");
    CHECK(parse_csv("a,b", "t.csv").rows() == 0);
}

TEST_CASE("csv: every refusal names line and column") {
    CHECK(starts(refusal(""), "t.csv: is empty"));
    CHECK(starts(refusal("\na\n"), "t.csv:1:1: expected a header row"));
    CHECK(starts(refusal("a,b\n1\n"), "t.csv:2:2: 1 cells, the header has 2"));
    CHECK(starts(refusal("a,b\n1,2,3\n"), "t.csv:2:6: 3 cells, the header has 2"));
    CHECK(starts(refusal("a,a\n"), "t.csv:1:3: a second column \"a\""));
    CHECK(starts(refusal("a\n\"x\n"), "t.csv:2:1: a quote that is not closed"));
    CHECK(starts(refusal("a\n\"x\"y\n"), "t.csv:2:4: text after a closing quote"));
    CHECK(starts(refusal("a\nx\"y\n"), "t.csv:2:2: a quote inside an unquoted cell"));
    CHECK(starts(refusal(std::string("a\nx\0y\n", 6)), "t.csv:2:2: a NUL byte"));
}

TEST_CASE("csv: limits hold") {
    CHECK(starts(refusal("a,b\n1,2\n", {.bytes = 5}), "t.csv: 8 B is more than 5 B"));
    CHECK(starts(refusal("a,b,c\n", {.columns = 2}), "t.csv:1:1: 3 columns"));
    CHECK(starts(refusal("a,b\n1,2\n3,4\n5,6\n", {.cells = 5}), "t.csv:4:3: more than 5 cells"));
}

TEST_CASE("csv: numbers and counts") {
    const auto table = parse_csv("n\n4096\n4096.0\n1e3\n4.5\nnan\n\n\"\"\n 7\n", "t.csv");
    REQUIRE(table.rows() == 7);
    CHECK(csv_count(table, 0, 0, 1, 9000) == 4096);
    CHECK(csv_count(table, 1, 0, 1, 9000) == 4096);
    CHECK(csv_count(table, 2, 0, 1, 9000) == 1000);
    CHECK(csv_number(table, 3, 0) == 4.5);
    CHECK_THROWS_AS(csv_count(table, 3, 0, 1, 9000), Error);  // a fraction
    CHECK_THROWS_AS(csv_count(table, 0, 0, 1, 4095), Error);  // out of range
    CHECK_THROWS_AS(csv_number(table, 4, 0), Error);          // not finite
    CHECK_THROWS_AS(csv_number(table, 5, 0), Error);          // empty
    CHECK_THROWS_AS(csv_number(table, 6, 0), Error);          // a blank before it
    try {
        csv_count(table, 3, 0, 1, 9000);
    } catch (const Error& error) {
        CHECK(
            starts(error.what(), "t.csv:5:1: \"n\": expected an integer from 1 to 9000, got 4.5"));
    }
}

TEST_CASE("csv: a cell that is written reads back") {
    for (const std::string value : {"plain", "a,b", "say \"hi\"", ""}) {
        const auto table = parse_csv("x,y\n1," + csv_cell(value) + "\n", "t.csv");
        CHECK(table.cell(0, 1) == value);
    }
}

TEST_CASE("csv: a file that is not there") {
    const TempDir folder;
    CHECK_THROWS_AS(load_csv(folder / "none.csv"), Error);
    CHECK(load_csv(folder.file("t.csv", "a\n1\n")).rows() == 1);
}
