#pragma once
#include <memory>

#include "executor/backend.h"

namespace tplan::cpu {

/// The readable backend: one pinned thread per rank, collectives over shared memory (or messages,
/// between hosts), fp32 activations. With a world it has the thread of the world's own rank.
/// Throws Error for fewer than 1 or more than 64 ranks.
std::unique_ptr<Backend> make_cpu_backend(int ranks, const World* world = nullptr);

}  // namespace tplan::cpu
