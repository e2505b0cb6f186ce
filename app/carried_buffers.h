#pragma once
#include <vector>

#include "models/program.h"

namespace tplan {

/// Buffers that a section reads before it writes them: what it takes over from the section before.
std::vector<int> carried_into(const Section& section);

}  // namespace tplan
