#pragma once
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "core/json_io.h"

/// What a document looks like, from the same list of fields that its reader and writer use. The
/// generated data/schema.md is made of this.

namespace tplan {

/// One key. A list's elements are "key[]", a free key is "<name>".
struct SchemaRow {
    std::string path, type, presence;
    bool operator==(const SchemaRow&) const = default;
};

namespace json_detail {

/// A document with a schema of its own inside another one is described in its own place.
template <class T>
concept HasSchema = HasFields<T> && requires(T& object) {
    { object.schema } -> std::convertible_to<std::string>;
};

template <class T>
void describe_value(const std::string& path, const char* presence, std::vector<SchemaRow>& out);

struct FieldDescriber {
    const std::string& path;
    std::vector<SchemaRow>& out;

    template <class T>
    void operator()(const char* key, T&) const {
        const auto inside = path.empty() ? key : path + "/" + key;
        if constexpr (IsOptional<T>::value) {
            describe_value<typename T::value_type>(inside, "may be absent", out);
        } else {
            describe_value<T>(inside, "required", out);
        }
    }
};

/// The rows of a struct's own fields.
template <class T>
void describe_fields(const std::string& path, std::vector<SchemaRow>& out) {
    T object{};
    T::fields(object, FieldDescriber{path, out});
}

template <class T>
std::string choices() {
    std::string text = "one of";
    const char* separator = " ";
    for (const auto name : enum_names(T{})) {
        text += separator + std::string(name);
        separator = ", ";
    }
    return text;
}

template <class T>
void describe_value(const std::string& path, const char* presence, std::vector<SchemaRow>& out) {
    if constexpr (IsNullable<T>::value) {
        describe_value<typename decltype(T::value)::value_type>(path, "may be null", out);
    } else if constexpr (std::same_as<T, Json>) {
        out.push_back({path, "any JSON", presence});
    } else if constexpr (std::same_as<T, bool>) {
        out.push_back({path, "true or false", presence});
    } else if constexpr (std::is_enum_v<T>) {
        out.push_back({path, choices<T>(), presence});
    } else if constexpr (std::integral<T>) {
        out.push_back({path, "integer", presence});
    } else if constexpr (std::floating_point<T> || IsQuantity<T>::value) {
        out.push_back({path, "number", presence});
    } else if constexpr (std::same_as<T, std::string>) {
        out.push_back({path, "string", presence});
    } else if constexpr (IsNamed<T>::value) {
        out.push_back({path, "object with free keys", presence});
        describe_value<typename IsNamed<T>::Value>(path + "/<name>", "", out);
    } else if constexpr (IsVector<T>::value) {
        out.push_back({path, "array", presence});
        describe_value<typename T::value_type>(path + "[]", "", out);
    } else if constexpr (IsArray<T>::value) {
        out.push_back({path, "array of " + std::to_string(T{}.size()), presence});
        describe_value<typename T::value_type>(path + "[]", "", out);
    } else if constexpr (HasSchema<T>) {
        out.push_back({path, "the document " + T{}.schema, presence});
    } else {
        out.push_back({path, "object", presence});
        describe_fields<T>(path, out);
    }
}

}  // namespace json_detail

/// The rows of a document, in the order in which its keys are written.
template <class T>
std::vector<SchemaRow> describe() {
    std::vector<SchemaRow> rows;
    json_detail::describe_fields<T>("", rows);
    return rows;
}

/// A document and its rows; `schema` as its first key spells it.
struct SchemaOf {
    std::string schema;
    std::vector<SchemaRow> rows;
};
template <class T>
SchemaOf schema_of() {
    return {T{}.schema, describe<T>()};
}

}  // namespace tplan
