#pragma once
#include <optional>

#include "planner/choice.h"

namespace tplan {

/// The cheapest assignment whose bytes stay within `bytes_cap`, by non-dominated labels (seconds,
/// bytes): exact. Labels that cannot end below `best_known` seconds by the `potentials` of a
/// multiplier are dropped. nullopt when none is cheaper than `best_known`.
std::optional<Assignment> solve_within(const ChoiceChain& chain, double bytes_cap,
                                       double best_known, const Potentials& potentials);

}  // namespace tplan
