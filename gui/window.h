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

}  // namespace tplan::gui
