#include "gui/commands.h"

#include <algorithm>
#include <array>

#include "app/explain.h"
#include "app/gui_launch.h"
#include "gui/panels.h"

namespace tplan::gui {
namespace {

template <ActionKind kind, int number = 0>
void act(Ui& ui) {
    ui.act(kind, {}, number);
}

template <int degree>
void set_degree(Ui& ui) {
    ui.act(ActionKind::set_tp, {}, degree);
}

void toggle_phase(Ui& ui) {
    if (!ui.work.inputs.config) return;
    const bool decode = ui.work.inputs.request.workload.phase == Phase::decode;
    ui.act(ActionKind::set_phase, decode ? "prefill" : "decode");
}

void toggle_pin(Ui& ui) {
    ui.act(ui.work.baseline ? ActionKind::unpin : ActionKind::pin);
}

/// Steps of the section shown, in order.
void step_selection(Ui& ui, int direction) {
    if (!ui.work.study || !ui.work.study->lowered->program) return;
    std::vector<std::string> names;
    for (const auto& section : ui.work.study->lowered->program->sections) {
        const bool shown = std::ranges::count(section.layers, ui.view.layer) > 0;
        for (const auto& step : section.steps) {
            if (shown || section.layers.size() > 1) names.push_back(step.name);
        }
    }
    if (names.empty()) return;
    const auto now = std::ranges::find(names, ui.view.selected);
    const auto count = static_cast<int>(names.size());
    int at = now == names.end() ? (direction > 0 ? -1 : 0) : static_cast<int>(now - names.begin());
    at = (at + direction + count) % count;
    ui.view.selected = names[static_cast<std::size_t>(at)];
    ui.view.scroll_to_selected = true;
}

void step_layer(Ui& ui, int direction) {
    if (!ui.work.study) return;
    const auto most = static_cast<int>(ui.work.study->config->layers) - 1;
    ui.view.layer = std::clamp(ui.view.layer + direction, -2, most);
}

template <ActionKind kind, std::int64_t Workload::*count, int factor>
void scale_count(Ui& ui) {
    const auto now = ui.work.inputs.request.workload.*count;
    ui.act(kind, {}, factor > 0 ? now * factor : std::max<std::int64_t>(1, now / -factor));
}

template <int factor>
void scale_length(Ui& ui) {
    const bool decode = ui.work.inputs.request.workload.phase == Phase::decode;
    decode ? scale_count<ActionKind::set_length, &Workload::context, factor>(ui)
           : scale_count<ActionKind::set_length, &Workload::input, factor>(ui);
}

void scale_gpus(Ui& ui, int factor, int divisor) {
    if (!ui.work.inputs.hardware) return;
    const int now = ui.work.inputs.hardware->devices;
    ui.act(ActionKind::set_gpus, {}, std::max(1, now * factor / divisor));
}

void next_hardware(Ui& ui) {
    if (!ui.work.inputs.hardware) return;
    const auto names = hardware_names();
    const auto now = std::ranges::find(names, ui.work.inputs.hardware->name);
    const bool last = now == names.end() || now + 1 == names.end();
    ui.act(ActionKind::set_hardware, last ? names.front() : *(now + 1));
}

void swap_layout(Ui& ui) {
    const bool best = ui.work.inputs.request.plan.layout == LayoutChoice::best;
    ui.act(ActionKind::set_layout, best ? "hf" : "best");
}

DType after(DType now) {
    constexpr auto kNames = enum_names(DType{});
    auto next = now;
    do {
        next = static_cast<DType>((static_cast<std::size_t>(next) + 1) % kNames.size());
    } while (is_stored_only(next));
    return next;
}

void next_rank(Ui& ui) {
    if (!ui.work.study) return;
    ++ui.view.isolate;
    if (ui.view.isolate >= ui.work.study->request.plan.tp) ui.view.isolate = -1;
}

/// Puts the keyboard into a field.
void edit(Ui& ui, const char* field) {
    ui.view.focus = field;
    if (std::string_view(field) == "steps.filter") show(ui.view, "steps");
}

void mend_first(Ui& ui) {
    for (const auto& problem : problems(ui.work)) {
        if (!problem.mend) continue;
        ui.actions.push_back(*problem.mend);
        return;
    }
}

void set_scale(Ui& ui, float factor) {
    ui.view.scale = factor == 0
                        ? 1
                        : std::clamp(ui.view.scale * factor, static_cast<float>(kLeastScale),
                                     static_cast<float>(kMostScale));
}

void next_theme(Ui& ui) {
    constexpr int kThemes = 3;
    ui.view.theme = static_cast<Theme>((static_cast<int>(ui.view.theme) + 1) % kThemes);
}

void ask(Ui& ui, const char* what, const char* path) {
    ui.view.asking = what;
    ui.view.path = path;
}

void copy_command(Ui& ui) {
    if (ui.work.study) ImGui::SetClipboardText(command_line(*ui.work.study, "estimate").c_str());
}

void show_palette(Ui& ui) {
    ui.view.palette = !ui.view.palette;
    ui.view.focus_palette = true;
    ui.view.palette_text.clear();
    ui.view.palette_row = 0;
}

void escape(Ui& ui) {
    if (ui.view.palette || ui.view.sheet || !ui.view.asking.empty()) {
        ui.view.palette = ui.view.sheet = false;
        ui.view.asking.clear();
    } else {
        ui.view.selected.clear();
        ui.view.isolate = -1;
    }
}

constexpr std::array kOwn = {
    Command{"tp.next", "Next larger TP degree that works", Key::right, false, false,
            act<ActionKind::step_tp, 1>},
    Command{"tp.previous", "Next smaller TP degree that works", Key::left, false, false,
            act<ActionKind::step_tp, -1>},
    Command{"tp.1", "TP 1", Key::digit1, false, false, set_degree<1>},
    Command{"tp.2", "TP 2", Key::digit2, false, false, set_degree<2>},
    Command{"tp.4", "TP 4", Key::digit4, false, false, set_degree<4>},
    Command{"tp.8", "TP 8", Key::digit8, false, false, set_degree<8>},
    Command{"tp.best", "The fastest TP degree that fits", Key::t, false, false,
            act<ActionKind::best_tp>},
    Command{"link.swap", "The other link", Key::l, false, false, act<ActionKind::swap_link>},
    Command{"phase", "Prefill or decode", Key::p, false, false, toggle_phase},
    Command{"baseline", "Pin the present plan as baseline, or let it go", Key::b, false, false,
            toggle_pin},
    Command{"mend", "Do the first thing that a problem proposes", Key::none, false, false,
            mend_first},
    Command{"layout", "tplan's own layout, or transformers'", Key::none, false, false, swap_layout},
    Command{"batch.double", "Twice the batch", Key::none, false, false,
            scale_count<ActionKind::set_batch, &Workload::batch, 2>},
    Command{"batch.halve", "Half the batch", Key::none, false, false,
            scale_count<ActionKind::set_batch, &Workload::batch, -2>},
    Command{"length.double", "Twice the context or input", Key::none, false, false,
            scale_length<2>},
    Command{"length.halve", "Half the context or input", Key::none, false, false, scale_length<-2>},
    Command{"hardware.next", "The next GPU of the list", Key::none, false, false, next_hardware},
    Command{"edit.batch", "Type the batch (Tab goes on to the next field)", Key::tab, false, false,
            [](Ui& ui) { edit(ui, "batch"); }},
    Command{"edit.length", "Type the context or input", Key::none, false, false,
            [](Ui& ui) { edit(ui, "length"); }},
    Command{"edit.filter", "Type a filter for the steps", Key::none, false, false,
            [](Ui& ui) { edit(ui, "steps.filter"); }},
    Command{"dtype.next", "The next dtype", Key::none, false, false,
            [](Ui& ui) {
                ui.act(ActionKind::set_dtype,
                       std::string(name_of(after(ui.work.inputs.request.workload.dtype))));
            }},
    Command{"kv_dtype.next", "The next dtype of the KV cache", Key::none, false, false,
            [](Ui& ui) {
                ui.act(ActionKind::set_kv_dtype,
                       std::string(name_of(after(ui.work.inputs.request.workload.kv_dtype))));
            }},
    Command{
        "nodes.more", "One node more", Key::none, false, false,
        [](Ui& ui) { ui.act(ActionKind::set_nodes, {}, ui.work.inputs.request.cost.nodes + 1); }},
    Command{
        "nodes.fewer", "One node fewer", Key::none, false, false,
        [](Ui& ui) { ui.act(ActionKind::set_nodes, {}, ui.work.inputs.request.cost.nodes - 1); }},
    Command{"gpus.double", "Twice the GPUs of a node", Key::none, false, false,
            [](Ui& ui) { scale_gpus(ui, 2, 1); }},
    Command{"gpus.halve", "Half the GPUs of a node", Key::none, false, false,
            [](Ui& ui) { scale_gpus(ui, 1, 2); }},
    Command{"rank.next", "Only what the next rank holds", Key::none, false, false, next_rank},
    Command{"activations", "Strips of what flows between the steps", Key::none, false, false,
            [](Ui& ui) { ui.view.activations = !ui.view.activations; }},
    Command{"step.next", "Next step of the layer", Key::period, false, false,
            [](Ui& ui) { step_selection(ui, 1); }},
    Command{"step.previous", "Previous step of the layer", Key::comma, false, false,
            [](Ui& ui) { step_selection(ui, -1); }},
    Command{"layer.next", "Next layer", Key::right_bracket, false, false,
            [](Ui& ui) { step_layer(ui, 1); }},
    Command{"layer.previous", "Previous layer", Key::left_bracket, false, false,
            [](Ui& ui) { step_layer(ui, -1); }},
    Command{"heads", "Lines between heads", Key::h, false, false,
            [](Ui& ui) { ui.view.heads = !ui.view.heads; }},
    Command{"details", "Details", Key::d, false, false,
            [](Ui& ui) { ui.view.details = !ui.view.details; }},
    Command{"fit", "Shard map at its own size", Key::f, false, false,
            [](Ui& ui) { ui.view.zoom = 1; }},
    Command{"run", "Run the plan on this machine", Key::r, true, false, act<ActionKind::run>},
    Command{"run.cancel", "Cancel the run", Key::period, true, false, act<ActionKind::cancel>},
    Command{"run.calibrate", "Measure this machine's CPU", Key::none, false, false,
            act<ActionKind::calibrate>},
    Command{"undo", "Undo", Key::z, true, false, act<ActionKind::undo>},
    Command{"redo", "Redo", Key::y, true, false, act<ActionKind::redo>},
    Command{"open", "Open a model, a plan or a validated plan", Key::o, true, false,
            [](Ui& ui) { ask(ui, "open", ""); }},
    Command{"save", "Save the plan", Key::s, true, false,
            [](Ui& ui) { ask(ui, "save", "plan.json"); }},
    Command{"export", "Write a report (.html) or the shard map (.svg)", Key::e, true, false,
            [](Ui& ui) { ask(ui, "report", "report.html"); }},
    Command{"copy", "Copy the command line that gives the same", Key::c, true, true, copy_command},
    Command{"palette", "Find a command", Key::k, true, false, show_palette},
    Command{"sheet", "All shortcuts", Key::slash, false, true,
            [](Ui& ui) { ui.view.sheet = !ui.view.sheet; }},
    Command{"scale.up", "Larger", Key::equal, true, false, [](Ui& ui) { set_scale(ui, 1.1f); }},
    Command{"scale.down", "Smaller", Key::minus, true, false,
            [](Ui& ui) { set_scale(ui, 1 / 1.1f); }},
    Command{"scale.reset", "100 %", Key::digit0, true, false, [](Ui& ui) { set_scale(ui, 0); }},
    Command{"theme", "Light, dark or high contrast", Key::none, false, false, next_theme},
    Command{"escape", "Close, or select nothing", Key::escape, false, false, escape},
    Command{"quit", "Quit", Key::none, false, false, [](Ui& ui) { ui.quit = true; }},
};

template <std::size_t tab>
void show_tab(Ui& ui) {
    show(ui.view, kPaneTabs[tab].name());
}

/// Those of the table, and one for every tab.
template <std::size_t... tab>
constexpr auto with_tabs(std::index_sequence<tab...>) {
    std::array<Command, kOwn.size() + sizeof...(tab)> all{};
    std::ranges::copy(kOwn, all.begin());
    ((all[kOwn.size() + tab] = {kPaneTabs[tab].command, kPaneTabs[tab].what, Key::none, false,
                                false, show_tab<tab>}),
     ...);
    return all;
}
constexpr auto kCommands = with_tabs(std::make_index_sequence<kPaneTabs.size()>());

}  // namespace

std::span<const Command> commands() {
    return kCommands;
}

void run_shortcuts(Ui& ui) {
    const bool typing = ImGui::GetIO().WantTextInput;
    // Where Tab walks all items it is ImGui's once it walks.
    const bool walking = ImGui::IsAnyItemFocused();
    const bool window = ui.view.palette || ui.view.sheet || !ui.view.asking.empty();
    for (const auto& command : kCommands) {
        if (command.key == Key::none || command.ctrl != ctrl_down()) continue;
        const bool closing = command.key == Key::escape;
        if (!closing && !command.ctrl && (typing || window)) continue;
        if (!closing && command.shift != shift_down()) continue;
        if (command.key == Key::tab && walking) continue;
        if (pressed(command.key, command.key == Key::left || command.key == Key::right))
            command.run(ui);
    }
}

std::string shortcut_text(const Command& command) {
    if (command.key == Key::none) return {};
    if (command.key == Key::slash) return "?";
    std::string text;
    if (command.ctrl) text += "Ctrl+";
    if (command.shift) text += "Shift+";
    return text + std::string(key_name(command.key));
}

}  // namespace tplan::gui
