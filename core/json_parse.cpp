#include <algorithm>
#include <cctype>
#include <iterator>
#include <unordered_set>

#include "core/files.h"
#include "core/json_io.h"

namespace tplan {
namespace {

std::string position_of(std::string_view text, std::size_t byte) {
    const auto before = text.substr(0, std::min(byte, text.size()));
    const auto line = std::count(before.begin(), before.end(), '\n') + 1;
    const auto start = before.rfind('\n');
    const auto column = start == std::string_view::npos ? before.size() + 1 : before.size() - start;
    return fmt::format("line {}, column {}", line, column);
}

/// A character iterator that leaves in `*reached` how far the parser has read: the events of the
/// parser carry no position.
struct Tracked {
    using iterator_category = std::input_iterator_tag;
    using value_type = char;
    using difference_type = std::ptrdiff_t;
    using pointer = const char*;
    using reference = const char&;

    const char* at = nullptr;
    const char** reached = nullptr;

    reference operator*() const { return *at; }
    Tracked& operator++() {
        *reached = ++at;
        return *this;
    }
    Tracked operator++(int) {
        auto before = *this;
        ++*this;
        return before;
    }
    bool operator==(const Tracked& other) const { return at == other.at; }
    bool operator!=(const Tracked& other) const { return at != other.at; }
};

bool in_word(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == '+' ||
           c == '-';
}

/// Start of the word, number or string that holds or ends at `byte`: where a reader would look.
std::size_t token_start(std::string_view text, std::size_t byte) {
    if (byte >= text.size()) return text.size();
    if (text[byte] == '"') {
        // Within a string every quote has an odd number of backslashes before it.
        for (auto at = byte; at-- > 0;) {
            if (text[at] == '\n') break;
            if (text[at] != '"') continue;
            auto backslashes = at;
            while (backslashes > 0 && text[backslashes - 1] == '\\') --backslashes;
            if ((at - backslashes) % 2 == 0) return at;
        }
        return byte;
    }
    while (byte > 0 && in_word(text[byte]) && in_word(text[byte - 1])) --byte;
    return byte;
}

std::string_view token_at(std::string_view text, std::size_t start, std::size_t byte) {
    auto end = std::min(byte + 1, text.size());
    if (start < text.size() && in_word(text[start]))
        while (end < text.size() && in_word(text[end])) ++end;
    return text.substr(start, end - start);
}

struct Phrase {
    std::string_view found, ours;
};

/// What the library expected, in the words of a person who writes the file by hand.
std::string_view expectation(std::string_view reason) {
    constexpr std::array kRows = {
        Phrase{"missing closing quote", "the closing quote of a string"},
        Phrase{"invalid string", "the rest of a string"},
        Phrase{"invalid number", "a digit"},
        Phrase{"; expected '}'", "',' or '}'"},
        Phrase{"; expected ']'", "',' or ']'"},
        Phrase{"; expected ':'", "':' after the key"},
        Phrase{"; expected string literal", "a key in double quotes"},
        Phrase{"; expected end of input", "the end of the file"},
    };
    for (const auto& row : kRows) {
        if (reason.find(row.found) != std::string_view::npos) return row.ours;
    }
    return "a value";
}

/// What to do about things that people write and JSON lacks.
std::string_view advice(std::string_view token, std::string_view before) {
    constexpr std::array kRows = {
        Phrase{"/", "JSON has no comments"},
        Phrase{"#", "JSON has no comments"},
        Phrase{"'", "strings stand in double quotes"},
        Phrase{"NaN", "a number must be finite"},
        Phrase{"Infinity", "a number must be finite"},
        Phrase{"-Infinity", "a number must be finite"},
        Phrase{"True", "write true"},
        Phrase{"False", "write false"},
        Phrase{"None", "write null"},
    };
    for (const auto& row : kRows) {
        if (token == row.found) return row.ours;
    }
    const auto last = before.find_last_not_of(" \t\r\n");
    const bool after_comma = last != std::string_view::npos && before[last] == ',';
    return after_comma && (token == "}" || token == "]") ? "remove the comma before it" : "";
}

/// Builds the document from parser events, so that depth, duplicate keys and the number of values
/// are refused while reading: the library's own reader keeps the last duplicate, and recursion on a
/// document nested 60,000 deep overflows the stack.
struct Builder : nlohmann::json_sax<Json> {
    struct Open {
        Json* value;
        std::size_t byte;  // of its bracket
        std::unordered_set<std::string> keys;
    };
    std::string file;
    std::string_view text;
    const char* reached = nullptr;
    Json root;
    std::vector<Open> open;
    std::string pending_key;
    JsonLimits limits;
    std::size_t values = 0;

