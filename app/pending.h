#pragma once
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "app/workspace.h"

/// Actions that take longer than a frame may: they work on a copy of the workspace on a thread of
/// their own, so that the window goes on drawing what it has.

namespace tplan {

struct Pending {
    std::string what;        // "plan.json", or what is done: for a line of the window
    Workspace state;         // that the action works on
    bool cancelled = false;  // what comes out is not taken
    std::mutex mutex;
    std::condition_variable ended;
    bool done = false;    // under `mutex`
    std::jthread thread;  // joined before the rest goes
};

/// apply(), for a window: waits `patience` for the action to be done and leaves what takes longer
/// to poll_pending(). Until then the workspace stays as it is, ActionKind::cancel gives the action
/// up, and other actions wait their turn.
void request(Workspace& workspace, const Action& action, std::chrono::milliseconds patience);

/// Takes in what is done by now; call once a frame. True while something is under way.
bool poll_pending(Workspace& workspace, std::chrono::milliseconds patience);

}  // namespace tplan
