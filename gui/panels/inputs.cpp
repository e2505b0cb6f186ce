#include <algorithm>

#include "gui/commands.h"
#include "gui/panels.h"
#include "gui/widgets.h"

namespace tplan::gui {
namespace {

std::vector<std::string> names_without(std::vector<std::string> names, std::string_view left_out) {
    std::erase(names, left_out);
    return names;
}

template <class E>
std::vector<std::string> names_of() {
    std::vector<std::string> names;
    for (const auto name : enum_names(E{})) names.emplace_back(name);
    return names;
}

/// What a workload can run and cache in.
std::vector<std::string> computed_dtypes() {
    auto names = names_of<DType>();
    std::erase_if(names, [](const std::string& name) {
        return is_stored_only(parse_enum<DType>(name, "dtype"));
    });
    return names;
}

void choose_into(Ui& ui, std::string_view name, const char* title, const std::string& now,
                 const std::vector<std::string>& choices, ActionKind kind) {
    if (auto chosen = choose(ui, name, title, now, choices)) ui.act(kind, std::move(*chosen));
}

/// A button per degree; those that do not work are crossed through and say why, but can be looked
/// at.
void draw_degrees(Ui& ui) {
    const auto& study = *ui.work.study;
    const int now = ui.work.inputs.request.plan.tp;
    float x = 0;
    const float room = ImGui::GetContentRegionAvail().x;
    for (const auto& point : study.curves.front().points) {
        const auto label = std::to_string(point.tp);
        const float width = std::max(ui.em * 1.9f, ImGui::CalcTextSize(label.c_str()).x + ui.em);
        if (x > 0 && x + width < room) ImGui::SameLine(0, ui.em * 0.3f);
        x = x + width < room ? x + width + ui.em * 0.3f : width;
        const bool own = point.tp == now;
        if (!point.feasible) {
            ImGui::PushStyleColor(ImGuiCol_Text,
                                  colour4(ui.view.theme, own ? Role::on_compute : Role::muted));
        }
        if (own) ImGui::PushStyleColor(ImGuiCol_Button, colour4(ui.view.theme, Role::compute));
        if (own && point.feasible)
            ImGui::PushStyleColor(ImGuiCol_Text, colour4(ui.view.theme, Role::on_compute));
        if (ImGui::Button((label + "##tp").c_str(), {width, 0}))
            ui.act(ActionKind::set_tp, {}, point.tp);
        ImGui::PopStyleColor((own ? 1 : 0) + (!point.feasible || own ? 1 : 0));
        note_item(ui, "tp." + label);
        if (point.feasible) {
            tooltip(ui, fmt::format("{}, {} per GPU", format_time(point.totals.step),
                                    format_bytes(point.totals.memory.total)));
            continue;
        }
        tooltip(ui, "does not work: " + point.reason);
        const auto low = ImGui::GetItemRectMin(), high = ImGui::GetItemRectMax();
        ImGui::GetWindowDrawList()->AddLine({low.x + 4, high.y - 4}, {high.x - 4, low.y + 4},
                                            ImGui::GetColorU32(colour4(ui.view.theme, Role::error)),
                                            std::max(1.5f, ui.em * 0.1f));
    }
}

}  // namespace

void draw_inputs(Ui& ui) {
    const auto& inputs = ui.work.inputs;
    const auto& work = inputs.request.workload;
    heading(ui, "MODEL AND WORKLOAD");
    choose_into(ui, "model", "model", inputs.config ? inputs.config->source : "", preset_names(),
                ActionKind::set_model);
    choose_into(ui, "phase", "phase", std::string(name_of(work.phase)),
                names_without(names_of<Phase>(), "train"), ActionKind::set_phase);
    number_field(ui, "batch", "batch", work.batch, ActionKind::set_batch);
    const bool decode = work.phase == Phase::decode;
    number_field(ui, "length", decode ? "context" : "input", decode ? work.context : work.input,
                 ActionKind::set_length);
    choose_into(ui, "dtype", "dtype", std::string(name_of(work.dtype)), computed_dtypes(),
                ActionKind::set_dtype);
    choose_into(ui, "kv_dtype", "KV cache", std::string(name_of(work.kv_dtype)), computed_dtypes(),
                ActionKind::set_kv_dtype);
    heading(ui, "HARDWARE AND LINK");
    auto profiles = hardware_names();
    profiles.emplace_back("this");
    choose_into(ui, "hardware", "GPU", inputs.hardware ? inputs.hardware->name : "", profiles,
                ActionKind::set_hardware);
    if (!ui.work.study) return;
    std::vector<std::string> links;
    for (const auto& link : inputs.hardware->links) links.emplace_back(name_of(link.kind));
    choose_into(ui, "link", "link", ui.work.study->request.cost.link, links, ActionKind::set_link);
    number_field(ui, "gpus", "GPUs", inputs.hardware->devices, ActionKind::set_gpus);
    if (inputs.hardware->network)
        number_field(ui, "nodes", "nodes", inputs.request.cost.nodes, ActionKind::set_nodes);
    heading(ui, "TENSOR PARALLEL");
    choose_into(ui, "layout", "layout", std::string(name_of(inputs.request.plan.layout)),
                names_of<LayoutChoice>(), ActionKind::set_layout);
    tooltip(ui,
            "best: the fastest layout there is, searched; hf: as transformers splits the model");
    draw_degrees(ui);
    if (button(ui, "best", "Best TP")) ui.act(ActionKind::best_tp);
    ImGui::SameLine();
    const auto refusal = run_refusal(ui.work);
    const bool running = ui.work.run == RunState::running || ui.work.run == RunState::stopping;
    if (button(ui, "run.button", "Run plan", running ? "a run is under way" : refusal)) {
        ui.act(ActionKind::run);
        show(ui.view, "run");
    }
    ImGui::SameLine();
    if (button(ui, "pin", ui.work.baseline ? "Unpin" : "Pin"))
        ui.act(ui.work.baseline ? ActionKind::unpin : ActionKind::pin);
    tooltip(ui, "keep this plan as a baseline: the details then show differences to it");
    ImGui::Checkbox("activations", &ui.view.activations);
    note_item(ui, "activations");
    ImGui::SameLine();
    ImGui::Checkbox("heads", &ui.view.heads);
    note_item(ui, "heads");
    // What the palette has too, for those who look for a button first.
    bool first = true;
    for (const auto& [name, label] : {std::pair{"open", "Open"}, std::pair{"save", "Save"},
                                      std::pair{"export", "Report"}, std::pair{"copy", "Copy"}}) {
        if (!first) ImGui::SameLine();
        first = false;
        const auto command = std::ranges::find(commands(), name, &Command::name);
        if (button(ui, std::string("file.") + name, label)) command->run(ui);
        tooltip(ui, command->title);
    }
}

void draw_problems(Ui& ui) {
    const auto all = problems(ui.work);
    const auto counted = std::ranges::count_if(
        all, [](const Problem& p) { return p.level != Problem::Level::note; });
    heading(ui, counted == 0 ? "NO PROBLEMS" : fmt::format("PROBLEMS ({})", counted));
    int at = 0;
    for (const auto& problem : all) {
        const bool error = problem.level == Problem::Level::error;
        const bool note = problem.level == Problem::Level::note;
        // A shape besides the colour: square for errors, triangle for warnings, ring for notes.
        const auto corner = ImGui::GetCursorScreenPos();
        auto& draw = *ImGui::GetWindowDrawList();
        const float size = ui.em * 0.4f, x = corner.x + size, y = corner.y + ui.em * 0.6f;
        const auto ink = ImGui::GetColorU32(colour4(ui.view.theme, error  ? Role::error
                                                                   : note ? Role::muted
                                                                          : Role::warning));
        if (error) draw.AddRectFilled({x - size, y - size}, {x + size, y + size}, ink);
        if (note) draw.AddCircle({x, y}, size, ink, 0, 2);
        if (!error && !note)
            draw.AddTriangleFilled({x - size, y + size}, {x, y - size}, {x + size, y + size}, ink);
        ImGui::Indent(ui.em * 1.3f);
        const auto text = note ? problem.text : problem.code + ": " + problem.text;
        say(ui, text, note ? Role::muted : Role::text);
        if (problem.mend && button(ui, fmt::format("mend.{}", at), problem.remedy)) {
            ui.actions.push_back(*problem.mend);
        }
        ImGui::Unindent(ui.em * 1.3f);
        ++at;
    }
}

}  // namespace tplan::gui
