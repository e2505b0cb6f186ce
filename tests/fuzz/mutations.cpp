#include <algorithm>
#include <filesystem>
#include <functional>
#include <iterator>
#include <optional>
#include <random>

#include "core/files.h"
#include "core/json_io.h"
#include "tests/fuzz/readers.h"
#include "tests/support/catch.h"

/// Every reader against damaged copies of what it accepts: it must accept or throw Error, whatever
/// the damage. Seeded, so that a failure repeats.

using namespace tplan;
using test::Reader;
using test::readers;

namespace {

using Random = std::mt19937_64;

std::size_t below(Random& random, std::size_t n) {
    return static_cast<std::size_t>(random() % n);
}

/// The reader's complaint about `text`; nullopt when it accepts. Any exception but Error fails.
std::optional<std::string> complaint(const Reader& reader, std::string_view text) {
    try {
        reader.read(text);
        return std::nullopt;
    } catch (const Error& error) {
        return error.what();
    } catch (const std::exception& other) {
        INFO("reader " << reader.name << ", text:\n" << text.substr(0, 4000));
        FAIL("an exception that is not an Error: " << other.what());
    }
    return std::nullopt;
}

void check_complaint(const Reader& reader, std::string_view text, const std::string& message) {
    const bool one_short_line = message.size() < 3100 && message.find('\n') == std::string::npos;
    if (one_short_line) return;
    INFO("reader " << reader.name << ", text:\n" << text.substr(0, 4000));
    FAIL("a message that is no short line: " << message.substr(0, 4000));
}

/// Accepts or complains well.
void survive(const Reader& reader, std::string_view text) {
    if (const auto message = complaint(reader, text)) check_complaint(reader, text, *message);
}

/// Complains well.
void must_refuse(const Reader& reader, std::string_view text) {
    const auto message = complaint(reader, text);
    if (message) return check_complaint(reader, text, *message);
    INFO("reader " << reader.name << ", text:\n" << text.substr(0, 4000));
    FAIL("accepted");
}

/// Pointers to every value of a document.
void collect(Json& value, std::vector<Json*>& all) {
    all.push_back(&value);
    if (value.is_structured())
        for (auto& child : value) collect(child, all);
}

/// Values that readers trip over.
const std::vector<Json>& nasty_values() {
    static const std::vector<Json> kValues = {nullptr,
                                              true,
                                              false,
                                              0,
                                              1,
                                              -1,
                                              2,
                                              3,
                                              7,
                                              0.5,
                                              -0.0,
                                              1e-320,
                                              1e308,
                                              -1e308,
                                              1LL << 31,
                                              (1LL << 31) + 1,
                                              -(1LL << 31) - 1,
                                              1LL << 53,
                                              INT64_MAX,
                                              INT64_MIN,
                                              UINT64_MAX,
                                              "",
                                              "x",
                                              "0",
                                              "\n",
                                              "\x1b[31m",
                                              std::string(5000, 'y'),
                                              Json::array(),
                                              Json::object(),
                                              Json::array({1, 2, 3}),
                                              Json::object({{"a", 1}}),
                                              Json::array({nullptr}),
                                              Json::array({Json::array({Json::array()})})};
    return kValues;
}

/// Damages one value of the document in one way.
void mutate(Json& document, Random& random) {
    std::vector<Json*> all;
    collect(document, all);
    Json& target = *all[below(random, all.size())];
    switch (below(random, 5)) {
        case 0:
            if (target.is_object() && !target.empty()) {
                target.erase(std::next(target.begin(),
                                       static_cast<std::ptrdiff_t>(below(random, target.size()))));
                break;
            }
            [[fallthrough]];
        case 1:
            if (target.is_object()) {
                target["unknown_key"] = nasty_values()[below(random, nasty_values().size())];
                break;
            }
            [[fallthrough]];
        case 2:
            if (target.is_array() && !target.empty()) {
                target.push_back(target[below(random, target.size())]);
                break;
            }
            [[fallthrough]];
        case 3: {
            const Json copy = *all[below(random, all.size())];  // a value from elsewhere
            target = copy;
            break;
        }
        default:
            target = nasty_values()[below(random, nasty_values().size())];
    }
}

/// For each reader and each text it accepts.
void for_each_seed(const std::function<void(const Reader&, const std::string&)>& body) {
    for (const auto& reader : readers())
        for (const auto& text : reader.accepted()) body(reader, text);
}

/// How often to try something on a text: less often the longer it is, so that every reader takes
/// about the same time.
std::size_t tries(std::size_t text_size, std::size_t most) {
    return std::min(most, std::max<std::size_t>(100, 4'000'000 / text_size));
}

/// For each reader, many times, in turn over the texts it accepts.
void repeat(const std::function<void(const Reader&, const std::string&)>& body) {
    for (const auto& reader : readers()) {
        const auto texts = reader.accepted();
        const auto times = tries(texts.front().size(), 3000);
        for (std::size_t i = 0; i < times; ++i) body(reader, texts[i % texts.size()]);
    }
}

}  // namespace

