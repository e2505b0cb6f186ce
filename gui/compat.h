#pragma once
#include <imgui.h>

#include <string_view>

/// Dear ImGui 1.86 to 1.92 under one roof. Keys and injected events differ between them; nothing
/// outside this file asks which version it is.

namespace tplan::gui {

/// The keys that commands use.
enum class Key {
    none,
    left,
    right,
    up,
    down,
    escape,
    enter,
    space,
    tab,
    comma,
    period,
    left_bracket,
    right_bracket,
    slash,
    minus,
    equal,
    digit0,
    digit1,
    digit2,
    digit4,
    digit8,
    b,
    c,
    d,
    e,
    f,
    h,
    k,
    l,
    o,
    p,
    r,
    s,
    t,
    y,
    z
};

/// Whether the key went down in this frame (repeats count when `repeat`).
bool pressed(Key key, bool repeat = false);
bool ctrl_down();
bool shift_down();

/// What a sheet of shortcuts prints: "Right", "B", "?".
std::string_view key_name(Key key);

/// Gives the keyboard to the next item of the current window.
void focus_next_item();

/// Tells a context without a platform backend which keys there are. Call once after creating it.
void prepare_keys();

// Events from a test or a replay, as a platform backend would give them.
void inject_mouse(float x, float y);
void inject_button(bool down);
void inject_wheel(float steps);
void inject_key(Key key, bool down);
void inject_modifiers(bool ctrl, bool shift);
void inject_text(std::string_view text);

}  // namespace tplan::gui
