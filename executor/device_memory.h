#pragma once
#include <cstddef>
#include <memory>

#include "executor/backend.h"

namespace tplan {

/// Device memory of a rank that frees itself; zeroed. The backend must outlive it.
inline std::shared_ptr<void> device_memory(Backend& backend, int rank, std::size_t bytes) {
    return {backend.allocate(rank, bytes),
            [&backend, rank](void* memory) { backend.release(rank, memory); }};
}

}  // namespace tplan
