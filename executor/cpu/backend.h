#pragma once
#include <memory>

#include "executor/backend.h"

namespace tplan::cpu {

/// The readable backend: one pinned thread per rank, collectives over shared memory, fp32
/// activations. Throws Error for fewer than 1 or more than 64 ranks.
std::unique_ptr<Backend> make_cpu_backend(int ranks);

}  // namespace tplan::cpu
