#pragma once
#include <span>
#include <string_view>

#include "gui/app.h"
#include "gui/compat.h"

namespace tplan::gui {

/// Everything the window can be told to do, as one table: the palette, the sheet of shortcuts and
/// the keyboard all read it.
struct Command {
    std::string_view name;   // "tp.next"
    std::string_view title;  // "Next larger TP degree that works"
    Key key = Key::none;
    bool ctrl = false, shift = false;
    void (*run)(Ui&) = nullptr;
};

std::span<const Command> commands();

/// Runs the commands whose keys went down. Keys without Ctrl do nothing while text is typed.
void run_shortcuts(Ui& ui);

/// "Ctrl+Shift+Z"; empty without a key.
std::string shortcut_text(const Command& command);

}  // namespace tplan::gui
