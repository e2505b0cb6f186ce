#include "gui/panels.h"

#include <algorithm>
#include <array>

#include "gui/widgets.h"

namespace tplan::gui {
namespace {

/// The window in columns and rows.
struct Frame {
    float top, bottom;    // of what lies between the answer and the status line
    float left, right;    // of the centre
    float figure, chart;  // heights in the centre
    float strip;          // height at the bottom
};

/// Lines that a text takes in a width, in pixels.
float text_height(const Fonts::Face& face, const std::string& text, float width) {
    const auto lines = broken_at_spaces(face, text, width);
    return face.font->CalcTextSizeA(face.size, 1e9f, 0, lines.c_str()).y;
}

/// What the answer and the sentence below it take.
float answer_height(const Ui& ui, float width, float height) {
    const float inside = width - ui.em * 1.2f;
    const bool low = is_low(ui, height);
    const auto& strong = face_for(ui.fonts, ui.em * (low ? 1 : 1.2f), true);
    const auto& plain = face_for(ui.fonts, ui.em, false);
    if (!ui.work.study) return ui.em * 2.4f;
    return text_height(strong, ui.work.study->answer, inside) +
           text_height(plain, low ? "x" : second_sentence(ui), inside) + ui.em * 1.3f;
}

/// Of the line that says that a file has changed on disk.
float notice_height(const Ui& ui) {
    return ui.work.file_changed ? ui.em * 2.4f : 0;
}

/// Widths and heights in em, below which a pane says too little.
constexpr float kLeastMap = 17, kLeastPane = 12;

Frame frame_of(const Ui& ui, float width, float height) {
    const float em = ui.em;
    Frame frame{};
    frame.top = answer_height(ui, width, height) + notice_height(ui);
    frame.bottom = height - em * 1.9f;
    const float inside = frame.bottom - frame.top;
    frame.left = em * 19;
    frame.right = !is_narrow(ui, width) && ui.view.details ? width - em * 20 : width;
    frame.strip = std::max(em * kLeastPane, inside * 0.25f);
    frame.chart = std::max(em * kLeastPane, inside * 0.23f);
    if (inside - frame.strip - frame.chart < em * kLeastMap) frame.chart = 0;
    if (inside - frame.strip - frame.chart < em * kLeastMap) frame.strip = 0;
    frame.figure = inside - frame.strip - frame.chart;
    return frame;
}

/// What the fields need; problems get the rest, at least a fifth.
float inputs_height(const Ui& ui, const Frame& frame) {
    return std::min(ui.em * 35, (frame.bottom - frame.top) * 0.8f);
}

constexpr std::array kPanels = {
    Panel{"answer",
          [](const Ui& ui, float width, float height) {
              return Area{0, 0, width, answer_height(ui, width, height)};
          },
          draw_answer},
    Panel{"notice",
          [](const Ui& ui, float width, float height) {
              return Area{0, answer_height(ui, width, height), width, notice_height(ui)};
          },
          draw_notice},
    Panel{"inputs",
          [](const Ui& ui, float width, float height) {
              const auto f = frame_of(ui, width, height);
              return Area{0, f.top, f.left, inputs_height(ui, f)};
          },
          draw_inputs},
    Panel{"problems",
          [](const Ui& ui, float width, float height) {
              const auto f = frame_of(ui, width, height);
              const float above = inputs_height(ui, f);
              return Area{0, f.top + above, f.left, f.bottom - f.top - above};
          },
          draw_problems},
    Panel{"centre",
          [](const Ui& ui, float width, float height) {
              const auto f = frame_of(ui, width, height);
              return Area{f.left, f.top, f.right - f.left, f.figure};
          },
          draw_centre},
    Panel{"chart",
          [](const Ui& ui, float width, float height) {
              const auto f = frame_of(ui, width, height);
              return Area{f.left, f.top + f.figure, (f.right - f.left) / 2, f.chart};
          },
          draw_chart},
    Panel{"memory",
          [](const Ui& ui, float width, float height) {
              const auto f = frame_of(ui, width, height);
              const float half = (f.right - f.left) / 2;
              return Area{f.left + half, f.top + f.figure, half, f.chart};
          },
          draw_memory},
    Panel{"details",
          [](const Ui& ui, float width, float height) {
              const auto f = frame_of(ui, width, height);
              return Area{f.right, f.top, width - f.right, f.bottom - f.top};
          },
          draw_details},
    Panel{"strip",
          [](const Ui& ui, float width, float height) {
              const auto f = frame_of(ui, width, height);
              return Area{f.left, f.bottom - f.strip, f.right - f.left, f.strip};
          },
          draw_below},
    Panel{"status",
          [](const Ui& ui, float width, float height) {
              return Area{0, height - ui.em * 1.9f, width, ui.em * 1.9f};
          },
          draw_status},
};

}  // namespace

std::span<const Panel> panels() {
    return kPanels;
}

Rows rows_of(const Ui& ui, float width, float height) {
    const auto frame = frame_of(ui, width, height);
    return frame.chart > 0 ? Rows::three : frame.strip > 0 ? Rows::two : Rows::one;
}

bool is_low(const Ui& ui, float height) {
    return height < ui.em * 44;
}

bool is_narrow(const Ui& ui, float width) {
    return width < ui.em * 84;
}

}  // namespace tplan::gui
