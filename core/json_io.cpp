#include "core/json_io.h"

#include <algorithm>

namespace tplan {

void wrong_type(const std::string& where, std::string_view expected, const Json& got) {
    // A container may be large and says little.
    const auto text = got.is_object()  ? "an object"
                      : got.is_array() ? fmt::format("an array of {}", got.size())
                      : got.is_string()
                          ? fmt::format("\"{}\"", shown(got.get_ref<const std::string&>()))
                          : got.dump();
    throw Error(where, fmt::format("expected {}, got {}", expected, text));
}

void require_schema(const Json& document, std::string_view schema, const std::string& where) {
    if (!document.is_object()) wrong_type(where, "an object", document);
    const auto found = document.find("schema");
    if (found == document.end() || !found->is_string()) {
        throw Error(where, fmt::format("no \"schema\" key; expected \"{}\"", schema));
    }
    if (found->get_ref<const std::string&>() != schema) {
        throw Error(where + "/schema", fmt::format("expected \"{}\", got \"{}\"", schema,
                                                   shown(found->get_ref<const std::string&>())));
    }
}

namespace json_detail {
namespace {

[[noreturn]] void out_of_range(const std::string& where, std::string_view expected,
                               const Json& got) {
    throw OutOfRange(where, fmt::format("expected {}, got {}", expected, got.dump()));
}

}  // namespace

void TextWriter::string(std::string_view value) {
    const auto plain = [](char c) {
        return static_cast<unsigned char>(c) >= 0x20 && static_cast<unsigned char>(c) < 0x80 &&
               c != '"' && c != '\\';
    };
    if (std::all_of(value.begin(), value.end(), plain)) {
        text += '"';
        text += value;
        text += '"';
    } else {
        text += Json(value).dump(-1, ' ', false, Json::error_handler_t::replace);
    }
}

void TextWriter::number(double value) {
    if (!std::isfinite(value)) throw Error("json", "a value that is not finite cannot be written");
    // "-0" would come back as the integer 0.
    fmt::format_to(std::back_inserter(text), "{}", value);
    if (value == 0 && std::signbit(value)) text += ".0";
}

void TextWriter::number(std::int64_t value) {
    const fmt::format_int digits(value);
    text.append(digits.data(), digits.size());
}

void TextWriter::json(const Json& in) {
    if (in.is_object()) {
        list('{', '}', in.items(), [&](const auto& entry) {
            string(entry.key());
            text += ": ";
            json(entry.value());
        });
    } else if (in.is_array() && std::all_of(in.begin(), in.end(),
                                            [](const Json& item) { return item.is_number(); })) {
        text += '[';
        for (std::size_t i = 0; i < in.size(); ++i) {
            if (i > 0) text += ", ";
            json(in[i]);
        }
        text += ']';
    } else if (in.is_array()) {
        list('[', ']', in, [&](const Json& item) { json(item); });
    } else if (in.is_string()) {
        string(in.get_ref<const std::string&>());
    } else if (in.is_number_float()) {
        number(in.get<double>());
    } else {
        text += in.dump();
    }
}

double read_double(const Json& in, const std::string& where) {
    if (!in.is_number()) wrong_type(where, "a number", in);
    const auto value = in.get<double>();
    if (!std::isfinite(value)) out_of_range(where, "a finite number", in);
    return value;
}

std::int64_t read_integer(const Json& in, const std::string& where, std::int64_t low,
                          std::int64_t high) {
    const bool too_large =
        (in.is_number_unsigned() && in.get<std::uint64_t>() > static_cast<std::uint64_t>(high)) ||
        // An integer beyond 2^64 reaches us as a float; so does 3.0, which is no integer here.
        (in.is_number_float() && std::abs(in.get<double>()) >= 0x1p63);
    if (!in.is_number()) wrong_type(where, "an integer", in);
    if (!too_large && !in.is_number_integer()) out_of_range(where, "an integer", in);
    if (too_large || in.get<std::int64_t>() < low || in.get<std::int64_t>() > high)
        out_of_range(where, fmt::format("an integer from {} to {}", low, high), in);
    return in.get<std::int64_t>();
}

std::size_t read_enum(const Json& in, const std::string& where, const std::string_view* names,
                      std::size_t count) {
    if (!in.is_string()) wrong_type(where, "a string", in);
    const auto& text = in.get_ref<const std::string&>();
    const auto* found = std::find(names, names + count, text);
    if (found != names + count) return static_cast<std::size_t>(found - names);
    std::vector<std::string> choices(names, names + count);
    throw Error(where, fmt::format("\"{}\" is not one of {}", shown(text), join(choices, ", ")),
                did_you_mean(text, choices));
}

void refuse_unknown_keys(const Json& in, const std::string& where,
                         const std::vector<std::string_view>& known) {
    for (const auto& [key, value] : in.items()) {
        if (std::find(known.begin(), known.end(), key) != known.end()) continue;
        std::vector<std::string> choices(known.begin(), known.end());
        throw Error(where + "/" + shown(key), "unknown key", did_you_mean(key, choices));
    }
}

}  // namespace json_detail
}  // namespace tplan
