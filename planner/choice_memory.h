#pragma once
#include <optional>

#include "planner/choice.h"

namespace tplan {

/// `assignment` is absent when none is cheaper than what was known, or when the labels became too
/// many to go through: `complete` is then false.
struct LabelSearch {
    std::optional<Assignment> assignment;
    bool complete = true;
};

/// The cheapest assignment whose bytes stay within `bytes_cap`, by non-dominated labels (seconds,
/// bytes): exact. Labels that cannot end below `best_known` seconds by the `potentials` of a
/// multiplier are dropped. Time and memory are bounded.
LabelSearch solve_within(const ChoiceChain& chain, double bytes_cap, double best_known,
                         const Potentials& potentials);

}  // namespace tplan
