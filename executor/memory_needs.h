#pragma once
#include <string>
#include <vector>

#include "executor/backend.h"
#include "models/program.h"

namespace tplan {

/// Bytes one rank takes on its device.
struct RankNeeds {
    double weights = 0;
    double cache = 0;
    double activations = 0;
    double loading = 0;  // for a while, when weights are brought into the backend's form
    double total() const { return weights + cache + activations + loading; }
};

struct MemoryNeeds {
    std::vector<RankNeeds> ranks;
    double available = 0;  // to all ranks together
    double total() const;
    bool fits() const { return total() <= available; }
    /// One row per rank, a sum, and what is there.
    std::string table() const;
};

/// What a run of the program would take. Allocates nothing on the devices.
MemoryNeeds memory_needs(const Program& program, const Workload& workload, DType dtype,
                         const Backend& backend);

}  // namespace tplan
