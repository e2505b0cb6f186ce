#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "executor/cpu/shared_group.h"
#include "executor/shared_memory.h"
#include "executor/transport.h"

namespace tplan {

/// The processes of a run, as one of them sees them: each is one rank, all run the same code on the
/// same plan. They meet in memory they share (one host) or by messages (transport.h); one of the
/// two is set. A run in one process has no World: its ranks are threads.
struct World {
    std::string launcher;  // "processes", "env", "mpi"
    int rank = 0, size = 1;
    int local_rank = 0, local_size = 1;  // of this host

    std::shared_ptr<SharedMemory> memory;
    std::shared_ptr<cpu::SharedGroup> group;  // in `memory`
    std::shared_ptr<SharedHeap> heap;         // this rank's part of `memory`
    std::shared_ptr<Transport> transport;

    /// Keeps watching over the others as long as it is held: sends signs of life, and aborts when
    /// one dies, where the launcher needs a thread for that.
    std::shared_ptr<void> watch;

    /// Rank 0 writes.
    bool first() const { return rank == 0; }

    /// Makes every rank give up. The first reason is kept.
    void abort(const std::string& reason) const noexcept;
};

/// Calls `make` with the bytes of memory for a group of `ranks`: its state and a heap per rank.
/// Addresses are reserved generously (pages are taken as they are touched) and more modestly where
/// the limits on address space do not let it. Throws what `make` throws for the least.
std::shared_ptr<SharedMemory> reserve_memory(
    int ranks, const std::function<std::shared_ptr<SharedMemory>(std::size_t bytes)>& make);

/// Fills memory, group and heap of a world whose rank and size are set. `first` as SharedGroup's.
void share_memory(World& world, std::shared_ptr<SharedMemory> memory, bool first);

/// A thread that shows signs of life of this rank's process until the result is let go.
std::shared_ptr<void> keep_alive(std::shared_ptr<cpu::SharedGroup> group, int rank);

}  // namespace tplan
