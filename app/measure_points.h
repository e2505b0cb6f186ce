#pragma once
#include <stop_token>
#include <string>

#include "app/run.h"
#include "cost_model/hardware.h"
#include "executor/probe.h"

/// Times of the points of tables, as a backend runs them.

namespace tplan {

/// Repetitions in each visit of a point, and visits spread over the whole time: neighbours on a
/// shared machine come and go in seconds.
struct Rounds {
    int count = 1, reps = 1;
    Seconds budget{};  // no visit begins after it, but for the first few; 0: no limit
};

/// Fills in the times of all points: medians of clean samples. Points that the budget left out are
/// dropped; what is left is spread over all tables and sizes. Returns the share by which the median
/// of one round and that of all rounds differ, as nine in ten do. Throws Error when stopped, and
/// what Runner throws.
double measure_points(Tables& tables, const std::string& backend, const ProbeSetup& setup,
                      const Rounds& rounds, const Progress& progress, std::stop_token stop);

}  // namespace tplan
