#include "gui/app.h"

#include <algorithm>

#include "app/figures/layer_flow.h"
#include "app/pending.h"
#include "gui/commands.h"
#include "gui/panels.h"
#include "gui/widgets.h"

namespace tplan::gui {
namespace {

void set_style(const App& app) {
    auto& style = ImGui::GetStyle();
    style = ImGuiStyle();
    const auto theme = app.view.theme;
    const auto of = [&](Role role, float alpha = 1) {
        auto value = colour4(theme, role);
        value.w = alpha;
        return value;
    };
    theme == Theme::light ? ImGui::StyleColorsLight(&style) : ImGui::StyleColorsDark(&style);
    auto& colours = style.Colors;
    colours[ImGuiCol_Text] = of(Role::text);
    colours[ImGuiCol_TextDisabled] = of(Role::muted);
    colours[ImGuiCol_WindowBg] = colours[ImGuiCol_ChildBg] = of(Role::background);
    colours[ImGuiCol_PopupBg] = of(Role::panel);
    colours[ImGuiCol_Border] = colours[ImGuiCol_Separator] = of(Role::grid);
    colours[ImGuiCol_FrameBg] = of(Role::panel);
    colours[ImGuiCol_FrameBgHovered] = colours[ImGuiCol_FrameBgActive] = of(Role::grid);
    colours[ImGuiCol_Button] = of(Role::panel);
    colours[ImGuiCol_ButtonHovered] = colours[ImGuiCol_ButtonActive] = of(Role::grid);
    colours[ImGuiCol_CheckMark] = colours[ImGuiCol_SliderGrab] = of(Role::compute);
    colours[ImGuiCol_NavHighlight] = of(Role::selection);
    colours[ImGuiCol_TableHeaderBg] = of(Role::panel);
    colours[ImGuiCol_TableRowBg] = of(Role::background, 0);
    colours[ImGuiCol_TableRowBgAlt] = of(Role::panel, 0.5f);
    colours[ImGuiCol_TableBorderLight] = colours[ImGuiCol_TableBorderStrong] = of(Role::grid);
    colours[ImGuiCol_PlotHistogram] = of(Role::compute);
    colours[ImGuiCol_Header] = of(Role::grid);
    colours[ImGuiCol_HeaderHovered] = colours[ImGuiCol_HeaderActive] = of(Role::grid);
    colours[ImGuiCol_ScrollbarBg] = of(Role::background);
    colours[ImGuiCol_ScrollbarGrab] = of(Role::grid);
    style.FrameBorderSize = 1;
    style.WindowRounding = style.ChildRounding = 0;
    style.FrameRounding = style.GrabRounding = 3;
    style.WindowPadding = {9, 7};
    style.ItemSpacing = {7, 5};
    style.AntiAliasedLinesUseTex = false;
    style.ScaleAllSizes(app.view.scale * app.view.monitor);
}

void draw_panels(Ui& ui, float width, float height) {
    for (const auto& panel : panels()) {
        const auto area = panel.area(ui, width, height);
        if (area.width < ui.em || area.height < ui.em) continue;
        ImGui::SetCursorScreenPos({area.x, area.y});
        const auto flags =
            panel.name == "status" || panel.name == "answer" ? ImGuiWindowFlags_NoScrollbar : 0;
        ImGui::PushStyleVar(ImGuiStyleVar_WindowPadding, panel.name == "status"
                                                             ? ImVec2{ui.em * 0.6f, ui.em * 0.2f}
                                                             : ImVec2{ui.em * 0.6f, ui.em * 0.4f});
        ImGui::BeginChild(std::string(panel.name).c_str(), {area.width, area.height}, true, flags);
        ImGui::PopStyleVar();
        panel.draw(ui);
        ImGui::EndChild();
        note_item(ui, "panel." + std::string(panel.name));
    }
}

/// The first layer of the kind that most layers are.
int usual_layer(const Study& study) {
    std::size_t most = 0;
    int layer = 0;
    for (const auto& section : layer_flow(study)) {
        if (section.layers.size() <= most) continue;
        most = section.layers.size();
        layer = section.layers.front();
    }
    return layer;
}

void remember_opened(App& app) {
    const auto what = std::exchange(app.work.opened, {});
    if (what.empty()) return;
    auto& recent = app.view.recent;
    std::erase(recent, what);
    recent.insert(recent.begin(), what);
    if (recent.size() > 6) recent.pop_back();
}

}  // namespace

void prepare(App& app) {
    auto& io = ImGui::GetIO();
    io.ConfigFlags |= ImGuiConfigFlags_NavEnableKeyboard;
    io.IniFilename = nullptr;
    app.fonts_scale = app.view.scale * app.view.monitor;
    app.fonts = load_fonts(app.fonts_scale, app.view.built_in_font);
    io.ConfigInputTextCursorBlink = !app.view.still;
}

bool needs_fonts(const App& app) {
    return app.fonts_scale != app.view.scale * app.view.monitor;
}

bool frame(App& app) {
    app.items.clear();
    app.tooltip.clear();
    ++app.frames;
    set_style(app);
    const bool loading = poll_pending(app.work, app.patience);
    const bool running = poll_run(app.work);
    look_at_file(app.work);
    Ui ui{app.work,  app.view,    app.fonts, app.actions,
          app.items, app.tooltip, app.quit,  app.fonts.em};
    run_shortcuts(ui);
    const auto size = ImGui::GetIO().DisplaySize;
    ImGui::SetNextWindowPos({0, 0});
    ImGui::SetNextWindowSize(size);
    ImGui::PushStyleVar(ImGuiStyleVar_WindowPadding, {0, 0});
    ImGui::Begin("tplan", nullptr,
                 ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoMove |
                     ImGuiWindowFlags_NoSavedSettings | ImGuiWindowFlags_NoBringToFrontOnFocus |
                     ImGuiWindowFlags_NoNavFocus);
    ImGui::PopStyleVar();
    draw_panels(ui, size.x, size.y);
    ImGui::End();
    if (!app.work.study) draw_welcome(ui, size.x, size.y);
    draw_overlays(ui, size.x, size.y);
    const bool asked = !app.actions.empty();
    const auto actions = std::move(app.actions);
    app.actions.clear();
    for (const auto& action : actions) request(app.work, action, app.patience);
    remember_opened(app);
    if (app.work.study && app.view.shown != app.work.study->config) {
        app.view.shown = app.work.study->config;
        app.view.layer = usual_layer(*app.work.study);
    }
    if (app.work.study) {
        const auto most = static_cast<int>(app.work.study->config->layers) - 1;
        app.view.layer = std::clamp(app.view.layer, -2, most);
    }
    return asked || running || loading;
}

}  // namespace tplan::gui
