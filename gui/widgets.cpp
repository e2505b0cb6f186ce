#include "gui/widgets.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "gui/compat.h"
#include "gui/painter.h"

namespace tplan::gui {
namespace {

float label_width(const Ui& ui) {
    return ui.em * 6.2f;
}

void title_left(Ui& ui, const char* title) {
    ImGui::AlignTextToFramePadding();
    ImGui::TextUnformatted(title);
    ImGui::SameLine(label_width(ui));
    ImGui::SetNextItemWidth(-1);
}

const DrawnFigure& laid_out(Ui& ui, std::string_view figure, double width, double height) {
    auto& kept = ui.view.figures[std::string(figure)];
    const auto& view = ui.view;
    const auto& study = ui.work.study;
    const bool same = kept.study == study && kept.width == width && kept.height == height &&
                      kept.layer == view.layer && kept.isolate == view.isolate &&
                      kept.activations == view.activations && kept.heads == view.heads;
    if (!same) {
        FigureOptions options{width,      height,      view.layer, view.activations,
                              view.heads, view.isolate};
        kept = {study,
                width,
                height,
                view.layer,
                view.isolate,
                view.activations,
                view.heads,
                figure_named(figure).draw(*study, options, ui.fonts.metrics),
                {}};
        const auto sections = layer_flow(*study);
        const auto& section =
            sections[static_cast<std::size_t>(section_of_layer(sections, view.layer))];
        for (const auto& shape : kept.list.shapes)
            kept.steps.push_back(step_of_shape(section, shape.id));
    }
    return kept;
}

/// What a click on a shape does.
void click(Ui& ui, std::string_view id, const std::string& step) {
    if (!step.empty()) {
        ui.view.selected = step;
        ui.view.scroll_to_selected = true;
        return;
    }
    const auto number_behind = [&](std::string_view mark) {
        int value = -1;
        const auto at = id.find(mark);
        if (at != std::string_view::npos)
            std::from_chars(id.data() + at + mark.size(), id.data() + id.size(), value);
        return value;
    };
    if (const int tp = number_behind("tp:"); tp > 0) return ui.act(ActionKind::set_tp, {}, tp);
    if (id.starts_with("layer:embedding")) {
        ui.view.layer = -1;
    } else if (id.starts_with("layer:head")) {
        ui.view.layer = -2;
    } else if (const int layer = number_behind("layer:"); layer >= 0) {
        ui.view.layer = layer;
    }
}

}  // namespace

void note_item(Ui& ui, std::string_view name) {
    ui.items[std::string(name)] = {ImGui::GetItemRectMin(), ImGui::GetItemRectMax()};
}

ImVec4 colour4(Theme theme, Role role) {
    return ImGui::ColorConvertU32ToFloat4(colour(theme, {role}));
}

std::string broken_at_spaces(const Fonts::Face& face, std::string_view text, float width) {
    const auto wide = [&](std::string_view part) {
        return face.font->CalcTextSizeA(face.size, 1e9f, 0, part.data(), part.data() + part.size())
            .x;
    };
    // Widths of words add up: these fonts have no kerning.
    const float gap = wide(" ");
    std::string lines;
    float used = 0;  // of the line
    for (std::size_t at = 0; at <= text.size();) {
        const auto end = std::min(text.find_first_of(" \n", at), text.size());
        const auto word = text.substr(at, end - at);
        const float own = wide(word);
        const bool first = lines.empty() || lines.back() == '\n';
        const bool fits = first || used + gap + own <= width;
        if (!first) lines += fits ? ' ' : '\n';
        used = first || !fits ? own : used + gap + own;
        lines += word;
        if (end < text.size() && text[end] == '\n') lines += '\n';
        at = end + 1;
    }
    return lines;
}

void say(Ui& ui, std::string_view text, Role role, bool bold) {
    ImGui::PushStyleColor(ImGuiCol_Text, colour4(ui.view.theme, role));
    const auto& face = face_for(ui.fonts, ui.em, bold);
    if (bold) push_face(face);
    const auto lines = broken_at_spaces(face, text, ImGui::GetContentRegionAvail().x);
    ImGui::PushTextWrapPos(0);  // a word that is wider than the panel
    ImGui::TextUnformatted(lines.c_str());
    ImGui::PopTextWrapPos();
    if (bold) ImGui::PopFont();
    ImGui::PopStyleColor();
}

void heading(Ui& ui, std::string_view text) {
    ImGui::Spacing();
    say(ui, text, Role::muted, true);
    ImGui::Separator();
}

bool button(Ui& ui, std::string_view name, const std::string& label, const std::string& refusal,
            bool highlighted) {
    if (!refusal.empty()) ImGui::BeginDisabled();
    if (highlighted) {
        const auto fill = colour4(ui.view.theme, Role::compute);
        ImGui::PushStyleColor(ImGuiCol_Button, fill);
        ImGui::PushStyleColor(ImGuiCol_ButtonHovered, fill);
        ImGui::PushStyleColor(ImGuiCol_Text, colour4(ui.view.theme, Role::on_compute));
    }
    const bool hit = ImGui::Button((label + "##" + std::string(name)).c_str());
    if (highlighted) ImGui::PopStyleColor(3);
    if (!refusal.empty()) ImGui::EndDisabled();
    note_item(ui, name);
    if (!refusal.empty() && ImGui::IsItemHovered(ImGuiHoveredFlags_AllowWhenDisabled))
        ImGui::SetTooltip("%s", refusal.c_str());
    return hit;
}

std::optional<std::string> choose(Ui& ui, std::string_view name, const char* title,
                                  const std::string& now, const std::vector<std::string>& choices) {
    std::optional<std::string> chosen;
    title_left(ui, title);
    const auto& style = ImGui::GetStyle();
    const float room =
        ImGui::GetContentRegionAvail().x - 2 * style.FramePadding.x - ImGui::GetFrameHeight();
    const auto shown = elided(face_for(ui.fonts, ui.em, false), now, room);
    const bool open = ImGui::BeginCombo(("##" + std::string(name)).c_str(), shown.c_str(),
                                        ImGuiComboFlags_HeightLarge);
    note_item(ui, name);
    if (!open && shown != now) tooltip(ui, now);
    if (!open) return chosen;
    for (const auto& choice : choices) {
        const bool same = choice == now;
        if (ImGui::Selectable(choice.c_str(), same) && !same) chosen = choice;
        note_item(ui, std::string(name) + "/" + choice);
        if (same) ImGui::SetItemDefaultFocus();
    }
    ImGui::EndCombo();
    return chosen;
}

void take_focus(Ui& ui, std::string_view name) {
    if (ui.view.focus != name) return;
    focus_next_item();
    ui.view.focus.clear();
}

void number_field(Ui& ui, std::string_view name, const char* title, std::int64_t now,
                  ActionKind kind) {
    title_left(ui, title);
    take_focus(ui, name);
    auto value = now;
    const std::int64_t one = 1, many = std::max<std::int64_t>(1, now);
    const auto id = "##" + std::string(name);
    if (ImGui::InputScalar(id.c_str(), ImGuiDataType_S64, &value, &one, &many) && value != now) {
        ui.actions.push_back({kind, {}, value, ui.view.editing == name});
        ui.view.editing = name;
    }
    note_item(ui, name);
    if (ImGui::IsItemDeactivated() && ui.view.editing == name) ui.view.editing.clear();
}

float button_width(const std::string& label) {
    return ImGui::CalcTextSize(label.c_str()).x + 2 * ImGui::GetStyle().FramePadding.x;
}

void same_line_if_fits(Ui& ui, float width) {
    const float gap = ui.em * 0.3f;
    const float end = ImGui::GetWindowPos().x + ImGui::GetWindowContentRegionMax().x;
    if (ImGui::GetItemRectMax().x + gap + width <= end) ImGui::SameLine(0, gap);
}

bool nothing_yet(Ui& ui, std::string_view what) {
    if (ui.work.study) return false;
    say(ui, what, Role::muted);
    return true;
}

std::string elided(const Fonts::Face& face, std::string_view text, float width) {
    const auto wide = [&](const std::string& part) {
        return face.font->CalcTextSizeA(face.size, 1e9f, 0, part.c_str()).x;
    };
    std::string shown(text);
    if (wide(shown) <= width) return shown;
    while (!shown.empty() && wide(shown + "..") > width) {
        // A whole character: bytes that go on in UTF-8 begin with 10.
        while (shown.size() > 1 && (shown.back() & 0xC0) == 0x80) shown.pop_back();
        shown.pop_back();
    }
    return shown + "..";
}

void say_elided(Ui& ui, std::string_view text, Role role) {
    const auto line =
        elided(face_for(ui.fonts, ui.em, false), text, ImGui::GetContentRegionAvail().x);
    ImGui::PushStyleColor(ImGuiCol_Text, colour4(ui.view.theme, role));
    ImGui::TextUnformatted(line.c_str());
    ImGui::PopStyleColor();
    if (line != text) tooltip(ui, text);
}

void tooltip(Ui& ui, std::string_view text) {
    if (!ImGui::IsItemHovered()) return;
    ui.tooltip = text;
    ImGui::BeginTooltip();
    ImGui::PushTextWrapPos(ui.em * 34);
    ImGui::TextUnformatted(text.data(), text.data() + text.size());
    ImGui::PopTextWrapPos();
    ImGui::EndTooltip();
}

std::string step_of_shape(const FlowSection& section, std::string_view id) {
    const auto colon = id.find(':');
    if (colon == std::string_view::npos) return {};
    const auto kind = id.substr(0, colon);
    auto rest = id.substr(colon + 1);
    rest = rest.substr(0, rest.find('/'));
    if (kind == "c" || kind == "op" || kind == "a" || kind == "t" || kind == "m")
        return std::string(rest);
    if (kind == "roof") return std::string(rest.substr(0, rest.find(" (")));
    if (kind != "w") return {};
    for (const auto& item : section.items) {
        for (const auto& weight : item.weights) {
            if (weight.name == rest) return item.name;
        }
    }
    return {};
}

void figure_panel(Ui& ui, std::string_view figure, float zoom) {
    const auto name = "figure." + std::string(figure);
    const auto room = ImGui::GetContentRegionAvail();
    ImGui::BeginChild(name.c_str(), room, false, ImGuiWindowFlags_HorizontalScrollbar);
    const float em = ui.em * zoom;
    const double inner = std::floor((room.x - ImGui::GetStyle().ScrollbarSize) / em * 10) / 10;
    const auto& drawn =
        laid_out(ui, figure, std::max(20.0, inner), std::max(9.0f, room.y / em - 0.3f));
    const auto& list = drawn.list;
    const auto step_at = [&](const Shape& shape) -> const std::string& {
        return drawn.steps[static_cast<std::size_t>(&shape - list.shapes.data())];
    };
    const auto origin = ImGui::GetCursorScreenPos();
    Paint how{origin, em, ui.view.theme, &ui.fonts, {}};
    if (!ui.view.selected.empty()) {
        how.selected = [&](const Shape& shape) {
            return shape.kind != ShapeKind::text && !shape.id.starts_with("a:") &&
                   step_at(shape) == ui.view.selected;
        };
    }
    auto& draw = *ImGui::GetWindowDrawList();
    paint(draw, list, how);
    ImGui::InvisibleButton(
        "canvas", {static_cast<float>(list.width) * em, static_cast<float>(list.height) * em});
    note_item(ui, name);
    for (const auto& shape : list.shapes) {
        if (shape.id.empty()) continue;
        const auto at = [&](double x, double y) {
            return ImVec2{origin.x + static_cast<float>(x) * em,
                          origin.y + static_cast<float>(y) * em};
        };
        ui.items[shape.id] = {at(shape.box.x, shape.box.y),
                              at(shape.box.right(), shape.box.bottom())};
    }
    const auto mouse = ImGui::GetIO().MousePos;
    if (ImGui::IsItemHovered()) {
        const auto* under = shape_at(list, {static_cast<double>((mouse.x - origin.x) / em),
                                            static_cast<double>((mouse.y - origin.y) / em)});
        if (under && !under->title.empty()) tooltip(ui, under->title);
        if (ImGui::IsMouseReleased(0) && ImGui::IsItemDeactivated())
            under ? click(ui, under->id, step_at(*under)) : ui.view.selected.clear();
    }
    ImGui::EndChild();
}

}  // namespace tplan::gui
