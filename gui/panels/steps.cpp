#include "app/step_rows.h"
#include "gui/panels.h"
#include "gui/widgets.h"

namespace tplan::gui {
namespace {

void draw_row(Ui& ui, const StepRow& row, std::span<const StepColumn> columns) {
    ImGui::TableNextRow();
    ImGui::TableNextColumn();
    const bool selected = row.name == ui.view.selected;
    // Layers of several kinds have steps of one name.
    const auto label = row.name + "##" + row.section;
    if (ImGui::Selectable(label.c_str(), selected, ImGuiSelectableFlags_SpanAllColumns))
        ui.view.selected = row.name;
    note_item(ui, "row." + row.name);
    if (selected && ui.view.scroll_to_selected) {
        ImGui::SetScrollHereY(0.5f);
        ui.view.scroll_to_selected = false;
    }
    for (const auto& column : columns.subspan(1)) {
        ImGui::TableNextColumn();
        ImGui::TextUnformatted(column.text(row).c_str());
    }
}

}  // namespace

void draw_steps(Ui& ui) {
    const auto& study = *ui.work.study;
    if (!study.lowered->program)
        return say(ui, "This degree does not work, so it has no steps.", Role::muted);
    same_line_if_fits(ui, ui.em * 12);
    ImGui::SetNextItemWidth(ui.em * 12);
    take_focus(ui, "steps.filter");
    char text[64] = {};
    ui.view.filter.copy(text, sizeof text - 1);
    if (ImGui::InputTextWithHint("##filter", "filter", text, sizeof text)) ui.view.filter = text;
    note_item(ui, "steps.filter");
    auto rows = filtered(step_rows(study), ui.view.filter);
    same_line_if_fits(ui, button_width("Copy CSV"));
    if (button(ui, "steps.csv", "Copy CSV")) ImGui::SetClipboardText(csv_of(rows).c_str());
    const auto columns = step_columns(study.validation.has_value());
    const auto flags = ImGuiTableFlags_Sortable | ImGuiTableFlags_SortTristate |
                       ImGuiTableFlags_ScrollY | ImGuiTableFlags_RowBg |
                       ImGuiTableFlags_BordersInnerV | ImGuiTableFlags_SizingFixedFit |
                       ImGuiTableFlags_ScrollX;
    if (!ImGui::BeginTable("steps", static_cast<int>(columns.size()), flags,
                           ImGui::GetContentRegionAvail()))
        return;
    ImGui::TableSetupScrollFreeze(1, 1);
    for (const auto& column : columns)
        ImGui::TableSetupColumn(std::string(column.name).c_str(), ImGuiTableColumnFlags_None);
    ImGui::TableNextRow(ImGuiTableRowFlags_Headers);
    for (std::size_t i = 0; i < columns.size(); ++i) {
        ImGui::TableSetColumnIndex(static_cast<int>(i));
        ImGui::TableHeader(std::string(columns[i].name).c_str());
        note_item(ui, fmt::format("steps.head.{}", columns[i].name));
    }
    if (const auto* sorting = ImGui::TableGetSortSpecs(); sorting && sorting->SpecsCount > 0) {
        sort_rows(rows, static_cast<std::size_t>(sorting->Specs[0].ColumnIndex),
                  sorting->Specs[0].SortDirection == ImGuiSortDirection_Descending);
    }
    for (const auto& row : rows) draw_row(ui, row, columns);
    ImGui::TableNextRow();
    ImGui::TableSetBgColor(ImGuiTableBgTarget_RowBg0, ImGui::GetColorU32(ImGuiCol_TableHeaderBg));
    const auto sum = sum_of(rows);
    for (const auto& column : columns) {
        ImGui::TableNextColumn();
        ImGui::TextUnformatted(column.text(sum).c_str());
    }
    note_item(ui, "row.sum");
    ImGui::EndTable();
}

}  // namespace tplan::gui
