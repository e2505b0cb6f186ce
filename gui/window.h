#pragma once
#include <string>

#include "gui/app.h"
#include "gui/software.h"

namespace tplan::gui {

/// Opens a window of that size and runs until it is closed. Throws Error when there is no display.
/// Draws only when something happened.
void run_window(App& app, int width, int height);

/// The same window, drawn `frames` times and read back.
Picture window_screenshot(App& app, int width, int height, int frames);

}  // namespace tplan::gui
