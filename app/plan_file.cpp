#include "app/plan_file.h"

#include <filesystem>

#include "core/files.h"

namespace tplan {
namespace {

constexpr std::array kValidationKeys = {"measured", "numerics", "comparison", "verdict", "reasons"};
constexpr const char* kLastSteps = "last_steps";  // only in a run that was cut short

/// The text under "schema"; empty when there is none.
std::string named_schema(const Json& document) {
    if (!document.is_object()) return {};
    const auto found = document.find("schema");
    return found != document.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace

Json write_validated(const PlanDocument& plan, const Validation& validation) {
    auto document = to_json(plan);
    document["schema"] = kValidatedSchema;
    document.update(to_json(validation));
    return document;
}

PlanFile read_plan_file(const std::string& path) {
    return take_apart(load_json(path), path);
}

PlanFile take_apart(Json document, const std::string& where) {
    PlanFile file{std::move(document), {}};
    if (named_schema(file.plan) != kValidatedSchema) return file;
    auto extra = Json::object();
    for (const auto* key : kValidationKeys) {
        if (!file.plan.contains(key))
            throw Error(where + "/" + key, "missing key", "make the file again with `tplan run`");
        extra[key] = file.plan[key];
        file.plan.erase(key);
    }
    if (file.plan.contains(kLastSteps)) {
        extra[kLastSteps] = file.plan[kLastSteps];
        file.plan.erase(kLastSteps);
    }
    file.plan["schema"] = PlanDocument{}.schema;
    file.validation = from_json<Validation>(extra, where);
    return file;
}

bool is_plan_file(const std::string& path) {
    std::error_code ignored;
    if (!std::filesystem::is_regular_file(path, ignored)) return false;
    const auto schema = named_schema(load_json(path));
    return schema == PlanDocument{}.schema || schema == kValidatedSchema;
}

}  // namespace tplan
