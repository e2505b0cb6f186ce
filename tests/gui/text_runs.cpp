#include "tests/gui/text_runs.h"

#include <fmt/format.h>
#include <imgui_internal.h>

#include <algorithm>
#include <cmath>

namespace tplan::test {
namespace {

/// The triangles of a letter show a part of the font; those of shapes show its one white pixel.
bool is_letter(const ImDrawVert* corners) {
    return corners[0].uv.x != corners[2].uv.x && corners[0].uv.y != corners[2].uv.y;
}

const ImGuiWindow* window_of(const ImDrawList* list) {
    for (const auto* window : ImGui::GetCurrentContext()->Windows) {
        if (window->DrawList == list) return window;
    }
    return nullptr;
}

/// Whether a letter goes on where the run ends: on the same line, to its right and not far.
bool continues(const TextRun& run, float left, float top, float bottom, float em) {
    const float middle = (top + bottom) / 2, overlap = 0.25f * em;
    const bool same_line = std::abs(middle - (run.top + run.bottom) / 2) < 0.6f * em;
    return same_line && left > run.right - overlap && left < run.right + em;
}

TextRun seen(TextRun run) {
    run.left = std::max(run.left, run.clip.x);
    run.top = std::max(run.top, run.clip.y);
    run.right = std::min(run.right, run.clip.z);
    run.bottom = std::min(run.bottom, run.clip.w);
    return run;
}

std::string in_words(const TextRun& run) {
    return fmt::format("{} ({:.0f}, {:.0f}) to ({:.0f}, {:.0f})", run.window, run.left, run.top,
                       run.right, run.bottom);
}

}  // namespace

std::vector<TextRun> text_runs(const ImDrawData& data, float em) {
    std::vector<TextRun> runs;
    for (int l = 0; l < data.CmdListsCount; ++l) {
        const auto& list = *data.CmdLists[l];
        const auto* window = window_of(&list);
        TextRun open;
        bool any = false;
        for (const auto& command : list.CmdBuffer) {
            for (unsigned i = 0; i + 6 <= command.ElemCount; i += 3) {
                const auto* index = &list.IdxBuffer[static_cast<int>(command.IdxOffset + i)];
                const auto* corners =
                    &list.VtxBuffer[static_cast<int>(command.VtxOffset)] + index[0];
                if (index[2] != index[0] + 2 || index[3] != index[0] || index[4] != index[2] ||
                    !is_letter(corners))
                    continue;
                const auto low = corners[0].pos, high = corners[2].pos;
                if (!any || !continues(open, low.x, low.y, high.y, em)) {
                    if (any) runs.push_back(open);
                    open = {window ? window->Name : "?",
                            low.x,
                            low.y,
                            high.x,
                            high.y,
                            command.ClipRect};
                    open.may_scroll_x = window && window->ScrollMax.x > 0;
                    const bool bar = window && (window->Flags & ImGuiWindowFlags_NoScrollbar) == 0;
                    open.may_scroll_y = bar && window->ScrollMax.y > 0;
                    any = true;
                }
                open.top = std::min(open.top, low.y);
                open.bottom = std::max(open.bottom, high.y);
                open.right = std::max(open.right, high.x);
                i += 3;  // a letter is two triangles
            }
        }
        if (any) runs.push_back(open);
    }
    return runs;
}

std::vector<std::string> text_faults(const std::vector<TextRun>& runs) {
    constexpr float kTouch = 1.5f;  // pixels: edges of letters are soft
    std::vector<std::string> faults;
    std::vector<TextRun> visible;
    for (const auto& run : runs) {
        const auto shown = seen(run);
        if (shown.right - shown.left < kTouch || shown.bottom - shown.top < kTouch) continue;
        const bool cut_x = shown.right < run.right - kTouch || shown.left > run.left + kTouch;
        const bool cut_y = shown.bottom < run.bottom - kTouch || shown.top > run.top + kTouch;
        if ((cut_x && !run.may_scroll_x) || (cut_y && !run.may_scroll_y))
            faults.push_back("cut off: " + in_words(run));
        visible.push_back(shown);
    }
    for (std::size_t i = 0; i < visible.size(); ++i) {
        const auto& a = visible[i];
        for (std::size_t j = i + 1; j < visible.size() && visible[j].window == a.window; ++j) {
            const auto& b = visible[j];
            const float wide = std::min(a.right, b.right) - std::max(a.left, b.left);
            const float high = std::min(a.bottom, b.bottom) - std::max(a.top, b.top);
            if (wide > kTouch && high > kTouch)
                faults.push_back(in_words(a) + " overlaps " + in_words(b));
        }
    }
    return faults;
}

}  // namespace tplan::test
