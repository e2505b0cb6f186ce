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
float answer_height(const Ui& ui, float width) {
    const float inside = width - ui.em * 1.2f;
    const auto& strong = face_for(ui.fonts, ui.em * 1.2f, true);
    const auto& plain = face_for(ui.fonts, ui.em, false);
    if (!ui.work.study) return ui.em * 2.4f;
    return text_height(strong, ui.work.study->answer, inside) +
           text_height(plain, second_sentence(ui), inside) + ui.em * 1.3f;
}

Frame frame_of(const Ui& ui, float width, float height) {
    const float em = ui.em;
    Frame frame{};
    frame.top = answer_height(ui, width);
    frame.bottom = height - em * 1.9f;
    const float inside = frame.bottom - frame.top;
    frame.left = em * 19;
    frame.right = !is_narrow(ui, width) && ui.view.details ? width - em * 20 : width;
    frame.strip = std::max(em * 12, inside * 0.25f);
    frame.chart = std::max(em * 12, inside * 0.23f);
    frame.figure = inside - frame.strip - frame.chart;
    return frame;
}

/// What the fields need; problems get the rest, at least a seventh.
float inputs_height(const Ui& ui, const Frame& frame) {
    return std::min(ui.em * 35, (frame.bottom - frame.top) * 0.85f);
}

constexpr std::array kPanels = {
    Panel{"answer",
          [](const Ui& ui, float width, float) {
              return Area{0, 0, width, answer_height(ui, width)};
          },
          draw_answer},
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
          draw_strip},
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

bool is_narrow(const Ui& ui, float width) {
    return width < ui.em * 84;
}

}  // namespace tplan::gui
