// The launchers of a run: who starts the processes, who has the result, and what is kept of a run
// that is cut short.
#include <algorithm>

#include "app/plan_file.h"
#include "app/run.h"
#include "core/files.h"
#include "executor/processes.h"

namespace tplan {
namespace {

constexpr double kMeetingSeconds = 60;

void write_partial(const PlanDocument& plan, const RunRequest& request, const Validation& partial) {
    if (!request.partial.empty())
        write_file(request.partial, json_text(write_validated(plan, partial)));
}

/// Runs the program and keeps what there is when it is cut short.
Validation run_or_keep(const PlanDocument& plan, const RunRequest& request) {
    try {
        return run_program(plan, plan.program, request);
    } catch (const RunFailure& failure) {
        write_partial(plan, request, failure.partial);
        throw;
    }
}

/// What a child does: the run, reported as a document. It writes nothing: its parent does.
RankReport report_of(const PlanDocument& plan, RunRequest request, const World& world) {
    request.world = &world;
    if (!world.first()) request.progress = {};
    RankReport report;
    try {
        report.payload = json_text(to_json(run_program(plan, plan.program, request)));
    } catch (const RunFailure& failure) {
        report = {true, failure.what(), json_text(to_json(failure.partial))};
    } catch (const std::exception& failure) {
        report = {true, failure.what(), {}};
    }
    return report;
}

Validation validation_of(const std::string& text) {
    return from_json<Validation>(parse_json(text, "report of a rank"), "report of a rank");
}

Validation run_in_processes(const PlanDocument& plan, const RunRequest& request) {
    try {
        return validation_of(run_processes(
            plan.tp, [&](const World& world) { return report_of(plan, request, world); },
            request.stop));
    } catch (const ProcessFailure& failure) {
        const auto says = [](const RankReport& report) { return !report.payload.empty(); };
        const auto kept = std::ranges::find_if(failure.reports, says);
        const bool died = std::ranges::any_of(failure.reports, [](const RankReport& report) {
            return !report.failed && report.payload.empty();
        });
        // Refused before it began: there is nothing to keep.
        if (kept == failure.reports.end() && !died) throw;
        Validation partial;
        if (kept != failure.reports.end()) partial = validation_of(kept->payload);
        partial.verdict = RunVerdict::failed;
        partial.last_steps = failure.trails;
        if (kept == failure.reports.end()) {
            partial.measured.layers = 0;
            derive(plan, partial);
            partial.verdict = RunVerdict::failed;
        }
        write_partial(plan, request, partial);
        throw RunFailure(failure, std::move(partial));
    }
}

std::optional<Validation> run_as_rank(const PlanDocument& plan, RunRequest request,
                                      const World& world) {
    if (world.size != plan.tp) {
        throw Error(
            "--launcher " + world.launcher,
            fmt::format("{} processes for a plan of {} ranks", world.size, plan.tp),
            fmt::format("start {} of them, or make a plan with --tp {}", plan.tp, world.size));
    }
    request.world = &world;
    if (!world.first()) request.progress = {};
    try {
        auto result = run_or_keep(plan, request);
        if (!world.first()) return std::nullopt;
        return result;
    } catch (const std::exception& failure) {
        world.abort(failure.what());
        throw;
    }
}

}  // namespace

namespace {

/// A plan for two kinds of GPU runs on the CPU: no machine that runs it says which of its GPUs is
/// which, and one GPU is only one of the kinds.
RunRequest with_backend(const PlanDocument& plan, const RunRequest& asked) {
    auto request = asked;
    if (!plan.hardware.kinds) return request;
    if (asked.backend != "auto" && asked.backend != "cpu") {
        throw Error("--backend " + asked.backend,
                    fmt::format("a plan for {} is not run on GPUs", plan.hardware.name),
                    "give --backend cpu, which checks its numbers, or plan one kind of GPU");
    }
    request.backend = "cpu";
    return request;
}

}  // namespace

std::optional<Validation> launch_plan(const PlanDocument& plan, const RunRequest& asked) {
    const auto request = with_backend(plan, asked);
    switch (request.launcher) {
        case Launcher::threads:
            return run_or_keep(plan, request);
        case Launcher::processes:
            return run_in_processes(plan, request);
        case Launcher::env:
            return run_as_rank(plan, request,
                               join_environment(read_launch_environment(environment_variables()),
                                                kMeetingSeconds));
        case Launcher::mpi:
            return run_as_rank(plan, request, join_mpi());
    }
    return std::nullopt;
}

}  // namespace tplan
