#pragma once
#include <functional>
#include <stop_token>
#include <string>

#include "app/validated.h"
#include "executor/execute.h"

namespace tplan {

/// Called with the share done (0 to 1) and what is being done.
using Progress = std::function<void(double done, const std::string& what)>;

/// How to run a plan.
struct RunRequest {
    std::string backend = "auto";  // cpu, or cuda where that plugin is there
    int layers = 0;                // 0 = all
    int warmup = 2;                // repetitions thrown away
    int reps = 24;                 // repetitions kept
    double deadline_s = 0;         // for one collective; 0 = the executor's default
    std::uint64_t seed = 1;        // of weights and tokens
    WeightSource weights;  // of the tensor-parallel run; empty: synthetic. Tests plant faults here
    Progress progress;
    std::stop_token stop;
};

/// A run that was cut short by a failing rank or a stop request, with what was measured until then.
struct RunFailure : Error {
    Validation partial;  // verdict `failed`
    RunFailure(const Error& cause, Validation partial_)
        : Error(cause), partial(std::move(partial_)) {}
};

/// Executes exactly this plan, checks its numbers against one rank and against the scalar
/// reference, measures it interleaved with one rank and with the profile's probe points, and
/// compares. Throws Error for a plan that does not check, a backend or op that is not there, too
/// little memory (before allocating, with the table of needs), and a rank that fails (naming rank,
/// step and collective). `where` names the plan in messages.
Validation run_plan(const Json& document, const std::string& where, const RunRequest& request);

/// The program as the executor will run it, with a fault planted by tests: `program` replaces the
/// plan's own.
Validation run_program(const PlanDocument& plan, const Program& program, const RunRequest& request);

}  // namespace tplan
