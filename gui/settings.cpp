#include "gui/settings.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "app/gui_launch.h"
#include "core/files.h"

namespace tplan::gui {

std::string settings_path() {
    const char* config = std::getenv("XDG_CONFIG_HOME");
    const char* home = std::getenv("HOME");
    const std::filesystem::path base = config && *config
                                           ? std::filesystem::path(config)
                                           : std::filesystem::path(home ? home : ".") / ".config";
    return (base / "tplan" / "window.json").string();
}

Settings load_settings(const std::string& path, std::string& complaint) {
    std::error_code error;
    if (!std::filesystem::exists(path, error)) return {};
    try {
        const auto document = load_json(path);
        require_schema(document, "tplan.settings/1", path);
        auto settings = from_json<Settings>(document, path);
        settings.scale = std::clamp(settings.scale, kLeastScale, kMostScale);
        settings.width = std::clamp(settings.width, 1024, 16384);
        settings.height = std::clamp(settings.height, 700, 16384);
        return settings;
    } catch (const Error& bad) {
        std::filesystem::rename(path, path + ".bad", error);
        complaint = std::string(bad.what()) + "; the file is now " + path + ".bad";
        return {};
    }
}

void save_settings(const std::string& path, const Settings& settings) {
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    write_file(path, json_text(settings));
}

}  // namespace tplan::gui
