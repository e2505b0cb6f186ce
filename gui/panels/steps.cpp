#include <algorithm>
#include <map>

#include "gui/panels.h"
#include "gui/widgets.h"

namespace tplan::gui {
namespace {

struct Row {
    std::string name, kind, bound;
    double times = 1;
    Seconds each, together, measured;  // measured: all of them, 0 = not measured
    Flops flops;
    Bytes bytes, payload;
};

std::vector<Row> rows_of(const Study& study) {
    std::vector<Row> rows;
    const auto& program = *study.lowered->program;
    for (std::size_t s = 0; s < program.sections.size(); ++s) {
        for (std::size_t i = 0; i < program.sections[s].steps.size(); ++i) {
            const auto& step = program.sections[s].steps[i];
            const auto& priced = study.steps[s][i];
            Row row{step.name,
                    std::string(name_of(step.kind)),
                    std::string(name_of(priced.cost.bound)),
                    priced.repeats,
                    priced.cost.time,
                    priced.cost.time * priced.repeats,
                    {},
                    priced.cost.flops,
                    priced.cost.bytes,
                    priced.cost.payload};
            if (study.validation) {
                for (const auto& op : study.validation->measured.ops) {
                    if (op.id == row.name || op.id.ends_with("." + row.name))
                        row.measured += op.time;
                }
            }
            rows.push_back(std::move(row));
        }
    }
    return rows;
}

double key_of(const Row& row, int column) {
    switch (column) {
        case 2:
            return row.times;
        case 3:
            return row.each.value;
        case 4:
        case 5:
            return row.together.value;
        case 6:
            return row.flops.value;
        case 7:
            return row.bytes.value;
        case 8:
            return row.payload.value;
        case 10:
            return row.measured.value;
        default:
            return 0;
    }
}

void sort_rows(std::vector<Row>& rows, int column, bool down) {
    std::ranges::stable_sort(rows, [&](const Row& a, const Row& b) {
        const auto less = [&](const Row& x, const Row& y) {
            if (column == 0) return x.name < y.name;
            if (column == 1) return x.kind < y.kind;
            if (column == 9) return x.bound < y.bound;
            return key_of(x, column) < key_of(y, column);
        };
        return down ? less(b, a) : less(a, b);
    });
}

std::string csv_of(const std::vector<Row>& rows) {
    std::string text =
        "step,kind,times,each_s,together_s,flops,bytes,payload_bytes,bound,measured_s\n";
    for (const auto& row : rows) {
        text += fmt::format("{},{},{},{},{},{},{},{},{},{}\n", row.name, row.kind, row.times,
                            row.each.value, row.together.value, row.flops.value, row.bytes.value,
                            row.payload.value, row.bound, row.measured.value);
    }
    return text;
}

void cell(const std::string& text) {
    ImGui::TableNextColumn();
    ImGui::TextUnformatted(text.c_str());
}

void draw_row(Ui& ui, const Row& row, Seconds step, bool measured) {
    ImGui::TableNextRow();
    ImGui::TableNextColumn();
    const bool selected = row.name == ui.view.selected;
    if (ImGui::Selectable(row.name.c_str(), selected, ImGuiSelectableFlags_SpanAllColumns))
        ui.view.selected = row.name;
    note_item(ui, "row." + row.name);
    if (selected && ui.view.scroll_to_selected) {
        ImGui::SetScrollHereY(0.5f);
        ui.view.scroll_to_selected = false;
    }
    cell(row.kind);
    cell(fmt::format("{:g}", row.times));
    cell(format_time(row.each));
    cell(format_time(row.together));
    cell(format_percent(row.together / step));
    cell(row.flops.value > 0 ? fmt::format("{:.3g}", row.flops.value) : "");
    cell(row.bytes.value > 0 ? format_bytes(row.bytes) : "");
    cell(row.payload.value > 0 ? format_bytes(row.payload) : "");
    cell(row.bound);
    if (!measured) return;
    cell(row.measured.value > 0 ? format_time(row.measured) : "");
    cell(row.measured.value > 0 ? format_percent(row.together / row.measured - 1) : "");
}

}  // namespace

void draw_steps(Ui& ui) {
    const auto& study = *ui.work.study;
    if (!study.lowered->program)
        return say(ui, "This degree does not work, so it has no steps.", Role::muted);
    ImGui::SameLine(0, ui.em);
    ImGui::SetNextItemWidth(ui.em * 12);
    char text[64] = {};
    ui.view.filter.copy(text, sizeof text - 1);
    if (ImGui::InputTextWithHint("##filter", "filter", text, sizeof text)) ui.view.filter = text;
    note_item(ui, "steps.filter");
    auto rows = rows_of(study);
    std::erase_if(
        rows, [&](const Row& row) { return row.name.find(ui.view.filter) == std::string::npos; });
    ImGui::SameLine();
    if (button(ui, "steps.csv", "Copy CSV")) ImGui::SetClipboardText(csv_of(rows).c_str());
    const bool measured = study.validation.has_value();
    std::vector<const char*> names{"step",  "kind", "times", "each",    "together",
                                   "share", "FLOP", "bytes", "payload", "bound by"};
    if (measured) names.insert(names.end(), {"measured", "error"});
    const auto flags = ImGuiTableFlags_Sortable | ImGuiTableFlags_SortTristate |
                       ImGuiTableFlags_ScrollY | ImGuiTableFlags_RowBg |
                       ImGuiTableFlags_BordersInnerV | ImGuiTableFlags_SizingFixedFit |
                       ImGuiTableFlags_ScrollX;
    if (!ImGui::BeginTable("steps", static_cast<int>(names.size()), flags,
                           ImGui::GetContentRegionAvail()))
        return;
    ImGui::TableSetupScrollFreeze(1, 1);
    for (const auto* name : names) ImGui::TableSetupColumn(name, ImGuiTableColumnFlags_None);
    ImGui::TableHeadersRow();
    if (const auto* sorting = ImGui::TableGetSortSpecs(); sorting && sorting->SpecsCount > 0)
        sort_rows(rows, sorting->Specs[0].ColumnIndex,
                  sorting->Specs[0].SortDirection == ImGuiSortDirection_Descending);
    Row sum;
    sum.name = "sum";
    for (const auto& row : rows) {
        sum.together += row.together;
        sum.measured += row.measured;
        draw_row(ui, row, study.totals->step, measured);
    }
    ImGui::TableNextRow();
    ImGui::TableSetBgColor(ImGuiTableBgTarget_RowBg0, ImGui::GetColorU32(ImGuiCol_TableHeaderBg));
    cell("sum");
    for (int i = 0; i < 3; ++i) cell("");
    cell(format_time(sum.together));
    cell(format_percent(sum.together / study.totals->step));
    for (int i = 0; i < 4; ++i) cell("");
    if (measured) {
        cell(format_time(sum.measured));
        cell(sum.measured.value > 0 ? format_percent(sum.together / sum.measured - 1) : "");
    }
    ImGui::EndTable();
}

void draw_run(Ui& ui) {
    const auto& work = ui.work;
    const bool running = work.run == RunState::running || work.run == RunState::stopping;
    if (running) {
        say(ui, work.run == RunState::stopping ? "Cancelling .."
                                               : fmt::format("Under way: {}", work.run_what));
        ImGui::ProgressBar(static_cast<float>(work.run_done), {ui.em * 24, 0});
        ImGui::SameLine();
        if (button(ui, "run.cancel", "Cancel")) ui.act(ActionKind::cancel);
        if (work.worker) say(ui, work.worker->what(), Role::muted);
        return;
    }
    const auto refusal = run_refusal(work);
    if (button(ui, "run.start", "Run plan", refusal)) ui.act(ActionKind::run);
    ImGui::SameLine();
    if (button(ui, "run.calibrate", "Calibrate this CPU")) ui.act(ActionKind::calibrate);
    tooltip(ui,
            "measures products, attention, memory and collectives; the profile is then the GPU "
            "\"this\"");
    if (!refusal.empty()) say(ui, "Cannot run now: " + refusal, Role::muted);
    if (work.run == RunState::failed) say(ui, "Failed: " + work.run_what, Role::error);
    if (!work.study || !work.study->validation) {
        if (work.run == RunState::none)
            say(ui,
                "A run executes the plan on this machine, checks its numbers and measures every "
                "step.",
                Role::muted);
        return;
    }
    const auto& validation = *work.study->validation;
    const auto& comparison = validation.comparison;
    const bool good = validation.verdict == RunVerdict::validated;
    say(ui, fmt::format("Verdict: {}", name_of(validation.verdict)),
        good ? Role::good : Role::error, true);
    note_item(ui, "run.verdict");
    say(ui,
        fmt::format(
            "predicted {} ({} to {}), measured {} (p10 {}, p90 {}): {}",
            format_time(comparison.predicted_step), format_time(comparison.interval_90[0]),
            format_time(comparison.interval_90[1]), format_time(validation.measured.step.median),
            format_time(validation.measured.step.p10), format_time(validation.measured.step.p90),
            format_percent(comparison.step_error)));
    for (const auto& check : validation.numerics.reference) {
        say(ui,
            fmt::format("numerics, {}: {:.2g} of the largest value, {:.0e} allowed: {}", check.what,
                        check.max_rel_diff, check.tolerance, check.pass ? "ok" : "FAILED"),
            check.pass ? Role::good : Role::error);
    }
}

}  // namespace tplan::gui
