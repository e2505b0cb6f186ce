#pragma once
#include <string>
#include <vector>

#include "planner/prediction.h"

namespace tplan {

/// The estimate for a terminal: what was asked, defaults included, totals, steps by kind with the
/// slowest first, memory, notes.
std::string estimate_text(const Estimate& estimate);

/// What each of two kinds of device does and holds, for a table; its header first.
std::vector<std::vector<std::string>> rows_of_kinds(const std::vector<KindUse>& kinds,
                                                    const std::optional<Shares>& shares);

/// The same op in every layer, together.
struct OpSum {
    std::string name, kind, bound;
    int count = 0;
    Seconds time;
};

/// Of all ops of an estimate, the longest first.
std::vector<OpSum> sums_of_ops(const Estimate& estimate);

}  // namespace tplan
