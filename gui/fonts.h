#pragma once
#include <imgui.h>

#include <string>
#include <vector>

#include "app/figures/display_list.h"

namespace tplan::gui {

/// The fonts of a context, one per size that figures use, so that every text is drawn as it was
/// rasterised and stays sharp.
struct Fonts {
    struct Face {
        ImFont* font = nullptr;
        float size = 0;  // pixels
        bool bold = false;
    };
    std::vector<Face> faces;
    float em = 15;        // pixels of body text
    TextMetrics metrics;  // of the regular face
    std::string file;     // empty = the built-in bitmap font
};

/// Loads the fonts at a scale into the context's atlas, replacing what it holds. The file is
/// $TPLAN_FONT, else DejaVu, Noto, Liberation or Roboto Sans where installed, else the built-in
/// font; `built_in` takes that one in any case, for pictures that must not depend on the machine.
Fonts load_fonts(float scale, bool built_in);

/// The face nearest to a size in pixels.
const Fonts::Face& face_for(const Fonts& fonts, float pixels, bool bold);

/// ImGui::PushFont of every version; ends with ImGui::PopFont().
void push_face(const Fonts::Face& face);

}  // namespace tplan::gui
