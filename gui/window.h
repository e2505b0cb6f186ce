#pragma once
#include <string>

#include "gui/app.h"
#include "gui/software.h"

namespace tplan::gui {

struct WindowSize {
    int width = 0, height = 0;
};

/// Opens a window of that size, runs until it is closed and returns the size it then had. Throws
/// Error when there is no display. Draws only when something happened.
WindowSize run_window(App& app, int width, int height);

/// The same window, drawn `frames` times and read back.
Picture window_screenshot(App& app, int width, int height, int frames);

/// How fast the window is on this machine, medians over `frames`.
struct WindowSpeed {
    double first_window_s = 0;  // from the start of measuring to the first frame shown
    double frame_s = 0;         // a frame, until the driver has drawn it
    double build_s = 0;         // of it the panels, on the CPU
    double move_tp_s = 0;       // recomputation after the degree moved
    double move_batch_s = 0;    // after the batch changed: every layout is searched anew
    int idle_frames = 0;        // drawn while nobody touched the window
    double idle_cpu_s = 0;      // spent meanwhile
    static void fields(auto& self, auto&& field) {
        field("first_window_s", self.first_window_s);
        field("frame_s", self.frame_s);
        field("build_s", self.build_s);
        field("move_tp_s", self.move_tp_s);
        field("move_batch_s", self.move_batch_s);
        field("idle_frames", self.idle_frames);
        field("idle_cpu_s", self.idle_cpu_s);
    }
};
WindowSpeed measure_window(App& app, int width, int height, int frames, double idle_s);

}  // namespace tplan::gui
