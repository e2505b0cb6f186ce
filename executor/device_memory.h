#pragma once
#include <cstddef>
#include <memory>

#include "executor/backend.h"

namespace tplan {

/// What collectives may read and write is exchanged; the rest is private.
enum class MemoryKind { own, exchanged };

/// Device memory of a rank that frees itself; zeroed. The backend must outlive it.
inline std::shared_ptr<void> device_memory(Backend& backend, int rank, std::size_t bytes,
                                           MemoryKind use = MemoryKind::own) {
    return {use == MemoryKind::own ? backend.allocate(rank, bytes)
                                   : backend.allocate_exchanged(rank, bytes),
            [&backend, rank](void* memory) { backend.release(rank, memory); }};
}

}  // namespace tplan
