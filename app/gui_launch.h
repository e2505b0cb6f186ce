#pragma once
#include <optional>
#include <string>
#include <vector>

#include "app/figures/theme.h"
#include "app/workspace.h"

namespace tplan {

/// How the window is to start: what `tplan gui` hands to the program `tplan-gui` beside it.
struct GuiLaunch {
    std::string what;      // plan, model or empty
    std::string hardware;  // empty = the plan's, or the window's default
    std::string view;      // a figure or tab to show; empty = the usual ones
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
    }
};

}  // namespace tplan
