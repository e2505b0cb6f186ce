#pragma once
#include <imgui.h>

#include <functional>

#include "app/figures/display_list.h"
#include "app/figures/theme.h"
#include "gui/fonts.h"

namespace tplan::gui {

/// How a figure is put on the screen.
struct Paint {
    ImVec2 origin;  // of the list's (0, 0), in pixels
    float em = 15;  // pixels
    Theme theme = Theme::dark;
    const Fonts* fonts = nullptr;
    std::function<bool(const Shape&)> selected;  // outlined, after everything else
};

/// Draws a display list with the shapes, patterns and titles that the SVG has. Edges of rectangles
/// lie on whole pixels; shapes outside the clip rectangle cost nothing.
void paint(ImDrawList& draw, const DisplayList& list, const Paint& how);

ImU32 colour(Theme theme, const Ink& ink);

}  // namespace tplan::gui
