#include "models/family.h"

#include <algorithm>

#include "core/files.h"

namespace tplan {
namespace {

constexpr std::string_view kFolder = "models/families";

/// Reads a struct whose absent keys keep the value the struct is born with.
template <class T>
T read_over_defaults(const Json& in, const std::string& where) {
    if (!in.is_object()) wrong_type(where, "an object", in);
    auto full = to_json(T{});
    for (const auto& [key, value] : in.items()) full[key] = value;
    return from_json<T>(full, where);
}

/// "hidden": ["hidden_size", 4096]: the key's names, then the value when all are absent.
KeyRule read_rule(const std::string& field, const Json& in, const std::string& where) {
    if (!in.is_array() || in.empty()) wrong_type(where, "[key.., default]", in);
    KeyRule rule{.field = field, .keys = {}, .fallback = in.back()};
    for (std::size_t i = 0; i + 1 < in.size(); ++i) {
        rule.keys.push_back(from_json<std::string>(in[i], where));
    }
    return rule;
}

/// The file as it is; read_over_defaults then fills `traits` and `modules`.
struct FamilyFile {
    std::string schema = "tplan.family/1";
    std::string source;
    Named<Json> keys;
    std::optional<Named<std::vector<Json>>> only;
    std::vector<std::string> harmless;
    std::optional<Named<std::vector<std::string>>> checkpoint;
    Json traits, modules;
    static void fields(auto& self, auto&& field) {
        field("schema", self.schema);
        field("source", self.source);
        field("keys", self.keys);
        field("only", self.only);
        field("harmless", self.harmless);
        field("checkpoint", self.checkpoint);
        field("traits", self.traits);
        field("modules", self.modules);
    }
};

}  // namespace

SchemaOf family_schema() {
    auto schema = schema_of<FamilyFile>();
    // Of these two, a key left out has its usual value.
    const auto add = [&](const std::string& group, std::vector<SchemaRow> rows) {
        for (auto& row : rows)
            schema.rows.push_back({group + "/" + row.path, row.type, "may be absent"});
    };
    add("traits", describe<Traits>());
    add("modules", describe<ModuleNames>());
    return schema;
}

std::vector<std::string> family_names() {
    return resource_names(kFolder);
}

std::optional<Family> load_family(const std::string& model_type) {
    const auto names = family_names();
    if (!std::binary_search(names.begin(), names.end(), model_type)) return std::nullopt;
    const auto path = resource_path(std::string(kFolder) + "/" + model_type + ".json");
    const auto document = load_json(path);
    require_schema(document, FamilyFile{}.schema, path);
    auto file = from_json<FamilyFile>(document, path);

    Family family;
    family.name = model_type;
    family.source = file.source;
    for (const auto& [field, rule] : file.keys) {
        family.keys.push_back(read_rule(field, rule, path + "/keys/" + field));
    }
    if (file.only) family.only = *file.only;
    family.harmless = file.harmless;
    if (file.checkpoint) family.checkpoint = *file.checkpoint;
    family.traits = read_over_defaults<Traits>(file.traits, path + "/traits");
    family.modules = read_over_defaults<ModuleNames>(file.modules, path + "/modules");
    return family;
}

}  // namespace tplan
