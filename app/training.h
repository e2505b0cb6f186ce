#pragma once
#include <optional>
#include <string>
#include <vector>

#include "app/query.h"

/// Training as a user asks for it.

namespace tplan {

/// The flags of training as given; empty where not. `given` holds every flag that was, with its
/// dashes.
struct TrainingFlags {
    std::string mesh, recompute, optimizer;
    std::optional<std::int64_t> seq, accumulate;
    std::vector<std::string> given;
};

/// "dp_replicate=1,dp_shard=4,tp=2": axes in any order, those left out are 1. Throws Error for an
/// unknown axis (with the nearest), one given twice and sizes that are no integer above zero.
Mesh read_mesh(const std::string& text);

/// Puts the flags into the query. In training the degree is that of the mesh, or --tp where the
/// mesh names none; `input` of the workload is --seq. Throws Error for flags of training in another
/// phase, for flags of serving in training, and where --tp and the mesh disagree.
void apply_training(Query& query, const TrainingFlags& flags);

}  // namespace tplan
