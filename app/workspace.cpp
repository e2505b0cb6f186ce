#include "app/workspace.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "app/explain.h"
#include "app/plan_file.h"
#include "app/report.h"
#include "core/files.h"
#include "planner/check.h"
#include "planner/requirements.h"

namespace tplan {
namespace {

constexpr std::size_t kMostUndo = 200;

bool has_model(const Inputs& inputs) {
    return inputs.config && inputs.hardware;
}

std::shared_ptr<const HardwareProfile> shared_hardware(const std::string& name) {
    return std::make_shared<const HardwareProfile>(load_hardware(name));
}

int most_gpus(const Inputs& inputs) {
    return inputs.hardware->devices * inputs.request.cost.nodes;
}

/// The same model, options and dtype as what was lowered: its degrees can be used again.
bool same_degrees(const Degrees& degrees, const Inputs& inputs) {
    auto options = inputs.request.plan;
    options.tp = degrees.options.tp;
    return degrees.config == inputs.config && degrees.options == options &&
           degrees.dtype == inputs.request.workload.dtype;
}

void recompute(Workspace& workspace) {
    const auto& inputs = workspace.inputs;
    if (!has_model(inputs)) return;
    const auto start = std::chrono::steady_clock::now();
    try {
        if (!workspace.degrees || !same_degrees(*workspace.degrees, inputs)) {
            auto made = std::make_shared<Degrees>(
                degrees_of(*inputs.config, inputs.request.plan, inputs.request.workload.dtype));
            made->config = inputs.config;  // the same object, so that it is recognised
            workspace.degrees = std::move(made);
        }
        auto study = std::make_shared<Study>(
            make_study(*workspace.degrees, inputs.hardware, inputs.request));
        if (workspace.validation && workspace.validated == inputs)
            study->validation = workspace.validation;
        workspace.study = std::move(study);
        workspace.stale = false;
    } catch (const std::exception& error) {
        workspace.stale = true;
        workspace.error = error.what();
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    workspace.recompute_s = took.count();
}

/// The file that a model is read from: that name, or config.json of that folder; empty for a
/// preset.
std::string file_of(const std::string& name) {
    std::error_code ignored;
    const std::filesystem::path path(name);
    if (std::filesystem::is_directory(path, ignored)) return (path / "config.json").string();
    return std::filesystem::exists(path, ignored) ? name : std::string();
}

/// Notes what a file is like before it is read.
void note_file(Workspace& workspace, Inputs& inputs, const std::string& file) {
    inputs.file = file;
    if (const auto stamp = stamp_of(file)) workspace.seen[file] = *stamp;
}

/// What changes with a model: its dtypes, and a degree that works.
void adopt_model(Inputs& inputs, ModelConfig config) {
    inputs.request.workload.dtype = config.dtype;
    inputs.request.workload.kv_dtype = config.dtype;
    inputs.config = std::make_shared<const ModelConfig>(std::move(config));
    if (!inputs.hardware) inputs.hardware = shared_hardware("h100-sxm");
}

void adopt_hardware(Inputs& inputs, std::shared_ptr<const HardwareProfile> hardware) {
    inputs.hardware = std::move(hardware);
    auto& link = inputs.request.cost.link;
    const auto& links = inputs.hardware->links;
    if (std::ranges::none_of(links, [&](const auto& l) { return name_of(l.kind) == link; }))
        link.clear();
    inputs.request.plan.tp = std::min(inputs.request.plan.tp, most_gpus(inputs));
}

/// The next degree that works in a direction, or the present one.
int stepped(const Study& study, int tp, std::int64_t direction) {
    int next = tp;
    for (const int degree : study.working) {
        if (direction > 0 && degree > tp) return degree;
        if (direction < 0 && degree < tp) next = degree;
    }
    return next;
}

void set_best(Workspace& workspace, Inputs& inputs) {
    if (!workspace.study) return;
    const auto& curve = workspace.study->curves.front();
    if (curve.best >= 0) {
        inputs.request.plan.tp = curve.points[static_cast<std::size_t>(curve.best)].tp;
    } else if (!workspace.study->working.empty()) {
        inputs.request.plan.tp = workspace.study->working.back();  // nothing fits: the nearest
    }
}

void swap_link(Inputs& inputs, const Study& study) {
    if (study.curves.size() > 1) inputs.request.cost.link = study.curves[1].link;
}

std::int64_t checked(std::string_view what, std::int64_t value, std::int64_t most) {
    if (value >= 1 && value <= most) return value;
    throw Error(what, fmt::format("{} is out of range", value),
                fmt::format("give 1 to {}", format_count(most)));
}

/// The machine with so many GPUs in a node.
std::shared_ptr<const HardwareProfile> with_gpus(const HardwareProfile& hardware,
                                                 std::int64_t gpus) {
    int joined = hardware.devices;
    for (const auto& link : hardware.links) joined = std::max(joined, link.devices);
    auto made = std::make_shared<HardwareProfile>(hardware);
    made->devices = static_cast<int>(checked("GPUs", gpus, joined));
    return made;
}

/// The inputs after an action that sets one of them.
void set_input(Workspace& workspace, Inputs& inputs, const Action& action) {
    auto& request = inputs.request;
    auto& work = request.workload;
    switch (action.kind) {
        case ActionKind::set_model:
            note_file(workspace, inputs, file_of(action.text));
            adopt_model(inputs, load_model_config(action.text));
            break;
        case ActionKind::set_hardware:
            adopt_hardware(inputs, shared_hardware(action.text));
            break;
        case ActionKind::set_link:
            request.cost.link = action.text;
            break;
        case ActionKind::set_tp:
            request.plan.tp = static_cast<int>(checked("TP", action.number, most_gpus(inputs)));
            break;
        case ActionKind::set_phase: {
            const auto phase = parse_enum<Phase>(action.text, "phase");
            if (phase == Phase::train)
                throw Error("phase", "the window shows serving only",
                            "use prefill or decode; `tplan plan --phase train` plans training");
            work.phase = phase;
            break;
        }
        case ActionKind::set_batch:
            work.batch = action.number;
            break;
        case ActionKind::set_length:
            (work.phase == Phase::decode ? work.context : work.input) = action.number;
            break;
        case ActionKind::set_dtype:
            work.dtype = parse_enum<DType>(action.text, "dtype");
            break;
        case ActionKind::set_kv_dtype:
            work.kv_dtype = parse_enum<DType>(action.text, "KV dtype");
            break;
        case ActionKind::set_layout:
            request.plan.layout = parse_enum<LayoutChoice>(action.text, "layout");
            break;
        case ActionKind::set_kernels:
            request.plan.kernels = parse_enum<Kernels>(action.text, "kernels");
            break;
        case ActionKind::set_nodes: {
            const auto nodes = checked("nodes", action.number, kMostNodes);
            if (nodes > 1 && !inputs.hardware->network)
                throw Error("nodes", inputs.hardware->name + " has no network between nodes");
            request.cost.nodes = static_cast<int>(nodes);
            request.plan.tp = std::min(request.plan.tp, most_gpus(inputs));
            break;
        }
        case ActionKind::set_gpus:
            adopt_hardware(inputs, with_gpus(*inputs.hardware, action.number));
            break;
        case ActionKind::step_tp:
            if (workspace.study)
                request.plan.tp = stepped(*workspace.study, request.plan.tp, action.number);
            break;
        case ActionKind::best_tp:
            set_best(workspace, inputs);
            break;
        case ActionKind::swap_link:
            if (workspace.study) swap_link(inputs, *workspace.study);
            break;
        default:
            break;
    }
}

void change(Workspace& workspace, const Action& action) {
    auto inputs = workspace.inputs;
    const bool first = !has_model(inputs);
    if (first && action.kind != ActionKind::set_model && action.kind != ActionKind::set_hardware)
        throw Error("model", "none is open", "choose one first");
    set_input(workspace, inputs, action);
    require_ranges(inputs.request, "inputs");
    if (inputs == workspace.inputs) return;
    if (!first && !action.continued) {
        workspace.undo.push_back(workspace.inputs);
        if (workspace.undo.size() > kMostUndo) workspace.undo.erase(workspace.undo.begin());
    }
    workspace.redo.clear();
    workspace.inputs = std::move(inputs);
    recompute(workspace);
    // A new model begins at its best degree.
    if (action.kind == ActionKind::set_model && workspace.study && !workspace.stale) {
        set_best(workspace, workspace.inputs);
        recompute(workspace);
    }
}

void travel(Workspace& workspace, std::vector<Inputs>& from, std::vector<Inputs>& to) {
    if (from.empty()) return;
    to.push_back(std::move(workspace.inputs));
    workspace.inputs = std::move(from.back());
    from.pop_back();
    recompute(workspace);
}

void open_plan(Workspace& workspace, const std::string& path) {
    Inputs inputs;
    note_file(workspace, inputs, path);
    const auto file = read_plan_file(path);
    const auto plan = read_plan(file.plan, path);
    if (plan.request.training) {
        throw Error(path, "is a plan of training, and the window shows serving only",
                    "`tplan report PLAN -o page.html` shows it");
    }
    if (plan.hardware.kinds) {
        throw Error(path, "is a plan on two kinds of GPU, and the window shows one",
                    "`tplan report PLAN -o page.html` shows it");
    }
    auto config = read_model_config(plan.model, path + "/model");
    config.source = plan.model_source;
    inputs.config = std::make_shared<const ModelConfig>(std::move(config));
    inputs.hardware = std::make_shared<const HardwareProfile>(plan.hardware);
    inputs.request = plan.request;
    // The window sets the degree itself, among as many GPUs as the plan was to choose from.
    if (const auto gpus = std::exchange(inputs.request.gpus.value, std::nullopt)) {
        const int nodes = inputs.request.cost.nodes;
        inputs.hardware = with_gpus(plan.hardware, (*gpus + nodes - 1) / nodes);
    }
    inputs.request.plan.tp = plan.tp;
    inputs.request.workload = plan.workload;
    if (has_model(workspace.inputs)) workspace.undo.push_back(workspace.inputs);
    workspace.redo.clear();
    workspace.inputs = inputs;
    workspace.validation = file.validation;
    workspace.validated = inputs;
    // The file's own layout, also where this version would choose another.
    workspace.degrees = std::make_shared<Degrees>(degrees_of(plan, inputs.hardware));
    workspace.degrees->config = inputs.config;
    recompute(workspace);
}

PlanDocument plan_of(const Workspace& workspace) {
    const auto& inputs = workspace.inputs;
    auto result = make_plan_document(*inputs.config, *inputs.hardware, inputs.request);
    if (!result.document) {
        const auto& violations = result.feasibility.violations;
        throw Error("plan",
                    violations.empty() ? "this degree does not work" : violations.front().message);
    }
    return std::move(*result.document);
}

void start_worker(Workspace& workspace, std::vector<std::string> arguments, std::string what) {
    if (workspace.worker && workspace.worker->running())
        throw Error("run", "one is under way", "cancel it first");
    arguments.insert(arguments.begin(), sibling_program("tplan"));
    workspace.worker = std::make_unique<Worker>(arguments);
    workspace.run = RunState::running;
    workspace.run_what = std::move(what);
    workspace.run_done = 0;
}

/// Where `tplan run` leaves what a run that was cut short had measured.
std::string partial_output(const Workspace& workspace) {
    return workspace.run_output + ".partial.json";
}

void start_run(Workspace& workspace) {
    if (const auto refusal = run_refusal(workspace); !refusal.empty()) throw Error("run", refusal);
    const auto folder =
        std::filesystem::temp_directory_path() / fmt::format("tplan-window-{}", ::getpid());
    std::filesystem::create_directories(folder);
    const auto plan = (folder / "plan.json").string();
    workspace.run_output = (folder / "validated.json").string();
    std::filesystem::remove(workspace.run_output);
    std::filesystem::remove(partial_output(workspace));
    workspace.partial.reset();
    write_file(plan, json_text(plan_of(workspace)));
    workspace.validated = workspace.inputs;
    start_worker(workspace, {"run", plan, "-o", workspace.run_output}, "run");
}

/// Takes in what a run that ended early has left; none when it had not begun to measure.
void read_partial(Workspace& workspace) {
    std::error_code ignored;
    const auto path = partial_output(workspace);
    if (workspace.run_output.empty() || !std::filesystem::exists(path, ignored)) return;
    try {
        workspace.partial = read_plan_file(path).validation;
    } catch (const Error&) {
        workspace.partial.reset();  // cut short while it was written
    }
}

void save(Workspace& workspace, const std::string& path) {
    const auto plan = plan_of(workspace);
    const bool validated = workspace.study && workspace.study->validation && !workspace.stale;
    write_file(path, validated ? json_text(write_validated(plan, *workspace.study->validation))
                               : json_text(plan));
    if (path == workspace.inputs.file) workspace.seen[path] = stamp_of(path).value_or(FileStamp{});
    workspace.message = "written: " + path;
}

void open(Workspace& workspace, const std::string& what) {
    const auto seen = workspace.seen;
    try {
        if (is_plan_file(what)) {
            open_plan(workspace, what);
        } else {
            change(workspace, {ActionKind::set_model, what});
        }
    } catch (...) {
        workspace.seen = seen;  // what is open is still what was read then
        throw;
    }
    workspace.opened = what;
}

void do_action(Workspace& workspace, const Action& action) {
    switch (action.kind) {
        case ActionKind::undo:
            travel(workspace, workspace.undo, workspace.redo);
            break;
        case ActionKind::redo:
            travel(workspace, workspace.redo, workspace.undo);
            break;
        case ActionKind::pin:
            workspace.baseline = workspace.study;
            break;
        case ActionKind::unpin:
            workspace.baseline.reset();
            break;
        case ActionKind::open:
            open(workspace, action.text);
            break;
        case ActionKind::reload:
            open(workspace, workspace.inputs.file);
            break;
        case ActionKind::keep:
            if (const auto stamp = stamp_of(workspace.inputs.file))
                workspace.seen[workspace.inputs.file] = *stamp;
            break;
        case ActionKind::save:
            save(workspace, action.text);
            break;
        case ActionKind::report:
            if (!workspace.study) throw Error("report", "there is no plan yet");
            write_file(action.text, report_for(*workspace.study, action.text));
            workspace.message = "written: " + action.text;
            break;
        case ActionKind::run:
            start_run(workspace);
            break;
        case ActionKind::calibrate:
            start_worker(workspace, {"calibrate", "--backend", "cpu", "--quick"}, "calibrate");
            break;
        case ActionKind::cancel:
            if (workspace.worker && workspace.worker->running()) {
                workspace.worker->stop();
                workspace.run = RunState::stopping;
            }
            break;
        default:
            change(workspace, action);
    }
}

}  // namespace

Workspace make_workspace() {
    return {};
}

void apply(Workspace& workspace, const Action& action) {
    workspace.error.clear();
    workspace.message.clear();
    try {
        do_action(workspace, action);
    } catch (const std::exception& error) {
        workspace.error = error.what();
    }
}

bool look_at_file(Workspace& workspace) {
    const auto& file = workspace.inputs.file;
    const auto known = workspace.seen.find(file);
    bool changed = false;
    if (!file.empty() && known != workspace.seen.end()) {
        const auto stamp = stamp_of(file);
        changed = stamp && *stamp != known->second;
    }
    return std::exchange(workspace.file_changed, changed) != changed;
}

bool poll_run(Workspace& workspace) {
    if (!workspace.worker) return false;
    auto& worker = *workspace.worker;
    worker.poll();
    workspace.run_done = worker.done();
    if (worker.running() || workspace.pending) return true;
    const bool calibrated = workspace.run_what == "calibrate";
    const bool cancelled = worker.stopping();
    const int code = worker.exit_code();
    const auto last = worker.last_line();
    workspace.worker.reset();
    std::error_code ignored;
    if (cancelled || code > 1) read_partial(workspace);
    if (cancelled) {
        workspace.run = RunState::failed;
        workspace.run_what = "cancelled";
    } else if (code > 1 ||
               (!calibrated && !std::filesystem::exists(workspace.run_output, ignored))) {
        workspace.run = RunState::failed;
        workspace.run_what = last.empty() ? fmt::format("ended with code {}", code) : last;
    } else {
        workspace.run = RunState::done;
        workspace.run_what = last;
        if (calibrated) {
            apply(workspace, {ActionKind::set_hardware, "this"});
        } else {
            try {
                workspace.validation = read_plan_file(workspace.run_output).validation;
                recompute(workspace);
            } catch (const std::exception& error) {
                workspace.run = RunState::failed;
                workspace.run_what = error.what();
            }
        }
    }
    return false;
}

std::string run_refusal(const Workspace& workspace) {
    if (!workspace.study || workspace.stale) return "there is no plan yet";
    const auto& study = *workspace.study;
    if (!study.totals) return "this degree does not work";
    if (!study.totals->memory.fits) return "the plan does not fit in memory";
    return {};
}

std::string run_caveat(const Workspace& workspace) {
    if (!workspace.study) return {};
    const auto machines = across_backends(*workspace.study->hardware, "cpu");
    if (machines.empty()) return {};
    return fmt::format("{}: {}", across_machines_line(machines), kDoesNotJudge);
}

}  // namespace tplan
