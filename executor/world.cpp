#include "executor/world.h"

#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <thread>

#include "core/error.h"

namespace tplan {
namespace {

constexpr std::size_t kPage = 4096;

// Activations of one rank: far more than any step takes. Only addresses are reserved.
constexpr std::size_t kMostHeap = std::size_t{32} << 30, kLeastHeap = std::size_t{64} << 20;

// A waiting rank spins some microseconds before it yields: processes of a run may be more than the
// processors there are, which a backend knows and this does not.
constexpr int kSpins = 2000;

constexpr auto kBeat = std::chrono::milliseconds(50);

std::size_t group_bytes(int ranks) {
    return (cpu::SharedGroup::bytes_for(ranks) + kPage - 1) / kPage * kPage;
}

}  // namespace

void World::abort(const std::string& reason) const noexcept {
    if (group) group->abort(reason);
    if (transport) transport->failed = true;
}

std::shared_ptr<SharedMemory> reserve_memory(
    int ranks, const std::function<std::shared_ptr<SharedMemory>(std::size_t)>& make) {
    for (auto heap = kMostHeap;; heap /= 2) {
        try {
            return make(group_bytes(ranks) + heap * static_cast<std::size_t>(ranks));
        } catch (const Error&) {
            if (heap <= kLeastHeap) throw;
        }
    }
}

void share_memory(World& world, std::shared_ptr<SharedMemory> memory, bool first) {
    world.memory = std::move(memory);
    world.group =
        std::make_shared<cpu::SharedGroup>(world.memory->data(), first, world.size, kSpins);
    const auto group = group_bytes(world.size);
    const auto heap =
        (world.memory->bytes() - group) / static_cast<std::size_t>(world.size) / kPage * kPage;
    const auto own = group + heap * static_cast<std::size_t>(world.rank);
    world.heap = std::make_shared<SharedHeap>(world.memory->data() + own, heap);
}

std::shared_ptr<void> keep_alive(std::shared_ptr<cpu::SharedGroup> group, int rank) {
    return std::make_shared<std::jthread>([group = std::move(group), rank](std::stop_token stop) {
        std::mutex mutex;
        std::condition_variable_any wake;
        std::unique_lock lock(mutex);
        while (!stop.stop_requested()) {
            group->live(rank);
            wake.wait_for(lock, stop, kBeat, [] { return false; });
        }
    });
}

}  // namespace tplan