TEST_CASE("the seeds are accepted") {
    for (const auto& reader : readers()) {
        CAPTURE(reader.name);
        CHECK_FALSE(reader.accepted().empty());
        for (const auto& text : reader.accepted()) CHECK(complaint(reader, text) == std::nullopt);
    }
}

TEST_CASE("past bugs stay fixed") {
    namespace fs = std::filesystem;
    const auto corpus = fs::path(TPLAN_ROOT) / "tests/fuzz/corpus";
    int inputs = 0;
    for (const auto& folder : fs::directory_iterator(corpus)) {
        const auto& reader = test::find_reader(folder.path().filename().string());
        for (const auto& entry : fs::directory_iterator(folder)) {
            ++inputs;
            CAPTURE(entry.path());
            survive(reader, read_file(entry.path().string(), std::size_t{64} << 20));
        }
    }
    CHECK(inputs >= 2);
}

TEST_CASE("a text cut at any byte is refused") {
    Random random(1);
    for_each_seed([&](const Reader& reader, const std::string& text) {
        // What remains after the last bracket is only white space.
        const auto end = text.find_last_not_of(" \n");
        const auto cuts = tries(text.size(), end);
        for (std::size_t i = 0; i < cuts; ++i) {
            const auto length = cuts == end ? i : below(random, end);
            must_refuse(reader, std::string_view(text).substr(0, length));
        }
    });
    SUCCEED();
}

TEST_CASE("extra bytes at either end are refused") {
    for_each_seed([](const Reader& reader, const std::string& text) {
        for (const auto* extra : {"x", "{}", "]", ",", "\xff", "\x01", "0"}) {
            must_refuse(reader, text + extra);
            must_refuse(reader, extra + text);
        }
        must_refuse(reader, text + std::string(1, '\0'));
    });
    SUCCEED();
}

TEST_CASE("damaged bytes are refused or read") {
    Random random(2);
    repeat([&](const Reader& reader, const std::string& text) {
        auto damaged = text;
        for (auto n = 1 + below(random, 3); n > 0; --n)
            damaged[below(random, damaged.size())] = static_cast<char>(below(random, 256));
        survive(reader, damaged);
    });
    SUCCEED();
}

TEST_CASE("damaged values are refused or read") {
    Random random(3);
    repeat([&](const Reader& reader, const std::string& text) {
        auto document = Json::parse(text);
        for (auto n = 1 + below(random, 3); n > 0; --n) mutate(document, random);
        survive(reader, document.dump());
    });
    SUCCEED();
}

TEST_CASE("documents of the wrong shape are refused") {
    for (const auto& reader : readers()) {
        for (const auto* text : {"", " ", "null", "1", "\"text\"", "[]", "{}", "[{}]",
                                 "{\"schema\":\"tplan.plan/99\"}"})
            must_refuse(reader, text);
    }
    SUCCEED();
}
