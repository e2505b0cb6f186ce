#include "gui/panels.h"
#include "gui/widgets.h"

namespace tplan::gui {
namespace {

void draw_progress(Ui& ui) {
    const auto& work = ui.work;
    const bool stopping = work.run == RunState::stopping;
    say(ui, stopping ? "Cancelling .." : fmt::format("Under way: {}", work.run_what));
    note_item(ui, "run.state");
    ImGui::ProgressBar(static_cast<float>(work.run_done), {ui.em * 24, 0});
    note_item(ui, "run.progress");
    ImGui::SameLine();
    if (button(ui, "run.cancel", stopping ? "End it now" : "Cancel")) ui.act(ActionKind::cancel);
    if (work.worker) say(ui, work.worker->what(), Role::muted);
}

/// What a run that was cut short had until then: never beside a prediction, it is not judged.
void draw_partial(Ui& ui) {
    if (!ui.work.partial) return;
    const auto& partial = *ui.work.partial;
    const auto& step = partial.measured.step;
    const auto count = partial.measured.step_samples.size();
    say(ui,
        count == 0 ? "Partial result: no repetition had ended."
                   : fmt::format("Partial result, not judged: {} repetitions, median {} (p10 {}, "
                                 "p90 {})",
                                 count, format_time(step.median), format_time(step.p10),
                                 format_time(step.p90)),
        Role::warning, true);
    note_item(ui, "run.partial");
    if (!partial.last_steps) return;
    for (const auto& trail : *partial.last_steps) {
        if (trail.steps.empty()) continue;
        const auto& last = trail.steps.back();
        say(ui,
            fmt::format("rank {}: {} {} ({})", trail.rank, last.end_s > 0 ? "ended" : "was in",
                        last.step, last.kind),
            Role::muted);
    }
}

void draw_failure(Ui& ui) {
    const auto& work = ui.work;
    if (work.run != RunState::failed) return;
    const bool cancelled = work.run_what == "cancelled";
    say(ui, cancelled ? "Cancelled." : "Failed: " + work.run_what,
        cancelled ? Role::warning : Role::error);
    note_item(ui, "run.failure");
    if (!cancelled && button(ui, "run.copy", "Copy details"))
        ImGui::SetClipboardText(work.run_what.c_str());
    draw_partial(ui);
}

/// A tick or a cross before a line: shapes, as fonts need not have them.
void draw_mark(Ui& ui, bool good) {
    const auto corner = ImGui::GetCursorScreenPos();
    auto& draw = *ImGui::GetWindowDrawList();
    const float size = ui.em * 0.3f, x = corner.x + size, y = corner.y + ui.em * 0.6f;
    const auto ink = ImGui::GetColorU32(colour4(ui.view.theme, good ? Role::good : Role::error));
    const float width = ui.em * 0.14f;
    if (good) {
        draw.AddLine({x - size, y}, {x - size * 0.2f, y + size * 0.8f}, ink, width);
        draw.AddLine({x - size * 0.2f, y + size * 0.8f}, {x + size, y - size}, ink, width);
    } else {
        draw.AddLine({x - size, y - size}, {x + size, y + size}, ink, width);
        draw.AddLine({x - size, y + size}, {x + size, y - size}, ink, width);
    }
}

void draw_validation(Ui& ui, const Validation& validation) {
    const auto& comparison = validation.comparison;
    const auto role = validation.verdict == RunVerdict::validated      ? Role::good
                      : validation.verdict == RunVerdict::inconclusive ? Role::warning
                                                                       : Role::error;
    say(ui, fmt::format("Verdict: {}", name_of(validation.verdict)), role, true);
    note_item(ui, "run.verdict");
    for (const auto& reason : validation.reasons) say(ui, reason, Role::warning);
    if (const auto line = across_machines_line(comparison.across_machines); !line.empty()) {
        say(ui, line, Role::warning, true);
        note_item(ui, "run.across_machines");
    }
    say(ui,
        fmt::format(
            "predicted {} ({} to {}), measured {} (p10 {}, p90 {}): {}",
            format_time(comparison.predicted_step), format_time(comparison.interval_90[0]),
            format_time(comparison.interval_90[1]), format_time(validation.measured.step.median),
            format_time(validation.measured.step.p10), format_time(validation.measured.step.p90),
            format_percent(comparison.step_error)));
    for (const auto& check : validation.numerics.reference) {
        draw_mark(ui, check.pass);
        ImGui::Indent(ui.em);
        say(ui, "numerics: " + numerics_sentence(check), check.pass ? Role::good : Role::error);
        note_item(ui, check.pass ? "run.tick" : "run.cross");
        ImGui::Unindent(ui.em);
    }
}

}  // namespace

void draw_run(Ui& ui) {
    const auto& work = ui.work;
    if (work.run == RunState::running || work.run == RunState::stopping) return draw_progress(ui);
    const auto refusal = run_refusal(work);
    if (button(ui, "run.start", "Run plan", refusal)) ui.act(ActionKind::run);
    ImGui::SameLine();
    if (button(ui, "run.calibrate", "Calibrate this CPU")) ui.act(ActionKind::calibrate);
    tooltip(ui,
            "measures products, attention, memory and collectives; the profile is then the GPU "
            "\"this\"");
    if (!refusal.empty()) say(ui, "Cannot run now: " + refusal, Role::muted);
    if (const auto caveat = run_caveat(work);
        refusal.empty() && !caveat.empty() && !work.study->validation) {
        say(ui, caveat, Role::warning);
        note_item(ui, "run.caveat");
    }
    draw_failure(ui);
    if (work.study && work.study->validation) return draw_validation(ui, *work.study->validation);
    if (work.run == RunState::none) {
        say(ui,
            "A run executes the plan on this machine, checks its numbers and measures every step.",
            Role::muted);
    }
}

}  // namespace tplan::gui
