#pragma once
#include <string>

#include "gui/app.h"

namespace tplan::gui {

/// `tplan.settings/1`: what the window keeps from one time to the next.
struct Settings {
    std::string schema = "tplan.settings/1";
    Theme theme = Theme::dark;
    double scale = 1;
    int width = 1600, height = 1000;
    bool details = true;
    std::vector<std::string> recent;
    static void fields(auto& self, auto&& field) {
        field("schema", self.schema);
        field("theme", self.theme);
        field("scale", self.scale);
        field("width", self.width);
        field("height", self.height);
        field("details", self.details);
        field("recent", self.recent);
    }
    bool operator==(const Settings&) const = default;
};

/// $XDG_CONFIG_HOME/tplan/window.json, or ~/.config/tplan/window.json.
std::string settings_path();

/// The settings of a file; defaults when there is none. One that cannot be read is renamed to
/// `<path>.bad`, and `complaint` says so.
Settings load_settings(const std::string& path, std::string& complaint);

/// Writes the file and the folder it is in.
void save_settings(const std::string& path, const Settings& settings);

}  // namespace tplan::gui
