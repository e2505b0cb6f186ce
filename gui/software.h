#pragma once
#include <imgui.h>

#include <cstdint>
#include <vector>

#include "app/figures/theme.h"

namespace tplan::gui {

/// An opaque picture, rows from the top.
struct Picture {
    int width = 0, height = 0;
    std::vector<std::uint8_t> rgb;  // 3 bytes a pixel
};

/// Draws ImGui's triangles on the CPU: no display, no driver, the same bytes on every run. The only
/// texture is the font atlas of the current context.
Picture render(const ImDrawData& data, Rgb background);

}  // namespace tplan::gui
