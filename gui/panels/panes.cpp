// The panes of the middle: what is a pane of its own in a large window is a tab in a small one.
#include <algorithm>
#include <span>

#include "gui/panels.h"
#include "gui/widgets.h"

namespace tplan::gui {
namespace {

/// What a pane shows.
std::string_view shown_in(const View& view, Pane pane) {
    switch (pane) {
        case Pane::centre:
            return view.centre;
        case Pane::chart:
            return view.chart;
        case Pane::strip:
            return view.strip;
        default:
            return first_tab(pane);
    }
}

Rows rows_now(const Ui& ui) {
    const auto size = ImGui::GetIO().DisplaySize;
    return rows_of(ui, size.x, size.y);
}

bool is_offered(const Ui& ui, const PaneTab& tab) {
    return tab.name() != "details" || is_narrow(ui, ImGui::GetIO().DisplaySize.x);
}

/// The tabs of some panes, over as many lines as they take, and what the front one shows.
std::string_view choose_tab(Ui& ui, std::span<const Pane> panes, Pane front) {
    const auto now = shown_in(ui.view, front);
    std::string_view chosen = now;
    bool first = true;
    for (const auto& tab : kPaneTabs) {
        if (!std::ranges::count(panes, tab.pane) || !is_offered(ui, tab)) continue;
        const std::string label(tab.label);
        if (!first) same_line_if_fits(ui, button_width(label));
        first = false;
        const auto name = fmt::format("{}.{}", name_of(tab.pane), tab.name());
        if (button(ui, name, label, {}, tab.name() == now)) chosen = tab.name();
    }
    if (chosen != now) show(ui.view, chosen);
    return chosen;
}

void draw_layer_field(Ui& ui) {
    const auto most = static_cast<int>(ui.work.study->config->layers) - 1;
    same_line_if_fits(ui, ui.em * 9);
    ImGui::SetNextItemWidth(ui.em * 9);
    const auto label = ui.view.layer == -1   ? std::string("embedding")
                       : ui.view.layer == -2 ? std::string("head")
                                             : fmt::format("layer %d of {}", most + 1);
    int layer = ui.view.layer;
    if (ImGui::SliderInt("##layer", &layer, 0, std::max(0, most), label.c_str()))
        ui.view.layer = layer;
    note_item(ui, "layer");
    tooltip(ui, "the layer that shard map, timeline and steps show; [ and ] move it");
}

void draw_isolated(Ui& ui) {
    if (ui.view.isolate < 0) return;
    const auto label = fmt::format("only rank {}", ui.view.isolate);
    same_line_if_fits(ui, button_width(label));
    if (button(ui, "isolate", label)) ui.view.isolate = -1;
}

void zoom_by_wheel(Ui& ui) {
    const auto& io = ImGui::GetIO();
    if (!ImGui::IsWindowHovered(ImGuiHoveredFlags_ChildWindows) || !io.KeyCtrl ||
        io.MouseWheel == 0)
        return;
    const float factor = io.MouseWheel > 0 ? 1.15f : 1 / 1.15f;
    ui.view.zoom = std::clamp(ui.view.zoom * factor, 0.25f, 8.0f);
}

void draw_tab(Ui& ui, std::string_view tab) {
    if (tab == "steps") return draw_steps(ui);
    if (tab == "run") return draw_run(ui);
    if (tab == "details") return draw_details(ui);
    if (tab == "shard-map") zoom_by_wheel(ui);
    figure_panel(ui, tab, tab == "shard-map" ? ui.view.zoom : 1);
}

constexpr std::array kAll = {Pane::centre, Pane::chart, Pane::memory, Pane::strip};

}  // namespace

void show(View& view, std::string_view name) {
    const auto& tab = pane_tab_named(name);
    if (tab.pane == Pane::centre) view.centre = name;
    if (tab.pane == Pane::chart) view.chart = name;
    if (tab.pane == Pane::strip) view.strip = name;
    if (name == "details") view.details = true;
    view.front = tab.pane;
    if (tab.pane != Pane::centre) view.below = tab.pane;
}

void draw_centre(Ui& ui) {
    if (nothing_yet(ui, "Who holds what of each weight will be drawn here.")) return;
    const std::span panes(kAll);
    const bool alone = rows_now(ui) == Rows::one;
    const auto front = alone ? ui.view.front : Pane::centre;
    if (!is_narrow(ui, ImGui::GetIO().DisplaySize.x) && ui.view.strip == "details")
        ui.view.strip = first_tab(Pane::strip);
    const auto tab = choose_tab(ui, alone ? panes : panes.first(1), front);
    if (front == Pane::centre || tab == "timeline") {
        draw_layer_field(ui);
        draw_isolated(ui);
    }
    if (ui.work.stale) say(ui, "stale: these are the last inputs that had a result", Role::error);
    draw_tab(ui, tab);
}

void draw_chart(Ui& ui) {
    if (nothing_yet(ui, "Time over the TP degree will be drawn here.")) return;
    draw_tab(ui, choose_tab(ui, std::span(kAll).subspan(1, 1), Pane::chart));
}

void draw_memory(Ui& ui) {
    if (nothing_yet(ui, "Memory per GPU will be drawn here.")) return;
    say(ui, "Memory per GPU", Role::muted, true);
    figure_panel(ui, "memory");
}

void draw_below(Ui& ui) {
    if (nothing_yet(ui, "Steps, timeline and runs will be listed here.")) return;
    const std::span panes(kAll);
    const bool shared = rows_now(ui) == Rows::two;
    draw_tab(ui, choose_tab(ui, shared ? panes.subspan(1) : panes.last(1),
                            shared ? ui.view.below : Pane::strip));
}

}  // namespace tplan::gui
