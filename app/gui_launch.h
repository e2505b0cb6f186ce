#pragma once
#include <optional>
#include <string>
#include <vector>

#include "app/figures/theme.h"
#include "app/workspace.h"

namespace tplan {

/// What a person may set the window's scale to.
constexpr double kLeastScale = 0.75, kMostScale = 3;

/// How the window is to start: what `tplan gui` hands to the program `tplan-gui` beside it.
struct GuiLaunch {
    std::string what;      // plan, model or empty
    std::string hardware;  // empty = the plan's, or the window's default
    std::string view;      // of kPaneTabs; empty = the usual ones
    std::string select;    // a step
    std::optional<Theme> theme;
    std::optional<double> scale;
    int width = 0, height = 0;          // 0 = as it was left
    std::string screenshot;             // write this PNG and end
    std::string renderer = "software";  // of a screenshot: software or window
    int frames = 4;
    bool built_in_font = false;
    double measure_s = 0;         // leave the window alone so long, print how fast it is, and end
    std::vector<Action> actions;  // replayed before the first frame
    bool json = false;            // say what was written as `tplan.gui/1`
    static void fields(auto& self, auto&& field) {
        field("what", self.what);
        field("hardware", self.hardware);
        field("view", self.view);
        field("select", self.select);
        field("theme", self.theme);
        field("scale", self.scale);
        field("width", self.width);
        field("height", self.height);
        field("screenshot", self.screenshot);
        field("renderer", self.renderer);
        field("frames", self.frames);
        field("built_in_font", self.built_in_font);
        field("measure_s", self.measure_s);
        field("actions", self.actions);
        field("json", self.json);
    }
};

/// `tplan.gui/1`: what the window came to when it ended.
struct GuiEnded {
    std::string schema = "tplan.gui/1";
    Nullable<std::string> screenshot;  // null when none was asked for
    int width = 0, height = 0;         // of the picture, or of the window as it was closed
    static void fields(auto& self, auto&& field) {
        field("schema", self.schema);
        field("screenshot", self.screenshot);
        field("width", self.width);
        field("height", self.height);
    }
};

/// What is asked of `tplan gui`, as text where it is not checked yet.
struct GuiRequest {
    GuiLaunch launch;
    std::string theme;   // light, dark or high-contrast; empty = as it was left
    std::string size;    // "1600x1000"; empty = as it was left, of a screenshot 1600x1000
    std::string replay;  // file with a list of actions
    double scale = 0;    // 0 = as it was left
    int tp = 0;          // degree to start at; 0 = the plan's, or the best
};

/// The launch that was asked for. Throws Error naming the flag for a size, scale, theme, renderer
/// or view that is none, and for actions that cannot be read.
GuiLaunch make_launch(const GuiRequest& request);

/// Becomes the window: replaces this process by the program `tplan-gui` beside it. Throws Error
/// when that cannot be started.
[[noreturn]] void become_window(const GuiLaunch& launch);

}  // namespace tplan
