#include "gui/compat.h"

#include <array>
#include <string>

namespace tplan::gui {
namespace {

struct KeyRow {
    Key key;
    std::string_view name;
    int glfw;   // what the GLFW backend of 1.86 puts into io.KeysDown
    int imgui;  // ImGuiKey, from 1.87 on
};

#if IMGUI_VERSION_NUM >= 18700
#define TPLAN_IMGUI_KEY(name) ImGuiKey_##name
#else
#define TPLAN_IMGUI_KEY(name) 0
#endif

constexpr std::array kKeys = {
    KeyRow{Key::left, "Left", 263, TPLAN_IMGUI_KEY(LeftArrow)},
    KeyRow{Key::right, "Right", 262, TPLAN_IMGUI_KEY(RightArrow)},
    KeyRow{Key::up, "Up", 265, TPLAN_IMGUI_KEY(UpArrow)},
    KeyRow{Key::down, "Down", 264, TPLAN_IMGUI_KEY(DownArrow)},
    KeyRow{Key::escape, "Esc", 256, TPLAN_IMGUI_KEY(Escape)},
    KeyRow{Key::enter, "Enter", 257, TPLAN_IMGUI_KEY(Enter)},
    KeyRow{Key::space, "Space", 32, TPLAN_IMGUI_KEY(Space)},
    KeyRow{Key::tab, "Tab", 258, TPLAN_IMGUI_KEY(Tab)},
    KeyRow{Key::comma, ",", 44, TPLAN_IMGUI_KEY(Comma)},
    KeyRow{Key::period, ".", 46, TPLAN_IMGUI_KEY(Period)},
    KeyRow{Key::left_bracket, "[", 91, TPLAN_IMGUI_KEY(LeftBracket)},
    KeyRow{Key::right_bracket, "]", 93, TPLAN_IMGUI_KEY(RightBracket)},
    KeyRow{Key::slash, "?", 47, TPLAN_IMGUI_KEY(Slash)},
    KeyRow{Key::minus, "-", 45, TPLAN_IMGUI_KEY(Minus)},
    KeyRow{Key::equal, "+", 61, TPLAN_IMGUI_KEY(Equal)},
    KeyRow{Key::digit0, "0", 48, TPLAN_IMGUI_KEY(0)},
    KeyRow{Key::digit1, "1", 49, TPLAN_IMGUI_KEY(1)},
    KeyRow{Key::digit2, "2", 50, TPLAN_IMGUI_KEY(2)},
    KeyRow{Key::digit4, "4", 52, TPLAN_IMGUI_KEY(4)},
    KeyRow{Key::digit8, "8", 56, TPLAN_IMGUI_KEY(8)},
    KeyRow{Key::b, "B", 66, TPLAN_IMGUI_KEY(B)},
    KeyRow{Key::c, "C", 67, TPLAN_IMGUI_KEY(C)},
    KeyRow{Key::d, "D", 68, TPLAN_IMGUI_KEY(D)},
    KeyRow{Key::e, "E", 69, TPLAN_IMGUI_KEY(E)},
    KeyRow{Key::f, "F", 70, TPLAN_IMGUI_KEY(F)},
    KeyRow{Key::h, "H", 72, TPLAN_IMGUI_KEY(H)},
    KeyRow{Key::k, "K", 75, TPLAN_IMGUI_KEY(K)},
    KeyRow{Key::l, "L", 76, TPLAN_IMGUI_KEY(L)},
    KeyRow{Key::o, "O", 79, TPLAN_IMGUI_KEY(O)},
    KeyRow{Key::p, "P", 80, TPLAN_IMGUI_KEY(P)},
    KeyRow{Key::r, "R", 82, TPLAN_IMGUI_KEY(R)},
    KeyRow{Key::s, "S", 83, TPLAN_IMGUI_KEY(S)},
    KeyRow{Key::t, "T", 84, TPLAN_IMGUI_KEY(T)},
    KeyRow{Key::y, "Y", 89, TPLAN_IMGUI_KEY(Y)},
    KeyRow{Key::z, "Z", 90, TPLAN_IMGUI_KEY(Z)},
};

const KeyRow* row_of(Key key) {
    for (const auto& row : kKeys) {
        if (row.key == key) return &row;
    }
    return nullptr;
}

}  // namespace

bool pressed(Key key, bool repeat) {
    const auto* row = row_of(key);
    if (!row) return false;
#if IMGUI_VERSION_NUM >= 18700
    return ImGui::IsKeyPressed(static_cast<ImGuiKey>(row->imgui), repeat);
#else
    return ImGui::IsKeyPressed(row->glfw, repeat);
#endif
}

bool ctrl_down() {
    return ImGui::GetIO().KeyCtrl;
}

bool shift_down() {
    return ImGui::GetIO().KeyShift;
}

std::string_view key_name(Key key) {
    const auto* row = row_of(key);
    return row ? row->name : std::string_view();
}

void focus_next_item() {
#if IMGUI_VERSION_NUM >= 18900 && IMGUI_VERSION_NUM < 19020
    // These look for the item in the scope of what had the keyboard before
    // (github.com/ocornut/imgui/issues/7226): focus the window anew.
    ImGui::SetWindowFocus(nullptr);
    ImGui::SetWindowFocus();
#endif
    ImGui::SetKeyboardFocusHere();
}

void prepare_keys() {
#if IMGUI_VERSION_NUM < 18700
    auto& map = ImGui::GetIO().KeyMap;
    const auto set = [&](ImGuiKey name, Key key) { map[name] = row_of(key)->glfw; };
    set(ImGuiKey_Tab, Key::tab);
    set(ImGuiKey_LeftArrow, Key::left);
    set(ImGuiKey_RightArrow, Key::right);
    set(ImGuiKey_UpArrow, Key::up);
    set(ImGuiKey_DownArrow, Key::down);
    set(ImGuiKey_Space, Key::space);
    set(ImGuiKey_Enter, Key::enter);
    set(ImGuiKey_Escape, Key::escape);
    set(ImGuiKey_C, Key::c);
    set(ImGuiKey_Y, Key::y);
    set(ImGuiKey_Z, Key::z);
#endif
}

void inject_mouse(float x, float y) {
#if IMGUI_VERSION_NUM >= 18700
    ImGui::GetIO().AddMousePosEvent(x, y);
#else
    ImGui::GetIO().MousePos = {x, y};
#endif
}

void inject_button(bool down) {
#if IMGUI_VERSION_NUM >= 18700
    ImGui::GetIO().AddMouseButtonEvent(0, down);
#else
    ImGui::GetIO().MouseDown[0] = down;
#endif
}

void inject_wheel(float steps) {
#if IMGUI_VERSION_NUM >= 18700
    ImGui::GetIO().AddMouseWheelEvent(0, steps);
#else
    ImGui::GetIO().MouseWheel += steps;
#endif
}

void inject_key(Key key, bool down) {
    const auto* row = row_of(key);
    if (!row) return;
#if IMGUI_VERSION_NUM >= 18700
    ImGui::GetIO().AddKeyEvent(static_cast<ImGuiKey>(row->imgui), down);
#else
    ImGui::GetIO().KeysDown[row->glfw] = down;
#endif
}

void inject_modifiers(bool ctrl, bool shift) {
#if IMGUI_VERSION_NUM >= 18900
    ImGui::GetIO().AddKeyEvent(ImGuiMod_Ctrl, ctrl);
    ImGui::GetIO().AddKeyEvent(ImGuiMod_Shift, shift);
#elif IMGUI_VERSION_NUM >= 18700
    ImGui::GetIO().AddKeyEvent(ImGuiKey_ModCtrl, ctrl);
    ImGui::GetIO().AddKeyEvent(ImGuiKey_ModShift, shift);
#else
    ImGui::GetIO().KeyCtrl = ctrl;
    ImGui::GetIO().KeyShift = shift;
#endif
}

void inject_text(std::string_view text) {
    ImGui::GetIO().AddInputCharactersUTF8(std::string(text).c_str());
}

}  // namespace tplan::gui
