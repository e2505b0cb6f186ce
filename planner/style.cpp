#include "planner/style.h"

#include <algorithm>

#include "core/files.h"

namespace tplan {
namespace {

constexpr std::string_view kFolder = "data/styles";

Style read_style(const std::string& name) {
    const auto path = resource_path(std::string(kFolder) + "/" + name + ".json");
    const auto document = load_json(path);
    require_schema(document, Style{}.schema, path);
    auto style = from_json<Style>(document, path);
    if (style.name != name) {
        throw Error(path + "/name", "found \"" + style.name + "\", expected \"" + name + "\"",
                    "a style's file is named after it");
    }
    return style;
}

void refuse_shared_spellings(const std::vector<Style>& styles) {
    std::vector<std::string> spellings;
    for (const auto& style : styles) {
        spellings.push_back(style.name);
        spellings.insert(spellings.end(), style.aliases.begin(), style.aliases.end());
    }
    std::sort(spellings.begin(), spellings.end());
    const auto twice = std::adjacent_find(spellings.begin(), spellings.end());
    if (twice != spellings.end()) {
        throw Error(std::string(kFolder), "two styles claim the spelling \"" + *twice + "\"",
                    "remove it from one of them");
    }
}

bool goes_by(const Style& style, const std::string& spelling) {
    return style.name == spelling ||
           std::find(style.aliases.begin(), style.aliases.end(), spelling) != style.aliases.end();
}

}  // namespace

std::vector<Style> load_styles() {
    std::vector<Style> styles;
    for (const auto& name : resource_names(kFolder)) styles.push_back(read_style(name));
    refuse_shared_spellings(styles);
    return styles;
}

const std::vector<Style>& shared_styles() {
    static const auto styles = load_styles();
    return styles;
}

const Style& find_style(const std::vector<Style>& styles, const std::string& spelling) {
    std::vector<std::string> names;
    for (const auto& style : styles) {
        if (goes_by(style, spelling)) return style;
        names.push_back(style.name);
        names.insert(names.end(), style.aliases.begin(), style.aliases.end());
    }
    std::sort(names.begin(), names.end());
    auto hint = did_you_mean(spelling, names);
    if (!hint.empty()) hint += " ";
    throw Error("TP plan", "unsupported tensor parallel style \"" + spelling + "\"",
                hint + "supported: " + join(names, ", "));
}

}  // namespace tplan
