#include "core/text.h"

#include <limits>

#include "tests/support/catch.h"

using namespace tplan;

TEST_CASE("text: times have three significant digits and the unit that suits") {
    CHECK(format_time(Seconds(0)) == "0 s");
    CHECK(format_time(Seconds(12.345)) == "12.3 s");
    CHECK(format_time(Seconds(1)) == "1.00 s");
    CHECK(format_time(Seconds(0.0061)) == "6.10 ms");
    CHECK(format_time(Seconds(250e-6)) == "250 us");
    CHECK(format_time(Seconds(2.5e-9)) == "2.50 ns");
    CHECK(format_time(Seconds(-0.0061)) == "-6.10 ms");
    CHECK(format_time(Seconds(12345)) == "12345 s");
}

TEST_CASE("text: rounding carries into the next unit and never shows four digits") {
    CHECK(format_time(Seconds(0.99949)) == "999 ms");
    CHECK(format_time(Seconds(0.9996)) == "1.00 s");
    CHECK(format_time(Seconds(9.9951e-3)) == "10.0 ms");
    CHECK(format_time(Seconds(99.96e-3)) == "100 ms");
}

TEST_CASE("text: bytes are binary units, rates decimal ones") {
    CHECK(format_bytes(Bytes(0)) == "0 B");
    CHECK(format_bytes(Bytes(1)) == "1 B");
    CHECK(format_bytes(Bytes(1000)) == "1000 B");
    CHECK(format_bytes(Bytes(1536)) == "1.50 KiB");
    CHECK(format_bytes(Bytes(1.5 * 1073741824.0)) == "1.50 GiB");
    CHECK(format_bytes(Bytes(80 * 1073741824.0)) == "80.0 GiB");
    CHECK(format_bandwidth(Bandwidth(450e9)) == "450 GB/s");
    CHECK(format_bandwidth(Bandwidth(3.35e12)) == "3.35 TB/s");
    CHECK(format_bandwidth(Bandwidth(0)) == "0 B/s");
    CHECK(format_flop_rate(FlopRate(989e12)) == "989 TFLOP/s");
    CHECK(format_flop_rate(FlopRate(2.25e15)) == "2.25 PFLOP/s");
}

TEST_CASE("text: counts have a comma every three digits") {
    CHECK(format_count(0) == "0");
    CHECK(format_count(999) == "999");
    CHECK(format_count(1000) == "1,000");
    CHECK(format_count(8030261248) == "8,030,261,248");
    CHECK(format_count(-999) == "-999");
    CHECK(format_count(-123456) == "-123,456");
    CHECK(format_count(std::numeric_limits<std::int64_t>::min()) == "-9,223,372,036,854,775,808");
}

TEST_CASE("text: percentages have one digit after the point and no negative zero") {
    CHECK(format_percent(-0.042) == "-4.2 %");
    CHECK(format_percent(1.5) == "150.0 %");
    CHECK(format_percent(-0.0001) == "0.0 %");
}

TEST_CASE("text: join") {
    CHECK(join({}, ", ").empty());
    CHECK(join({"a"}, ", ") == "a");
    CHECK(join({"a", "b", "c"}, ", ") == "a, b, c");
}

TEST_CASE("text: the nearest choice") {
    const std::vector<std::string> gpus = {"a100-pcie", "a100-sxm", "h100-pcie",
                                           "h100-sxm",  "l4",       "rtx-4090"};
    SECTION("by edits") {
        CHECK(did_you_mean("h100-smx", gpus) == "did you mean \"h100-sxm\"?");
        CHECK(did_you_mean("rtx4090", gpus) == "did you mean \"rtx-4090\"?");
        CHECK(did_you_mean("14", gpus) == "did you mean \"l4\"?");
    }
    SECTION("by its beginning, the shortest end first") {
        CHECK(did_you_mean("a100", gpus) == "did you mean \"a100-sxm\"?");
        CHECK(did_you_mean("h200", gpus) == "did you mean \"h100-sxm\"?");
    }
    SECTION("case does not matter") {
        CHECK(did_you_mean("RTX-4090", gpus) == "did you mean \"rtx-4090\"?");
    }
    SECTION("nothing is near: no guess") {
        CHECK(did_you_mean("toaster", gpus).empty());
        CHECK(did_you_mean("x", gpus).empty());
        CHECK(did_you_mean("", gpus).empty());
        CHECK(did_you_mean("h100", {}).empty());
        CHECK(did_you_mean(std::string(100'000, 'h'), gpus).empty());
    }
}

TEST_CASE("text: shown keeps a message on one line") {
    CHECK(shown("plain") == "plain");
    CHECK(shown("gr\u00fc\u00df") == "gr\u00fc\u00df");
    CHECK(shown("two\nlines") == "two\\x0alines");
    CHECK(shown("\x1b[31mred") == "\\x1b[31mred");
    CHECK(shown(std::string_view("a\0b", 3)) == "a\\x00b");
    CHECK(shown("\xff\xfe") == "\\xff\\xfe");
    CHECK(shown("cut \xe2\x82") == "cut \\xe2\\x82");
    CHECK(shown("\xed\xa0\x80") == "\\xed\\xa0\\x80");  // a surrogate
    CHECK(shown("\xc2\x9b"
                "31m") ==
          "\\xc2\\x9b"
          "31m");  // C1: a terminal takes it for ESC [
}

TEST_CASE("text: shown cuts long text between characters") {
    CHECK(shown(std::string(80, 'x')) == std::string(80, 'x'));
    CHECK(shown(std::string(81, 'x')) == std::string(80, 'x') + "..");
    CHECK(shown(std::string(79, 'x') + "\u00e9") == std::string(79, 'x') + "..");
}

TEST_CASE("text: a table pads columns, underlines the header and aligns numbers right") {
    CHECK(format_table({{"model", "heads"}, {"qwen3-0.6b", "16"}, {"gpt2", "8"}}) ==
          "model       heads\n"
          "----------  -----\n"
          "qwen3-0.6b     16\n"
          "gpt2            8\n");
}

TEST_CASE("text: a table with short rows, one row, none") {
    CHECK(format_table({}).empty());
    CHECK(format_table({{"only", "header"}}) == "only  header\n----  ------\n");
    CHECK(format_table({{"a", "b"}, {"x"}, {"y", "z"}}) == "a  b\n-  -\nx\ny  z\n");
}

TEST_CASE("text: column widths count characters, not bytes") {
    CHECK(format_table({{"unit", "n"}, {"\u00b5s", "1"}, {"ms", "22"}}) ==
          "unit   n\n"
          "----  --\n"
          "\u00b5s     1\n"
          "ms    22\n");
}
