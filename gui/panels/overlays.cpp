#include <algorithm>
#include <array>

#include "gui/commands.h"
#include "gui/panels.h"
#include "gui/widgets.h"

namespace tplan::gui {
namespace {

bool matches(std::string_view text, std::string_view wanted) {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    return std::ranges::search(text, wanted, {}, lower, lower).begin() != text.end() ||
           wanted.empty();
}

/// A window in the middle, above everything.
bool begin_over(Ui& ui, const char* name, float width, float height, float screen_width,
                float screen_height) {
    ImGui::SetNextWindowPos(
        {(screen_width - width) / 2, std::max(ui.em, (screen_height - height) / 3)});
    ImGui::SetNextWindowSize({width, height});
    ImGui::SetNextWindowFocus();
    return ImGui::Begin(
        name, nullptr,
        ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoMove | ImGuiWindowFlags_NoSavedSettings);
}

bool text_field(Ui& ui, std::string_view name, std::string& value, bool focus) {
    std::array<char, 1024> text{};
    value.copy(text.data(), text.size() - 1);
    if (focus) ImGui::SetKeyboardFocusHere();
    ImGui::SetNextItemWidth(-1);
    const bool entered = ImGui::InputText(("##" + std::string(name)).c_str(), text.data(),
                                          text.size(), ImGuiInputTextFlags_EnterReturnsTrue);
    value = text.data();
    note_item(ui, name);
    return entered;
}

void draw_palette(Ui& ui, float width, float height) {
    begin_over(ui, "palette", std::min(width - 2 * ui.em, ui.em * 34),
               std::min(height - 2 * ui.em, ui.em * 24), width, height);
    const bool entered =
        text_field(ui, "palette.text", ui.view.palette_text, ui.view.focus_palette);
    ui.view.focus_palette = false;
    std::vector<const Command*> found;
    for (const auto& command : commands()) {
        if (command.name != "palette" && (matches(command.title, ui.view.palette_text) ||
                                          matches(command.name, ui.view.palette_text)))
            found.push_back(&command);
    }
    if (pressed(Key::down, true)) ++ui.view.palette_row;
    if (pressed(Key::up, true)) --ui.view.palette_row;
    ui.view.palette_row =
        std::clamp(ui.view.palette_row, 0, std::max(0, static_cast<int>(found.size()) - 1));
    const Command* chosen =
        entered && !found.empty() ? found[static_cast<std::size_t>(ui.view.palette_row)] : nullptr;
    ImGui::BeginChild("list");
    for (std::size_t i = 0; i < found.size(); ++i) {
        const bool now = static_cast<int>(i) == ui.view.palette_row;
        if (ImGui::Selectable(std::string(found[i]->title).c_str(), now)) chosen = found[i];
        note_item(ui, "palette." + std::string(found[i]->name));
        if (now) ImGui::SetScrollHereY();
        const auto keys = shortcut_text(*found[i]);
        ImGui::SameLine(ImGui::GetWindowContentRegionMax().x - ui.em * 7);
        say(ui, keys, Role::muted);
    }
    if (found.empty()) say(ui, "no command of that name", Role::muted);
    ImGui::EndChild();
    ImGui::End();
    if (!chosen) return;
    ui.view.palette = false;
    chosen->run(ui);
}

void draw_sheet(Ui& ui, float width, float height) {
    begin_over(ui, "shortcuts", std::min(width - 2 * ui.em, ui.em * 40),
               std::min(height - 2 * ui.em, ui.em * 36), width, height);
    say(ui, "Shortcuts (Esc closes)", Role::text, true);
    if (ImGui::BeginTable("keys", 2, ImGuiTableFlags_RowBg | ImGuiTableFlags_ScrollY)) {
        ImGui::TableSetupColumn("key", ImGuiTableColumnFlags_WidthFixed, ui.em * 9);
        ImGui::TableSetupColumn("what");
        for (const auto& command : commands()) {
            if (command.key == Key::none) continue;
            ImGui::TableNextRow();
            ImGui::TableNextColumn();
            say(ui, shortcut_text(command), Role::text, true);
            ImGui::TableNextColumn();
            say(ui, command.title);
        }
        ImGui::EndTable();
    }
    ImGui::End();
}

void draw_question(Ui& ui, float width, float height) {
    begin_over(ui, "path", std::min(width - 2 * ui.em, ui.em * 40), ui.em * 8, width, height);
    const auto& asking = ui.view.asking;
    say(ui,
        asking == "open"   ? "Open a preset, a config.json, a folder, a plan or a validated plan"
        : asking == "save" ? "Save the plan as"
                           : "Write a report: .html for the page, .svg for the shard map",
        Role::text, true);
    const bool entered = text_field(ui, "path.text", ui.view.path, ImGui::IsWindowAppearing());
    const bool ok = button(ui, "path.ok", asking == "open" ? "Open" : "Write",
                           ui.view.path.empty() ? "type a path" : "");
    ImGui::SameLine();
    const bool cancel = button(ui, "path.cancel", "Cancel");
    ImGui::End();
    if ((entered || ok) && !ui.view.path.empty()) {
        ui.act(asking == "open"   ? ActionKind::open
               : asking == "save" ? ActionKind::save
                                  : ActionKind::report,
               ui.view.path);
        ui.view.asking.clear();
    } else if (cancel) {
        ui.view.asking.clear();
    }
}

}  // namespace

void draw_welcome(Ui& ui, float width, float height) {
    const float left = ui.em * 20, room = std::min(ui.em * 34, width - left - ui.em);
    ImGui::SetNextWindowPos({left + (width - left - room) / 2, height / 5});
    ImGui::SetNextWindowSize({room, 0});
    ImGui::Begin("welcome", nullptr,
                 ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoMove |
                     ImGuiWindowFlags_NoSavedSettings | ImGuiWindowFlags_AlwaysAutoResize);
    say(ui, "Which TP degree should I use, and why?", Role::text, true);
    say(ui, "Choose a model, or drop a config.json or a plan on this window.", Role::muted);
    ImGui::Spacing();
    for (const auto* name : {"llama-3.1-70b", "qwen3-30b-a3b", "qwen3-0.6b"}) {
        if (button(ui, std::string("welcome.") + name, name)) ui.act(ActionKind::set_model, name);
        ImGui::SameLine();
    }
    if (button(ui, "welcome.open", "Open ..")) ui.view.asking = "open";
    for (const auto& path : ui.view.recent) {
        if (button(ui, "recent." + path, path)) ui.act(ActionKind::open, path);
    }
    if (!ui.work.error.empty()) say(ui, ui.work.error, Role::error);
    ImGui::End();
}

void draw_overlays(Ui& ui, float width, float height) {
    if (ui.view.palette) draw_palette(ui, width, height);
    if (ui.view.sheet) draw_sheet(ui, width, height);
    if (!ui.view.asking.empty()) draw_question(ui, width, height);
}

}  // namespace tplan::gui
