#pragma once
#include <array>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/names.h"
#include "core/text.h"
#include "core/units.h"

/// Strict JSON in, deterministic JSON out. A struct lists its fields once:
///     static void fields(auto& self, auto&& field) { field("latency_s", self.latency); ... }
/// and from_json<T>(), json_text(), to_json() and describe() (core/schema.h) all use that list.
/// Enums map through their `enum_names` (core/names.h).
///
/// Types: bool, integers, double, Quantity, std::string, enums, vectors, std::array, structs with
/// fields, std::optional (left out when empty), Nullable (written as null when empty), Named (an
/// object with free keys, order kept) and Json itself (embedded as it is).

namespace tplan {

using Json = nlohmann::ordered_json;

/// A value that JSON writes as null when absent. The key must be there on reading.
template <class T>
struct Nullable {
    std::optional<T> value;
    bool operator==(const Nullable&) const = default;
};

/// A JSON object with free keys in a kept order.
template <class T>
using Named = std::vector<std::pair<std::string, T>>;

/// What a document may ask of us.
struct JsonLimits {
    std::size_t bytes = std::size_t{64} << 20;
    std::size_t depth = 64;
    /// A short text can stand for many values: "[]," is 3 bytes and takes 48 in memory. This keeps
    /// the largest file below 1 GiB; the plan of a 405B model on 64 ranks has about a million.
    std::size_t values = 8'000'000;
};

/// Parses one JSON document. Throws Error naming `file` with line and column for malformed or
/// truncated text, duplicate keys, too deep nesting and a number outside double; also for more
/// bytes or values than allowed. Time and memory are linear in the text.
Json parse_json(std::string_view text, const std::string& file, const JsonLimits& limits = {});

/// Reads and parses a file (see parse_json). Throws Error when it cannot be read.
Json load_json(const std::string& path);

/// Throws Error unless `document` is an object whose "schema" equals `schema`.
void require_schema(const Json& document, std::string_view schema, const std::string& where);

/// A number where a number belongs, but not one that can stand there: a fraction for a count, too
/// large. Apart from a wrong type, because an edit of a number can make it.
struct OutOfRange : Error {
    using Error::Error;
};

/// Throws Error: "expected an object, got 3.7". `expected` says what was wanted at `where`.
[[noreturn]] void wrong_type(const std::string& where, std::string_view expected, const Json& got);

namespace json_detail {

template <class T>
concept HasFields = requires(T& object) {
    T::fields(object, [](const char*, auto&) {});
};

template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};
template <class T>
struct IsNamed : std::false_type {};
template <class T>
struct IsNamed<std::vector<std::pair<std::string, T>>> : std::true_type {
    using Value = T;
};
template <class T>
struct IsArray : std::false_type {};
template <class T, std::size_t N>
struct IsArray<std::array<T, N>> : std::true_type {};
template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};
template <class T>
struct IsNullable : std::false_type {};
template <class T>
struct IsNullable<Nullable<T>> : std::true_type {};
template <class T>
struct IsQuantity : std::false_type {};
template <int F, int B, int S>
struct IsQuantity<Quantity<F, B, S>> : std::true_type {};

double read_double(const Json& in, const std::string& where);
std::int64_t read_integer(const Json& in, const std::string& where, std::int64_t low,
                          std::int64_t high);
std::size_t read_enum(const Json& in, const std::string& where, const std::string_view* names,
                      std::size_t count);
void refuse_unknown_keys(const Json& in, const std::string& where,
                         const std::vector<std::string_view>& known);

template <class T>
void read_value(const Json& in, const std::string& where, T& out);

struct FieldReader {
    const Json& in;
    const std::string& where;
    std::vector<std::string_view>& known;

    template <class T>
    void operator()(const char* key, T& out) const {
        known.emplace_back(key);
        const auto found = in.find(key);
        if (found == in.end()) {
            if constexpr (IsOptional<T>::value) {
                out.reset();
                return;
            }
            throw Error(where + "/" + key, "missing key", "add it; see data/schema.md");
        }
        if constexpr (IsOptional<T>::value) {
            read_value(*found, where + "/" + key, out.emplace());
        } else {
            read_value(*found, where + "/" + key, out);
        }
    }
};

template <class T>
void read_value(const Json& in, const std::string& where, T& out) {
    if constexpr (std::same_as<T, Json>) {
        out = in;
    } else if constexpr (std::same_as<T, bool>) {
        if (!in.is_boolean()) wrong_type(where, "true or false", in);
        out = in.get<bool>();
    } else if constexpr (std::is_enum_v<T>) {
        constexpr auto names = enum_names(T{});
        out = static_cast<T>(read_enum(in, where, names.data(), names.size()));
    } else if constexpr (std::integral<T>) {
        constexpr auto low = std::numeric_limits<T>::min();
        constexpr auto high = std::numeric_limits<T>::max();
        static_assert(std::is_signed_v<T>, "counts are signed integers");
        out = static_cast<T>(read_integer(in, where, low, high));
    } else if constexpr (std::floating_point<T>) {
        out = read_double(in, where);
    } else if constexpr (IsQuantity<T>::value) {
        out = T(read_double(in, where));
    } else if constexpr (std::same_as<T, std::string>) {
        if (!in.is_string()) wrong_type(where, "a string", in);
        out = in.get<std::string>();
    } else if constexpr (IsNullable<T>::value) {
        if (in.is_null()) {
            out.value.reset();
        } else {
            read_value(in, where, out.value.emplace());
        }
    } else if constexpr (IsNamed<T>::value) {
        if (!in.is_object()) wrong_type(where, "an object", in);
        out.clear();
        for (const auto& [key, value] : in.items()) {
            auto& entry = out.emplace_back();
            entry.first = key;
            read_value(value, where + "/" + shown(key), entry.second);
        }
    } else if constexpr (IsVector<T>::value) {
        if (!in.is_array()) wrong_type(where, "an array", in);
        out.clear();
        out.reserve(in.size());
        for (std::size_t i = 0; i < in.size(); ++i) {
            read_value(in[i], where + "/" + std::to_string(i), out.emplace_back());
        }
    } else if constexpr (IsArray<T>::value) {
        if (!in.is_array() || in.size() != out.size()) {
            wrong_type(where, "an array of " + std::to_string(out.size()), in);
        }
        for (std::size_t i = 0; i < out.size(); ++i) {
            read_value(in[i], where + "/" + std::to_string(i), out[i]);
        }
    } else {
        static_assert(HasFields<T>, "give the struct a static fields(self, field)");
        if (!in.is_object()) wrong_type(where, "an object", in);
        std::vector<std::string_view> known;
        T::fields(out, FieldReader{in, where, known});
        refuse_unknown_keys(in, where, known);
    }
}

