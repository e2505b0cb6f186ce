#pragma once
#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "executor/communicator.h"

namespace tplan::cpu {

/// Where threads that share an address space meet, to run collectives (collectives.h).
///
/// Every rank has two posts, used in turn. To open call number c a rank writes to one of them what
/// the others need, then the number c + 1, all in one cache line, and waits until every other rank
/// has posted c + 1. A rank may still read the posts of call c while a faster one is in call c + 1,
/// never in c + 2. The wait spins, then yields; it looks at the abort flag all the time and at the
/// clock once it yields.
class SharedGroup {
  public:
    /// `spins`: pauses before a waiting rank yields its processor.
    SharedGroup(int ranks, int spins);

    /// What a rank is about to do; the same on every rank but for the two views. `kind` is the
    /// OpKind, or kBarrier.
    struct Call {
        int kind = 0;
        std::int64_t index = 0;  // of the step
        std::int64_t rows = 0, width = 0;
        std::string_view step;
        Matrix in, out;
    };
    static constexpr int kBarrier = -1;

    /// Where a rank's input and output lie during a call.
    struct Views {
        float* in = nullptr;
        float* out = nullptr;
        std::int64_t in_stride = 0, out_stride = 0;
    };

    /// Floats a rank may leave in its slot for the others to read.
    static constexpr std::int64_t kSlotFloats = 1024;

    int ranks() const { return static_cast<int>(slots_.size()); }

    /// Own space in the slot for the coming call: write before start().
    float* own_values(int rank) {
        auto& slot = slots_[static_cast<std::size_t>(rank)];
        return slot.values[slot.calls_begun % 2];
    }

    /// Opens a call: returns once every rank has opened its own, with the seconds waited. Throws
    /// Error when another rank opened a different call, on abort, and past the deadline.
    double start(int rank, const Call& call);

    /// After start(): what `peer` passed, and left in its slot.
    const Views& views(int rank, int peer) const {
        return slots_[static_cast<std::size_t>(peer)].posts[begun(rank) % 2].views;
    }
    const float* values(int rank, int peer) const {
        return slots_[static_cast<std::size_t>(peer)].values[begun(rank) % 2];
    }

    /// Closes a call in which ranks touch each other's buffers: returns once every rank is here.
    void finish(int rank);

    void abort(const std::string& reason) noexcept;
    std::string last_error() const;
    bool aborted() const { return aborted_.load(std::memory_order_acquire); }
    void set_deadline(double seconds) { deadline_s_.store(seconds, std::memory_order_relaxed); }

  private:
    struct alignas(64) Post {
        std::atomic<std::uint64_t> number{0};  // of the call, from one
        std::uint64_t signature = 0;           // of kind, index, rows and width
        Views views;
    };
    struct Slot {
        Post posts[2];
        alignas(64) std::atomic<std::uint64_t> finished{0};
        alignas(64) std::uint64_t calls_begun = 0;  // the owner's alone
        std::uint64_t calls_finished = 0;           // likewise
        Call calls[2];                              // for messages
        alignas(128) float values[2][kSlotFloats];
    };
    static_assert(sizeof(Post) == 64, "a post is one cache line");

    std::uint64_t begun(int rank) const {
        return slots_[static_cast<std::size_t>(rank)].calls_begun - 1;
    }
    const Call& call(int rank, int peer) const {
        return slots_[static_cast<std::size_t>(peer)].calls[begun(rank) % 2];
    }
    void await(int rank, int peer, const std::atomic<std::uint64_t>& counter, std::uint64_t value);
    [[noreturn]] void disagree(int rank, int peer) const;
    [[noreturn]] void give_up(int rank, int missing) const;
    [[noreturn]] void stop(int rank) const;

    std::vector<Slot> slots_;
    int spins_;
    std::atomic<double> deadline_s_{10};
    alignas(128) std::atomic<bool> aborted_{false};
    mutable std::mutex reason_mutex_;
    std::string reason_;
};

}  // namespace tplan::cpu
