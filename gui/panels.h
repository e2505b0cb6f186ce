#pragma once
#include <span>
#include <string_view>

#include "gui/app.h"

namespace tplan::gui {

/// Where a panel lies, in pixels.
struct Area {
    float x = 0, y = 0, width = 0, height = 0;
};

/// One panel: its name, where it lies in a window of a size, and its function. An area of width 0
/// hides it.
struct Panel {
    std::string_view name;
    Area (*area)(const Ui& ui, float width, float height);
    void (*draw)(Ui& ui);
};
std::span<const Panel> panels();

/// How many rows of panes there is room for, so that the shard map keeps a size that can be read:
/// three (centre; chart and memory; strip), two (centre; all others as tabs) or one (all as tabs).
enum class Rows { three, two, one };
Rows rows_of(const Ui& ui, float width, float height);

/// Brings a tab of kPaneTabs to the front of its pane. Throws Error for a name that is none.
void show(View& view, std::string_view name);

/// Below this width the details lie in the strip at the bottom.
bool is_narrow(const Ui& ui, float width);

/// Below this height the answer is set in body size, and what stands below it takes one line.
bool is_low(const Ui& ui, float height);

/// What stands below the answer: the same for the other link, or what was asked.
std::string second_sentence(const Ui& ui);

void draw_answer(Ui& ui);
void draw_notice(Ui& ui);
void draw_inputs(Ui& ui);
void draw_problems(Ui& ui);
void draw_centre(Ui& ui);
void draw_chart(Ui& ui);
void draw_memory(Ui& ui);
void draw_below(Ui& ui);
void draw_details(Ui& ui);
void draw_status(Ui& ui);

/// Tabs of the strip.
void draw_steps(Ui& ui);
void draw_run(Ui& ui);

/// The card that is shown while nothing is open.
void draw_welcome(Ui& ui, float width, float height);

/// Palette, sheet of shortcuts and the question for a path, over everything else.
void draw_overlays(Ui& ui, float width, float height);

}  // namespace tplan::gui
