#pragma once
#include <optional>
#include <string>
#include <vector>

#include "planner/prediction.h"
#include "planner/request.h"

/// What a user asks on the command line or in the window, before names are resolved.

namespace tplan {

/// MODEL, HW, degree and workload with the defaults of the contract. `dtype` and `kv_dtype` empty =
/// the model's.
struct Query {
    std::string model, hardware;
    PlanRequest request;
    bool degree_given = true;  // false: the degree is all GPUs of a group of two kinds
    std::optional<DType> dtype, kv_dtype;
    std::string tp_plan_file;  // a plan given by hand; empty = the model's own
};

/// A plan given by hand; none for an empty file name. Throws Error for a file that read_tp_plan()
/// refuses, and for a configuration with a device_map.
std::optional<TpPlan> plan_by_hand(const ModelConfig& config, const std::string& file);

/// A query with its names resolved and its defaults filled in.
struct Resolved {
    ModelConfig config;
    HardwareProfile hardware;
    PlanRequest request;
};

/// Loads the model, the profile and a plan given by hand; fills in the dtypes. Throws Error for
/// unknown names, sizes out of range, a degree above nodes x devices and a model without a graph.
Resolved resolve(const Query& query);

/// The estimate of one degree, or why there is none.
struct EstimateResult {
    std::optional<Estimate> estimate;
    Feasibility feasibility;
};
EstimateResult estimate(const Resolved& resolved);

}  // namespace tplan
