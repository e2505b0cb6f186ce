#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/file_stamp.h"
#include "app/study.h"
#include "app/worker.h"

/// The state behind the window: inputs, their study, undo, a pinned baseline, a run. It changes
/// only through actions, so that undo, replay and tests see what a person does.

namespace tplan {

/// What a person set. Cheap to copy: the two files are shared.
struct Inputs {
    std::shared_ptr<const ModelConfig> config;
    std::shared_ptr<const HardwareProfile> hardware;
    PlanRequest request;
    std::string file;  // plan or config.json that they were opened from; empty = a preset
    bool operator==(const Inputs&) const = default;
};

enum class ActionKind {
    set_model,     // text: preset, config.json or folder
    set_hardware,  // text
    set_link,      // text
    set_tp,        // number
    set_phase,     // text
    set_batch,     // number
    set_length,    // number: context in decode, input in prefill
    set_dtype,     // text
    set_kv_dtype,  // text
    set_layout,    // text
    set_kernels,   // text
    set_nodes,     // number
    set_gpus,      // number: of a node, at most as many as its links join
    step_tp,       // number: +1 next larger, -1 next smaller degree that works
    best_tp,
    swap_link,  // to the next one the hardware has
    undo,
    redo,
    pin,  // the present study as baseline
    unpin,
    open,    // text: plan, validated plan, config.json or folder
    reload,  // the file of the inputs, which has changed on disk
    keep,    // what is open, although the file has changed
    save,    // text: plan.json
    report,  // text: .html or .svg
    run,     // the plan, in a worker
    calibrate,
    cancel
};
constexpr auto enum_names(ActionKind) {
    return std::array<std::string_view, 28>{
        "set_model",  "set_hardware", "set_link",     "set_tp",     "set_phase",   "set_batch",
        "set_length", "set_dtype",    "set_kv_dtype", "set_layout", "set_kernels", "set_nodes",
        "set_gpus",   "step_tp",      "best_tp",      "swap_link",  "undo",        "redo",
        "pin",        "unpin",        "open",         "reload",     "keep",        "save",
        "report",     "run",          "calibrate",    "cancel"};
}

struct Action {
    ActionKind kind = ActionKind::undo;
    std::string text{};
    std::int64_t number = 0;
    bool continued = false;  // part of a drag: one undo step together with the one before
    static void fields(auto& self, auto&& field) {
        field("kind", self.kind);
        field("text", self.text);
        field("number", self.number);
        field("continued", self.continued);
    }
    bool operator==(const Action&) const = default;
};

/// Something a person should know, and what to do about it.
struct Problem {
    enum class Level { error, warning, note } level = Level::note;
    std::string code, text;
    std::string remedy;          // of the action; empty without one
    std::optional<Action> mend;  // applied on a click
};

enum class RunState { none, running, stopping, done, failed };
constexpr auto enum_names(RunState) {
    return std::array<std::string_view, 5>{"none", "running", "stopping", "done", "failed"};
}

struct Pending;

struct Workspace {
    Inputs inputs;
    std::vector<Inputs> undo, redo;
    std::shared_ptr<const Study> study;  // of the inputs, or of the last ones that had one
    bool stale = false;                  // the inputs have none: `error` says why
    std::string error;                   // of the last action or of the inputs; empty = none
    std::string message;                 // what the last action did
    std::shared_ptr<const Study> baseline;
    double recompute_s = 0;  // the last recomputation took

    std::map<std::string, FileStamp> seen;  // files as they were when read, or kept
    bool file_changed = false;              // that of the inputs has, since then
    std::string opened;                     // by the last action, to be remembered; or empty
    std::shared_ptr<Pending> pending;       // an action under way, see app/pending.h
    std::vector<Action> waiting;            // for it

    RunState run = RunState::none;
    std::string run_what;  // command or failure
    double run_done = 0;
    std::unique_ptr<Worker> worker;
    std::string run_output;                // where the worker writes
    std::optional<Validation> validation;  // of the study's plan, from a run or a file
    Inputs validated;                      // the inputs it belongs to
    std::optional<Validation> partial;     // of a run that was cut short: what it had until then

    std::shared_ptr<Degrees> degrees;  // lowered degrees of the present model
};

/// A workspace with nothing in it: the window then offers models.
Workspace make_workspace();

/// Changes the workspace. What goes wrong stands in `error` afterwards; nothing is thrown.
void apply(Workspace& workspace, const Action& action);

/// Takes in what the worker has done; call once a frame. True while it runs.
bool poll_run(Workspace& workspace);

/// Looks at the file of the inputs and sets `file_changed`; true when that is news. A file that is
/// gone has not changed: editors replace files.
bool look_at_file(Workspace& workspace);

/// Errors first.
std::vector<Problem> problems(const Workspace& workspace);

/// Why the plan cannot be run from the window just now; empty when it can.
std::string run_refusal(const Workspace& workspace);

/// What a run from the window, which is on the CPU, will not tell; empty when it judges the
/// prediction.
std::string run_caveat(const Workspace& workspace);

}  // namespace tplan
