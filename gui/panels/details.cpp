#include "app/explain.h"
#include "gui/panels.h"
#include "gui/widgets.h"

namespace tplan::gui {
namespace {

void draw_totals(Ui& ui, const Study& study) {
    heading(ui, "THE STEP");
    if (!study.totals)
        return say(ui, "This degree does not work: it has no times and no memory.", Role::muted);
    for (const auto& line : explain_totals(study)) {
        say(ui, line.name + ": " + line.value, Role::text);
        tooltip(ui, line.how);
    }
    if (!ui.work.baseline || !ui.work.baseline->totals) return;
    const auto& base = *ui.work.baseline;
    heading(ui, "AGAINST THE BASELINE");
    say(ui,
        fmt::format("{} at TP {} on {}", base.config->source, base.request.plan.tp,
                    base.hardware->name),
        Role::muted);
    say(ui, fmt::format("step {} against {}: {}", format_time(study.totals->step),
                        format_time(base.totals->step),
                        format_percent(study.totals->step / base.totals->step - 1)));
}

/// What there is to say while nothing is selected.
void draw_whole(Ui& ui, const Study& study) {
    draw_totals(ui, study);
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
}

void draw_weights(Ui& ui, const Program& program, const Step& step) {
    if (!step.weights.empty()) heading(ui, "WEIGHTS");
    for (const auto& ref : step.weights) {
        if (ref.tensor < 0) continue;
        const auto& tensor = program.tensors[static_cast<std::size_t>(ref.tensor)];
        say(ui,
            fmt::format("{}\n{} {}, {}", tensor.name, fmt::join(tensor.shape, " x "),
                        name_of(tensor.dtype), tensor.style),
            Role::muted);
    }
}

void draw_step(Ui& ui, const Study& study, std::size_t s, std::size_t i) {
    const auto& program = *study.lowered->program;
    const auto& priced = study.steps[s][i];
    const auto all = priced.cost.time * priced.repeats;
    say(ui, fmt::format("{}: {} each, {} times, {} of the step", program.sections[s].name,
                        format_time(priced.cost.time), priced.repeats,
                        format_percent(all / study.totals->step)));
    heading(ui, "WHERE IT COMES FROM");
    for (const auto& line : explain_step(study, static_cast<int>(s), static_cast<int>(i)))
        say(ui, line, Role::muted);
    draw_weights(ui, program, program.sections[s].steps[i]);
}

}  // namespace

void draw_details(Ui& ui) {
    if (nothing_yet(ui, "Details of what you select will stand here.")) return;
    const auto& study = *ui.work.study;
    if (ui.view.selected.empty() || !study.lowered->program) return draw_whole(ui, study);
    heading(ui, "SELECTED");
    say(ui, ui.view.selected, Role::text, true);
    note_item(ui, "details.selected");
    const auto& sections = study.lowered->program->sections;
    for (std::size_t s = 0; s < sections.size(); ++s) {
        const auto& steps = sections[s].steps;
        const auto found = std::ranges::find(steps, ui.view.selected, &Step::name);
        if (found != steps.end())
            return draw_step(ui, study, s, static_cast<std::size_t>(found - steps.begin()));
    }
    say(ui, "This degree has no such step.", Role::muted);
}

}  // namespace tplan::gui
