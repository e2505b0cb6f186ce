#include <algorithm>

#include "app/explain.h"
#include "gui/panels.h"
#include "gui/widgets.h"

namespace tplan::gui {
namespace {

/// Says what will be here while there is nothing to draw.
bool nothing_yet(Ui& ui, std::string_view what) {
    if (ui.work.study) return false;
    say(ui, what, Role::muted);
    return true;
}

void stale_badge(Ui& ui) {
    if (ui.work.stale) say(ui, "stale: these are the last inputs that had a result", Role::error);
}

void draw_layer_field(Ui& ui) {
    const auto most = static_cast<int>(ui.work.study->config->layers) - 1;
    ImGui::SameLine(0, ui.em);
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

}  // namespace

std::string second_sentence(const Ui& ui) {
    const auto& study = *ui.work.study;
    const auto& work = study.request.workload;
    if (study.curves.size() > 1) return answer_sentence(study.curves[1], work, *study.hardware);
    return fmt::format("{} on {}, {}, batch {}", study.config->source, study.hardware->name,
                       name_of(work.phase), work.batch);
}

void draw_answer(Ui& ui) {
    if (!ui.work.study) {
        say(ui, "Which TP degree should I use, and why?", Role::text, true);
        return;
    }
    const auto& study = *ui.work.study;
    const auto& strong = face_for(ui.fonts, ui.em * 1.2f, true);
    push_face(strong);
    const float width = ImGui::GetContentRegionAvail().x;
    ImGui::TextUnformatted(broken_at_spaces(strong, study.answer, width).c_str());
    ImGui::PopFont();
    note_item(ui, "answer");
    say(ui, second_sentence(ui), Role::muted);
}

void draw_centre(Ui& ui) {
    if (nothing_yet(ui, "Who holds what of each weight will be drawn here.")) return;
    tabs(ui, "centre",
         {{"shard-map", "Shard map"}, {"overview", "All layers"}, {"interconnect", "Links"}},
         ui.view.centre);
    draw_layer_field(ui);
    if (ui.view.isolate >= 0) {
        ImGui::SameLine();
        if (button(ui, "isolate", fmt::format("only rank {}", ui.view.isolate)))
            ui.view.isolate = -1;
    }
    stale_badge(ui);
    if (ui.view.centre == "shard-map" && ImGui::IsWindowHovered(ImGuiHoveredFlags_ChildWindows) &&
        ImGui::GetIO().KeyCtrl && ImGui::GetIO().MouseWheel != 0) {
        ui.view.zoom = std::clamp(
            ui.view.zoom * (ImGui::GetIO().MouseWheel > 0 ? 1.15f : 1 / 1.15f), 0.25f, 8.0f);
    }
    figure_panel(ui, ui.view.centre, ui.view.centre == "shard-map" ? ui.view.zoom : 1);
}

void draw_chart(Ui& ui) {
    if (nothing_yet(ui, "Time over the TP degree will be drawn here.")) return;
    tabs(ui, "chart",
         {{"latency", "Time over TP"}, {"speedup", "Speedup"}, {"time", "Where it goes"}},
         ui.view.chart);
    figure_panel(ui, ui.view.chart);
}

void draw_memory(Ui& ui) {
    if (nothing_yet(ui, "Memory per GPU will be drawn here.")) return;
    say(ui, "Memory per GPU", Role::muted, true);
    figure_panel(ui, "memory");
}

void draw_strip(Ui& ui) {
    if (nothing_yet(ui, "Steps, timeline and runs will be listed here.")) return;
    std::vector<Tab> all{
        {"steps", "Steps"}, {"timeline", "Timeline"}, {"roofline", "Roofline"}, {"run", "Run"}};
    if (is_narrow(ui, ImGui::GetIO().DisplaySize.x)) all.push_back({"details", "Details"});
    if (ui.view.strip == "details" && all.size() < 5) ui.view.strip = "steps";
    tabs(ui, "strip", all, ui.view.strip);
    if (ui.view.strip == "steps") {
        draw_steps(ui);
    } else if (ui.view.strip == "run") {
        draw_run(ui);
    } else if (ui.view.strip == "details") {
        draw_details(ui);
    } else {
        figure_panel(ui, ui.view.strip);
    }
}

void draw_status(Ui& ui) {
    std::string text;
    if (!ui.work.error.empty()) {
        say(ui, ui.work.error, Role::error);
        return;
    }
    const auto& work = ui.work;
    text = !work.message.empty() ? work.message : work.study ? "ready" : "choose a model";
    if (work.study && !ui.view.still)
        text += fmt::format("   |   recomputed in {}", format_time(Seconds(work.recompute_s)));
    if (work.run == RunState::running || work.run == RunState::stopping)
        text += fmt::format("   |   {} {:.0f} %", work.run_what, work.run_done * 100);
    text += fmt::format("   |   scale {:.0f} %   |   Ctrl+K commands   ? shortcuts",
                        static_cast<double>(ui.view.scale) * 100);
    say(ui, text, Role::muted);
}

void draw_details(Ui& ui) {
    if (nothing_yet(ui, "Details of what you select will stand here.")) return;
    const auto& study = *ui.work.study;
    if (ui.view.selected.empty() || !study.lowered->program) {
        heading(ui, "THE STEP");
        if (!study.totals) {
            say(ui, "This degree does not work: it has no times and no memory.", Role::muted);
        } else {
            const auto* before =
                ui.work.baseline && ui.work.baseline->totals ? &*ui.work.baseline->totals : nullptr;
            for (const auto& line : explain_totals(study)) {
                say(ui, line.name + ": " + line.value, Role::text);
                tooltip(ui, line.how);
            }
            if (before) {
                heading(ui, "AGAINST THE BASELINE");
                const auto& base = *ui.work.baseline;
                say(ui,
                    fmt::format("{} at TP {} on {}", base.config->source, base.request.plan.tp,
                                base.hardware->name),
                    Role::muted);
                say(ui, fmt::format("step {} against {}: {}", format_time(study.totals->step),
                                    format_time(before->step),
                                    format_percent(study.totals->step / before->step - 1)));
            }
        }
        if (const auto lines = explain_layout(study); !lines.empty()) {
            heading(ui, "LAYOUT");
            for (const auto& line : lines) say(ui, line, Role::text);
        }
        if (study.totals) heading(ui, "MEMORY OF A GPU");
        for (const auto& line : explain_memory(study)) {
            say(ui, line.name + ": " + format_bytes(line.bytes), Role::text);
            tooltip(ui, line.how);
        }
        say(ui, "Select a step, a weight or a collective to see where its numbers come from.",
            Role::muted);
        return;
    }
    heading(ui, "SELECTED");
    say(ui, ui.view.selected, Role::text, true);
    note_item(ui, "details.selected");
    const auto& program = *study.lowered->program;
    for (std::size_t s = 0; s < program.sections.size(); ++s) {
        const auto& section = program.sections[s];
        for (std::size_t i = 0; i < section.steps.size(); ++i) {
            if (section.steps[i].name != ui.view.selected) continue;
            const auto& priced = study.steps[s][i];
            say(ui, fmt::format(
                        "{}: {} each, {} times, {} of the step", section.name,
                        format_time(priced.cost.time), priced.repeats,
                        format_percent(priced.cost.time * priced.repeats / study.totals->step)));
            heading(ui, "WHERE IT COMES FROM");
            for (const auto& line : explain_step(study, static_cast<int>(s), static_cast<int>(i)))
                say(ui, line, Role::muted);
            if (!section.steps[i].weights.empty()) heading(ui, "WEIGHTS");
            for (const auto& ref : section.steps[i].weights) {
                if (ref.tensor < 0) continue;
                const auto& tensor = program.tensors[static_cast<std::size_t>(ref.tensor)];
                say(ui,
                    fmt::format("{}\n{} {}, {}", tensor.name, fmt::join(tensor.shape, " x "),
                                name_of(tensor.dtype), tensor.style),
                    Role::muted);
            }
            return;
        }
    }
    say(ui, "This degree has no such step.", Role::muted);
}

}  // namespace tplan::gui
