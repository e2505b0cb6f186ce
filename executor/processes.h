#pragma once
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "core/error.h"
#include "executor/world.h"

/// Ranks as child processes of this one, on one host.

namespace tplan {

/// What a rank's process has to say at its end.
struct RankReport {
    bool failed = false;
    std::string error;    // when it failed
    std::string payload;  // what `work` made; of a failed rank what it could save
};

/// A run that failed: what() is the first reason, naming rank and step.
struct ProcessFailure : Error {
    std::vector<RankReport> reports;  // of all ranks; empty ones of those that died
    std::vector<RankTrail> trails;    // the last steps of all ranks, the dead ones too
    ProcessFailure(const Error& error, std::vector<RankReport> reports_,
                   std::vector<RankTrail> trails_)
        : Error(error), reports(std::move(reports_)), trails(std::move(trails_)) {}
};

/// Forks `ranks` children of the calling thread, runs `work` in each and returns what rank 0's
/// reports; `work` must not throw. When a rank fails or dies the others are told to give up and
/// have `grace_s` seconds to report before they are killed; throws ProcessFailure. All children
/// have ended when this returns, and they end with this process, however it ends.
///
/// To be called before any library of matrix products was used: its threads do not survive a fork.
std::string run_processes(int ranks, const std::function<RankReport(World& world)>& work,
                          std::stop_token stop, double grace_s = 3);

}  // namespace tplan