/// Writes text straight from the values: a document of half a million values takes a tenth of the
/// time that building a Json first would.
struct TextWriter {
    std::string text;
    int depth = 0;

    void line(int level) {
        text += '\n';
        text.append(static_cast<std::size_t>(2 * level), ' ');
    }
    void string(std::string_view value);
    void number(double value);
    void number(std::int64_t value);
    void json(const Json& value);

    /// `each(item)` writes one element; `many` = the container has elements.
    template <class Items, class Each>
    void list(char open, char close, const Items& items, const Each& each) {
        text += open;
        ++depth;
        bool first = true;
        for (const auto& item : items) {
            if (!first) text += ',';
            first = false;
            line(depth);
            each(item);
        }
        --depth;
        if (!first) line(depth);
        text += close;
    }
    template <class T>
    void value(const T& in);
};

/// Numbers stand side by side on one line; everything else one a line.
template <class T>
concept Numeric =
    (std::integral<T> && !std::same_as<T, bool>) || std::floating_point<T> || IsQuantity<T>::value;

struct FieldWriter {
    TextWriter& to;
    bool& first;

    template <class T>
    void operator()(const char* key, const T& in) const {
        if constexpr (IsOptional<T>::value) {
            if (in) (*this)(key, *in);
        } else {
            if (!first) to.text += ',';
            first = false;
            to.line(to.depth);
            to.string(key);
            to.text += ": ";
            to.value(in);
        }
    }
};

template <class T>
void TextWriter::value(const T& in) {
    if constexpr (std::same_as<T, Json>) {
        json(in);
    } else if constexpr (std::same_as<T, bool>) {
        text += in ? "true" : "false";
    } else if constexpr (std::same_as<T, std::string>) {
        string(in);
    } else if constexpr (std::is_enum_v<T>) {
        string(name_of(in));
    } else if constexpr (std::integral<T>) {
        number(static_cast<std::int64_t>(in));
    } else if constexpr (std::floating_point<T>) {
        number(static_cast<double>(in));
    } else if constexpr (IsQuantity<T>::value) {
        number(in.value);
    } else if constexpr (IsNullable<T>::value) {
        if (in.value) {
            value(*in.value);
        } else {
            text += "null";
        }
    } else if constexpr (IsNamed<T>::value) {
        list('{', '}', in, [&](const auto& entry) {
            string(entry.first);
            text += ": ";
            value(entry.second);
        });
    } else if constexpr (IsVector<T>::value || IsArray<T>::value) {
        if constexpr (Numeric<typename T::value_type>) {
            text += '[';
            for (std::size_t i = 0; i < in.size(); ++i) {
                if (i > 0) text += ", ";
                value(in[i]);
            }
            text += ']';
        } else {
            list('[', ']', in, [&](const auto& item) { value(item); });
        }
    } else {
        static_assert(HasFields<T>, "give the struct a static fields(self, field)");
        text += '{';
        ++depth;
        bool first = true;
        T::fields(in, FieldWriter{*this, first});
        --depth;
        if (!first) line(depth);
        text += '}';
    }
}

}  // namespace json_detail

/// Reads a value strictly: an unknown, missing, wrong-typed, fractional, out-of-range or non-finite
/// entry is an Error whose `where` is the JSON path below `where`.
template <class T>
T from_json(const Json& in, const std::string& where) {
    T out{};
    json_detail::read_value(in, where, out);
    return out;
}

/// The document as text: keys in the order of `fields`, two-space indent, numbers of a list side by
/// side, a final newline. Throws Error for a number that is not finite.
template <class T>
std::string json_text(const T& value) {
    json_detail::TextWriter writer;
    writer.value(value);
    writer.text += '\n';
    return std::move(writer.text);
}

/// The document as a tree, for comparing and changing.
template <class T>
Json to_json(const T& value) {
    return parse_json(json_text(value), "json");
}

/// The enumerator of that name. Throws Error naming `where`, the choices and the nearest one.
template <class E>
requires std::is_enum_v<E> E parse_enum(std::string_view name, const std::string& where) {
    constexpr auto names = enum_names(E{});
    return static_cast<E>(
        json_detail::read_enum(Json(std::string(name)), where, names.data(), names.size()));
}

}  // namespace tplan
