#pragma once
#include <string>

#include "gui/app.h"
#include "gui/software.h"

namespace tplan::gui {

/// Runs `frames` frames of the app without a display and draws the last one on the CPU. Makes and
/// destroys its own ImGui context. The same app gives the same picture on every run.
Picture software_screenshot(App& app, int width, int height, int frames);

}  // namespace tplan::gui
