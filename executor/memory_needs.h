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
    double gradients = 0, optimizer = 0;  // of a training program
    double loading = 0;  // for a while, when weights are brought into the backend's form
    double total() const { return weights + cache + activations + gradients + optimizer + loading; }
    bool operator==(const RankNeeds&) const = default;
};

struct MemoryNeeds {
    std::vector<RankNeeds> ranks;
    double available = 0;  // to all ranks together
    double total() const;
    bool fits() const { return total() <= available; }
    /// What each rank needs and for what, in one line; ranks with equal needs together.
    std::string text() const;
};

/// What a run of the program would take. Allocates nothing on the devices.
MemoryNeeds memory_needs(const Program& program, const Workload& workload, DType dtype,
                         const Backend& backend);

}  // namespace tplan
