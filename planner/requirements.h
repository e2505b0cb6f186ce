#pragma once
#include <cstdint>
#include <string>

#include "models/config.h"
#include "planner/request.h"

/// What a request must bring before anything is planned. Each throws Error that says where, what
/// and what to do.

namespace tplan {

/// Limits of a request: of TP, GPUs, batch and tokens, and of nodes.
constexpr std::int64_t kMostCount = std::int64_t{1} << 31;
constexpr std::int64_t kMostNodes = 1024;

/// A model type that tplan has an op graph for.
void require_graph(const ModelConfig& config);

/// No device_map: it and a TP plan conflict at weight loading.
void require_no_device_map(const ModelConfig& config);

/// No more tokens than a learned position table has rows; other models may be stretched.
void require_positions(const ModelConfig& config, const Workload& workload);

/// Sizes within 1..kMostCount and 1..kMostNodes, a memory fraction above 0 up to 1, bounds above 0
/// and of the workload's phase only. `where` is the path of the request in a document; empty for
/// one spelled by flags, which the message then names.
void require_ranges(const PlanRequest& request, const std::string& where);

}  // namespace tplan
