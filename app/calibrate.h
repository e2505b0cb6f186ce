#pragma once
#include <stop_token>
#include <string>
#include <vector>

#include "app/run.h"
#include "cost_model/hardware.h"

namespace tplan {

struct CalibrateRequest {
    std::string backend = "cpu";
    bool quick = false;         // fewer points and rounds
    std::string hardware = {};  // cuda: HW whose figures the points correct
    Seconds budget = {};        // cuda: for all points; 0: five minutes, or one when quick
    Progress progress;
    std::stop_token stop;
};

/// Measures this machine into a profile: products, attention, passes over memory, collectives,
/// streaming; on one rank and on all. GPUs: see calibrate_gpu(). Throws Error for a backend that is
/// not there and when stopped.
HardwareProfile calibrate(const CalibrateRequest& request);

struct LayTablesRequest {
    std::string hardware;            // HW to lay tables over
    std::vector<std::string> files;  // CSV of measured ops, or what nccl-tests printed
    std::string system{};            // rows of this system where a file has a column for it
};

/// The profile with the files' rows as its tables: the analytic model keeps the shape of every
/// curve, the rows correct its height. Tables of kinds of op that no file holds stay as they were.
/// Throws Error as load_hardware() and read_measured_tables() do.
HardwareProfile lay_tables(const LayTablesRequest& request);

/// How many points the profile's tables hold, and how well shapes left out of them are predicted.
std::string tables_text(const HardwareProfile& hardware);

/// Writes the profile to where `this` finds it, one per backend, and returns that path. Throws
/// Error when it cannot be written.
std::string keep_profile(const HardwareProfile& profile);

}  // namespace tplan
