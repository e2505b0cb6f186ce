#pragma once
#include <optional>

#include "models/graph.h"
#include "models/layout.h"

namespace tplan {

/// How tplan's own plans cut the columns of an activation over `parts` ranks; nullopt when they
/// cannot be cut. Even shares wherever they exist; otherwise the unit is the query head (KV heads
/// are copied where a boundary crosses them), 16 columns of an inner width, the vocabulary or the
/// hidden width, and never less than a quantisation block. Weights on either side of the activation
/// are cut alike. With unequal `shares` the units go to the ranks in proportion to them; equal ones
/// are none.
std::optional<Split> column_cut(const Block& block, int activation, int parts,
                                const std::optional<Shares>& shares = {});

/// `shares` where they are unequal.
std::optional<Shares> unequal(const std::optional<Shares>& shares);

}  // namespace tplan
