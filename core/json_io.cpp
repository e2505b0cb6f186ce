#include "core/json_io.h"

#include <algorithm>
#include <unordered_set>

#include "core/files.h"

namespace tplan {
namespace {

constexpr std::size_t kMaxDepth = 64;
constexpr std::size_t kMaxBytes = std::size_t{64} << 20;

std::string position_of(std::string_view text, std::size_t byte) {
    byte = std::min(byte, text.size());
    const auto before = text.substr(0, byte);
    const auto line = std::count(before.begin(), before.end(), '\n') + 1;
    const auto start = before.rfind('\n');
    const auto column = start == std::string_view::npos ? byte + 1 : byte - start;
    return fmt::format("line {}, column {}", line, column);
}

/// Builds the document from parser events, so that depth and duplicate keys are refused while
/// reading: the library's own reader keeps the last duplicate, and recursion on a document nested
/// 60,000 deep overflows the stack.
struct Builder : nlohmann::json_sax<Json> {
    std::string file;
    std::string_view text;
    Json root;
    std::vector<Json*> open;
    std::vector<std::unordered_set<std::string>> keys;
    std::string pending_key;

    Json& place(Json value) {
        if (open.empty()) {
            root = std::move(value);
            return root;
        }
        Json& parent = *open.back();
        if (parent.is_array())
            return parent.get_ref<Json::array_t&>().emplace_back(std::move(value));
        auto& object = static_cast<std::vector<Json::object_t::value_type>&>(
            parent.get_ref<Json::object_t&>());
        return object.emplace_back(std::move(pending_key), std::move(value)).second;
    }
    bool enter(Json value) {
        if (open.size() >= kMaxDepth)
            throw Error(file, fmt::format("nested deeper than {} levels", kMaxDepth));
        // A child is complete before its parent grows again, so the pointer to an open value stays
        // good.
        open.push_back(&place(std::move(value)));
        keys.emplace_back();
        return true;
    }
    bool leave() {
        open.pop_back();
        keys.pop_back();
        return true;
    }
    bool null() override { return place(nullptr), true; }
    bool boolean(bool value) override { return place(value), true; }
    bool number_integer(number_integer_t value) override { return place(value), true; }
    bool number_unsigned(number_unsigned_t value) override { return place(value), true; }
    bool number_float(number_float_t value, const string_t& token) override {
        if (!std::isfinite(value)) throw Error(file, "number " + token + " is out of range");
        return place(value), true;
    }
    bool string(string_t& value) override { return place(std::move(value)), true; }
    bool binary(binary_t&) override { throw Error(file, "binary values are not JSON"); }
    bool start_object(std::size_t) override { return enter(Json::object()); }
    bool end_object() override { return leave(); }
    bool start_array(std::size_t) override { return enter(Json::array()); }
    bool end_array() override { return leave(); }
    bool key(string_t& name) override {
        if (!keys.back().insert(name).second)
            throw Error(file, "duplicate key \"" + name + "\"", "keep one of them");
        pending_key = std::move(name);
        return true;
    }
    bool parse_error(std::size_t byte, const std::string& token,
                     const nlohmann::detail::exception& error) override {
        std::string reason = error.what();
        if (const auto at = reason.find(": "); at != std::string::npos)
            reason = reason.substr(at + 2);
        if (token.empty() && text.empty())
            reason = "the file is empty; a JSON document was expected";
        throw Error(file, fmt::format("not valid JSON at {}: {}",
                                      position_of(text, byte ? byte - 1 : 0), reason));
    }
};

}  // namespace

Json parse_json(std::string_view text, const std::string& file) {
    if (text.size() > kMaxBytes) throw Error(file, "larger than 64 MiB");
    Builder builder;
    builder.file = file;
    builder.text = text;
    Json::sax_parse(text.begin(), text.end(), &builder);
    return std::move(builder.root);
}

Json load_json(const std::string& path) {
    return parse_json(read_file(path, kMaxBytes), path);
}

std::string dump_json(const Json& document) {
    return document.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

void require_schema(const Json& document, std::string_view schema, const std::string& where) {
    if (!document.is_object()) json_detail::wrong_type(where, "an object", document);
    const auto found = document.find("schema");
    if (found == document.end() || !found->is_string()) {
        throw Error(where, fmt::format("no \"schema\" key; expected \"{}\"", schema));
    }
    if (found->get_ref<const std::string&>() != schema) {
        throw Error(where + "/schema",
                    fmt::format("expected \"{}\", got {}", schema, found->dump()));
    }
}

namespace json_detail {

void wrong_type(const std::string& where, std::string_view expected, const Json& got) {
    auto text = got.dump(-1, ' ', false, Json::error_handler_t::replace);
    if (text.size() > 60) text = text.substr(0, 57) + "...";
    throw Error(where, fmt::format("expected {}, got {}", expected, text));
}

double read_double(const Json& in, const std::string& where) {
    if (!in.is_number()) wrong_type(where, "a number", in);
    const auto value = in.get<double>();
    if (!std::isfinite(value)) wrong_type(where, "a finite number", in);
    return value;
}

std::int64_t read_integer(const Json& in, const std::string& where, std::int64_t low,
                          std::int64_t high) {
    if (!in.is_number_integer()) wrong_type(where, "an integer", in);
    if (in.is_number_unsigned() && in.get<std::uint64_t>() > static_cast<std::uint64_t>(high)) {
        wrong_type(where, fmt::format("an integer up to {}", high), in);
    }
    const auto value = in.get<std::int64_t>();
    if (value < low || value > high)
        wrong_type(where, fmt::format("an integer from {} to {}", low, high), in);
    return value;
}

std::size_t read_enum(const Json& in, const std::string& where, const std::string_view* names,
                      std::size_t count) {
    if (!in.is_string()) wrong_type(where, "a string", in);
    const auto& text = in.get_ref<const std::string&>();
    const auto* found = std::find(names, names + count, text);
    if (found != names + count) return static_cast<std::size_t>(found - names);
    std::vector<std::string> choices(names, names + count);
    throw Error(where, fmt::format("\"{}\" is not one of {}", text, join(choices, ", ")),
                did_you_mean(text, choices));
}

void refuse_unknown_keys(const Json& in, const std::string& where,
                         const std::vector<std::string_view>& known) {
    for (const auto& [key, value] : in.items()) {
        if (std::find(known.begin(), known.end(), key) != known.end()) continue;
        std::vector<std::string> choices(known.begin(), known.end());
        throw Error(where + "/" + key, "unknown key", did_you_mean(key, choices));
    }
}

}  // namespace json_detail
}  // namespace tplan
