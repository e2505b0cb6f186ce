#pragma once
#include <optional>
#include <string>
#include <vector>

#include "app/figures/layer_flow.h"
#include "gui/app.h"

/// Small things that all panels draw alike.

namespace tplan::gui {

/// Remembers where the last widget lies, for tests.
void note_item(Ui& ui, std::string_view name);

ImVec4 colour4(Theme theme, Role role);

/// The text with line ends in place of spaces, so that a line is at most `width` pixels wide; a
/// wider word stands alone. (ImGui breaks after points and commas too: "1." and "09 ms".)
std::string broken_at_spaces(const Fonts::Face& face, std::string_view text, float width);

/// Text in a role's colour, wrapped at the panel's edge.
void say(Ui& ui, std::string_view text, Role role = Role::text, bool bold = false);
void heading(Ui& ui, std::string_view text);

/// A button that is disabled, with the reason as its tooltip, while `refusal` is not empty.
bool button(Ui& ui, std::string_view name, const std::string& label,
            const std::string& refusal = {}, bool highlighted = false);

/// The choice just made, if any. `title` stands left of it.
std::optional<std::string> choose(Ui& ui, std::string_view name, const char* title,
                                  const std::string& now, const std::vector<std::string>& choices);

/// A whole number; every change is an action, those of one stay in the field one undo step.
void number_field(Ui& ui, std::string_view name, const char* title, std::int64_t now,
                  ActionKind kind);

float button_width(const std::string& label);

/// Goes on beside the last widget when so many pixels are left there, else on the next line.
void same_line_if_fits(Ui& ui, float width);

/// Says what will be here while there is nothing to draw: true then.
bool nothing_yet(Ui& ui, std::string_view what);

/// The text, or as much of its beginning as fits with ".." behind it.
std::string elided(const Fonts::Face& face, std::string_view text, float width);

/// One line of text in a role's colour; what does not fit is elided, and stands in the tooltip.
void say_elided(Ui& ui, std::string_view text, Role role = Role::text);

/// Shows text while the last widget is pointed at.
void tooltip(Ui& ui, std::string_view text);

/// Draws a figure into the room that is left in the panel, scrolling when it is taller; shows its
/// titles under the pointer and selects what is clicked. `zoom` enlarges its em.
void figure_panel(Ui& ui, std::string_view figure, float zoom = 1);

/// The step of a section that a shape stands for, by the shape's id; empty when for none.
std::string step_of_shape(const FlowSection& section, std::string_view id);

/// Gives the next field the keyboard when it was asked for by name.
void take_focus(Ui& ui, std::string_view name);

}  // namespace tplan::gui
