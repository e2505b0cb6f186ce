#pragma once
#include <string>

#include "planner/document.h"

namespace tplan {

/// The estimate for a terminal: what was asked, defaults included, totals, steps by kind with the
/// slowest first, memory, notes.
std::string estimate_text(const Estimate& estimate);

}  // namespace tplan
