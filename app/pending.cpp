#include "app/pending.h"

#include <filesystem>

namespace tplan {
namespace {

using std::chrono::milliseconds;

/// Is done at once, or is about what runs beside the window.
bool is_immediate(const Workspace& workspace, ActionKind kind) {
    const bool starts = kind == ActionKind::run || kind == ActionKind::calibrate;
    return kind == ActionKind::cancel || kind == ActionKind::pin || kind == ActionKind::unpin ||
           kind == ActionKind::keep || (starts && workspace.worker);
}

/// The part that actions read and change; a run that is under way stays where it is.
Workspace copy_of(const Workspace& workspace) {
    Workspace copy;
    copy.inputs = workspace.inputs;
    copy.undo = workspace.undo;
    copy.redo = workspace.redo;
    copy.study = workspace.study;
    copy.stale = workspace.stale;
    copy.baseline = workspace.baseline;
    copy.recompute_s = workspace.recompute_s;
    copy.validation = workspace.validation;
    copy.validated = workspace.validated;
    copy.degrees = workspace.degrees;
    copy.seen = workspace.seen;
    return copy;
}

void take(Workspace& workspace, Workspace&& from) {
    workspace.inputs = std::move(from.inputs);
    workspace.undo = std::move(from.undo);
    workspace.redo = std::move(from.redo);
    workspace.study = std::move(from.study);
    workspace.stale = from.stale;
    workspace.error = std::move(from.error);
    workspace.message = std::move(from.message);
    workspace.recompute_s = from.recompute_s;
    workspace.validation = std::move(from.validation);
    workspace.validated = std::move(from.validated);
    workspace.degrees = std::move(from.degrees);
    workspace.seen = std::move(from.seen);
    workspace.opened = std::move(from.opened);
    if (!from.worker) return;
    workspace.worker = std::move(from.worker);
    workspace.run = from.run;
    workspace.run_what = std::move(from.run_what);
    workspace.run_done = from.run_done;
    workspace.run_output = std::move(from.run_output);
    workspace.partial.reset();
}

std::string description(const Action& action) {
    if (!action.text.empty())
        return std::filesystem::path(action.text).filename().empty()
                   ? action.text
                   : std::filesystem::path(action.text).filename().string();
    return "the plan";
}

bool done_within(Pending& pending, milliseconds patience) {
    std::unique_lock lock(pending.mutex);
    return pending.ended.wait_for(lock, patience, [&] { return pending.done; });
}

/// Takes in what was under way, and what waited for it.
void finish(Workspace& workspace, milliseconds patience) {
    const auto pending = std::move(workspace.pending);
    if (!pending->cancelled) take(workspace, std::move(pending->state));
    const auto waiting = std::move(workspace.waiting);
    workspace.waiting.clear();
    for (const auto& action : waiting) request(workspace, action, patience);
}

}  // namespace

void request(Workspace& workspace, const Action& action, milliseconds patience) {
    if (workspace.pending) {
        if (action.kind != ActionKind::cancel) return workspace.waiting.push_back(action);
        workspace.pending->cancelled = true;
        workspace.waiting.clear();
        return;
    }
    if (is_immediate(workspace, action.kind)) return apply(workspace, action);
    workspace.error.clear();
    workspace.message.clear();
    auto pending = std::make_shared<Pending>();
    pending->what = description(action);
    pending->state = copy_of(workspace);
    pending->thread = std::jthread([own = pending.get(), action] {
        apply(own->state, action);
        const std::lock_guard lock(own->mutex);
        own->done = true;
        own->ended.notify_all();
    });
    const bool done = done_within(*pending, patience);
    workspace.pending = std::move(pending);
    if (done) finish(workspace, patience);
}

bool poll_pending(Workspace& workspace, milliseconds patience) {
    if (!workspace.pending) return false;
    if (done_within(*workspace.pending, milliseconds(0))) finish(workspace, patience);
    return workspace.pending != nullptr;
}

}  // namespace tplan