    /// Position of the last character read.
    std::size_t last_byte() const {
        const auto read = static_cast<std::size_t>(reached - text.data());
        return read == 0 ? 0 : read - 1;
    }
    [[noreturn]] void refuse(std::size_t byte, const std::string& what, std::string_view hint) {
        throw Error(fmt::format("{}, {}", file, position_of(text, byte)), what, std::string(hint));
    }

    Json& place(Json value) {
        if (++values > limits.values) {
            throw Error(file, fmt::format("holds more than {} values",
                                          format_count(static_cast<std::int64_t>(limits.values))));
        }
        if (open.empty()) {
            root = std::move(value);
            return root;
        }
        Json& parent = *open.back().value;
        if (parent.is_array())
            return parent.get_ref<Json::array_t&>().emplace_back(std::move(value));
        auto& object = static_cast<std::vector<Json::object_t::value_type>&>(
            parent.get_ref<Json::object_t&>());
        return object.emplace_back(std::move(pending_key), std::move(value)).second;
    }
    bool enter(Json value) {
        if (open.size() >= limits.depth)
            refuse(last_byte(), fmt::format("nested deeper than {} levels", limits.depth), "");
        // A child is complete before its parent grows again, so the pointer to an open value stays
        // good.
        open.push_back({&place(std::move(value)), last_byte(), {}});
        return true;
    }
    bool leave() {
        open.pop_back();
        return true;
    }
    bool null() override { return place(nullptr), true; }
    bool boolean(bool value) override { return place(value), true; }
    bool number_integer(number_integer_t value) override { return place(value), true; }
    bool number_unsigned(number_unsigned_t value) override { return place(value), true; }
    bool number_float(number_float_t value, const string_t&) override { return place(value), true; }
    bool string(string_t& value) override { return place(std::move(value)), true; }
    bool binary(binary_t&) override { throw Error(file, "binary values are not JSON"); }
    bool start_object(std::size_t) override { return enter(Json::object()); }
    bool end_object() override { return leave(); }
    bool start_array(std::size_t) override { return enter(Json::array()); }
    bool end_array() override { return leave(); }
    bool key(string_t& name) override {
        if (!open.back().keys.insert(name).second) {
            refuse(token_start(text, last_byte()), "duplicate key \"" + shown(name) + "\"",
                   "keep one of them");
        }
        pending_key = std::move(name);
        return true;
    }
    bool parse_error(std::size_t byte, const std::string&,
                     const nlohmann::detail::exception& error) override {
        const std::string_view reason = error.what();
        if (byte > text.size() && text.find_first_not_of(" \t\r\n") == std::string_view::npos)
            throw Error(file, "is empty; a JSON document was expected");
        byte = byte == 0 ? 0 : byte - 1;
        if (byte >= text.size()) truncated(reason);
        const auto start = token_start(text, byte);
        const auto token = token_at(text, start, byte);
        if (reason.find("number overflow") != std::string_view::npos)
            refuse(start, fmt::format("number {} is out of range", shown(token)), "");
        // Within a string or number the library's words are plain: "invalid string: ..".
        for (const auto* mistake : {"invalid string: ", "invalid number; "}) {
            const auto at = reason.find(mistake);
            if (at == std::string_view::npos) continue;
            refuse(byte, shown(reason.substr(at, reason.find("; last read", at) - at)), "");
        }
        refuse(start, fmt::format("unexpected {}, expected {}", shown(token), expectation(reason)),
               advice(token, text.substr(0, start)));
    }

  private:
    /// The text ended while something was open.
    [[noreturn]] void truncated(std::string_view reason) {
        std::string hint;
        if (!open.empty()) {
            hint = fmt::format("the {} that opens at {} is not closed",
                               open.back().value->is_object() ? "object" : "array",
                               position_of(text, open.back().byte));
        }
        refuse(text.size(), fmt::format("the text ends early, expected {}", expectation(reason)),
               hint);
    }
};

}  // namespace

Json parse_json(std::string_view text, const std::string& file, const JsonLimits& limits) {
    if (text.size() > limits.bytes)
        throw Error(file, fmt::format("is larger than {} MiB", limits.bytes >> 20));
    if (text.empty()) text = "";  // never a null pointer
    // The library takes a zero byte for the end and would ignore what follows.
    if (const auto zero = text.find('\0'); zero != std::string_view::npos) {
        throw Error(fmt::format("{}, {}", file, position_of(text, zero)),
                    "a zero byte, expected JSON text");
    }
    Builder builder;
    builder.file = file;
    builder.limits = limits;
    builder.text = text;
    builder.reached = text.data();
    const Tracked first{text.data(), &builder.reached};
    const Tracked last{text.data() + text.size(), &builder.reached};
    Json::sax_parse(first, last, &builder);
    return std::move(builder.root);
}

Json load_json(const std::string& path) {
    return parse_json(read_file(path, JsonLimits{}.bytes), path);
}

}  // namespace tplan
