// The lines at the top and at the bottom of the window.
#include "app/pending.h"
#include "gui/panels.h"
#include "gui/widgets.h"

namespace tplan::gui {

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
    const bool low = is_low(ui, ImGui::GetIO().DisplaySize.y);
    const auto& strong = face_for(ui.fonts, ui.em * (low ? 1 : 1.2f), true);
    push_face(strong);
    const float width = ImGui::GetContentRegionAvail().x;
    ImGui::TextUnformatted(broken_at_spaces(strong, study.answer, width).c_str());
    ImGui::PopFont();
    note_item(ui, "answer");
    if (low) return say_elided(ui, second_sentence(ui), Role::muted);
    say(ui, second_sentence(ui), Role::muted);
}

void draw_notice(Ui& ui) {
    ImGui::AlignTextToFramePadding();
    const auto reload = std::string("Reload"), keep = std::string("Keep mine");
    const float buttons = button_width(reload) + button_width(keep) + ui.em * 1.2f;
    const auto text = ui.work.inputs.file + " changed on disk";
    const auto line =
        elided(face_for(ui.fonts, ui.em, false), text, ImGui::GetContentRegionAvail().x - buttons);
    ImGui::TextUnformatted(line.c_str());
    tooltip(ui, text + "; to reload can be undone");
    ImGui::SameLine(0, ui.em * 0.6f);
    if (button(ui, "file.reload", reload)) ui.act(ActionKind::reload);
    ImGui::SameLine(0, ui.em * 0.3f);
    if (button(ui, "file.keep", keep)) ui.act(ActionKind::keep);
}

void draw_loading(Ui& ui) {
    const auto& pending = *ui.work.pending;
    const auto text = pending.cancelled ? "Cancelling .." : "Loading " + pending.what + " ..";
    ImGui::TextUnformatted(text.c_str());
    note_item(ui, "loading");
    ImGui::SameLine(0, ui.em * 0.6f);
    if (!pending.cancelled && ImGui::SmallButton("Cancel")) ui.act(ActionKind::cancel);
    note_item(ui, "loading.cancel");
}

void draw_status(Ui& ui) {
    if (ui.work.pending) return draw_loading(ui);
    if (!ui.work.error.empty()) return say_elided(ui, ui.work.error, Role::error);
    const auto& work = ui.work;
    std::string text = !work.message.empty() ? work.message
                       : work.study          ? "ready"
                                             : "choose a model";
    if (work.study && !ui.view.still)
        text += fmt::format("   |   recomputed in {}", format_time(Seconds(work.recompute_s)));
    if (work.run == RunState::running || work.run == RunState::stopping)
        text += fmt::format("   |   {} {:.0f} %", work.run_what, work.run_done * 100);
    text += fmt::format("   |   scale {:.0f} %   |   Ctrl+K commands   ? shortcuts",
                        static_cast<double>(ui.view.scale) * 100);
    say_elided(ui, text, Role::muted);
}

}  // namespace tplan::gui
