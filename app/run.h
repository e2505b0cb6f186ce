#pragma once
#include <functional>
#include <stop_token>
#include <string>

#include "app/validated.h"
#include "executor/execute.h"
#include "executor/launch.h"

namespace tplan {

/// Called with the share done (0 to 1) and what is being done.
using Progress = std::function<void(double done, const std::string& what)>;

/// How to run a plan.
struct RunRequest {
    std::string backend = "auto";  // cpu, or cuda where that plugin is there
    int layers = 0;                // 0 = all
    int warmup = 2;                // repetitions thrown away
    int reps = 24;                 // repetitions kept
    Launcher launcher = Launcher::threads;
    std::optional<double> deadline_s;  // for one collective; none: see deadline_of()
    std::uint64_t seed = 1;            // of weights and tokens
    WeightSource weights;  // of the tensor-parallel run; empty: synthetic. Tests plant faults here
    Progress progress;
    std::stop_token stop;
    std::string partial;           // file for a run that is cut short; empty: none
    const World* world = nullptr;  // set by run_plan() in a run of several processes
    /// Called on the rank's thread before each step; tests inject faults here.
    std::function<void(int rank, std::size_t step)> before_step = {};
};

/// Seconds a collective may wait for other ranks: what is asked for, else twenty times the
/// predicted step and at least 10 s.
double deadline_of(const PlanDocument& plan, const RunRequest& request);

/// A run that was cut short by a failing rank or a stop request, with what was measured until then
/// and the last steps of the ranks.
struct RunFailure : Error {
    Validation partial;  // verdict `failed`
    RunFailure(const Error& cause, Validation partial_)
        : Error(cause), partial(std::move(partial_)) {}
};

/// Executes exactly this plan, checks its numbers against one rank and against the scalar
/// reference, measures it interleaved with one rank and with the profile's probe points, and
/// compares. A plan for two kinds of GPU runs on the CPU only. Throws Error for a plan that does
/// not check, a backend or op that is not there, too little memory (before allocating, with the
/// table of needs), and RunFailure for a rank that fails (naming rank, step and collective), after
/// writing `request.partial`. `where` names the plan in messages.
///
/// Nullopt on a rank of several processes that is not the first: rank 0 has the result. The first
/// call of a process for Launcher::processes must come before anything was multiplied in it.
std::optional<Validation> run_plan(const Json& document, const std::string& where,
                                   const RunRequest& request);

/// The same for a plan that is known to be sound, started by request.launcher.
std::optional<Validation> launch_plan(const PlanDocument& plan, const RunRequest& request);

/// What one process does: all ranks of a run of threads, or the one of request.world. Tests plant
/// faults by a `program` that is not the plan's own.
Validation run_program(const PlanDocument& plan, const Program& program, const RunRequest& request);

}  // namespace tplan
