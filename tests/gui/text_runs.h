#pragma once
#include <imgui.h>

#include <string>
#include <vector>

namespace tplan::test {

/// Letters that stand beside each other on the screen, found in the triangles that are drawn: it
/// does not matter which widget or figure they come from.
struct TextRun {
    std::string window;
    float left = 0, top = 0, right = 0, bottom = 0;   // of the letters themselves, pixels
    ImVec4 clip;                                      // what of it is seen
    bool may_scroll_x = false, may_scroll_y = false;  // to what is cut off
};

/// The runs of a frame, those of a window one after the other. `em`: letters further apart belong
/// to two runs.
std::vector<TextRun> text_runs(const ImDrawData& data, float em);

/// What is wrong with them: two that overlap in a window, and text cut off at an edge that cannot
/// be scrolled. One line each; empty when all is well.
std::vector<std::string> text_faults(const std::vector<TextRun>& runs);

}  // namespace tplan::test
