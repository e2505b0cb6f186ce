#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "executor/communicator.h"
#include "executor/trail.h"

namespace tplan::cpu {

/// Where ranks that see each other's memory meet, to run collectives (collectives.h): threads of a
/// process, or processes that share memory mapped at the same address in all of them.
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

    /// The same in `memory` of bytes_for(ranks), aligned to a page and zeroed, which outlives it.
    /// Every process makes one; the first to do so, alone, passes `first`.
    SharedGroup(void* memory, bool first, int ranks, int spins);
    static std::size_t bytes_for(int ranks);
    ~SharedGroup();
    SharedGroup(const SharedGroup&) = delete;
    SharedGroup& operator=(const SharedGroup&) = delete;

    /// What a rank is about to do; the same on every rank but for the two views. `kind` is the
    /// OpKind, kBarrier or kExchange.
    struct Call {
        int kind = 0;
        std::int64_t index = 0;  // of the step
        std::int64_t rows = 0, width = 0;
        std::string_view step;
        Matrix in, out;
        /// Others may be busy elsewhere for any time: no deadline as long as they show signs of
        /// life (live()). Only where ranks are processes; threads are all in the same call.
        bool patient = false;
    };
    static constexpr int kBarrier = -1, kExchange = -2;

    /// Where a rank's input and output lie during a call.
    struct Views {
        float* in = nullptr;
        float* out = nullptr;
        std::int64_t in_stride = 0, out_stride = 0;
    };

    /// Floats a rank may leave in its slot for the others to read.
    static constexpr std::int64_t kSlotFloats = 1024;

    int ranks() const { return ranks_; }

    /// Own space in the slot for the coming call: write before start().
    float* own_values(int rank) {
        auto& slot = slots_[rank];
        return slot.values[slot.calls_begun % 2];
    }

    /// Opens a call: returns once every rank has opened its own, with the seconds waited. Throws
    /// Error when another rank opened a different call, on abort, and past the deadline.
    double start(int rank, const Call& call);

    /// After start(): what `peer` passed, and left in its slot.
    const Views& views(int rank, int peer) const {
        return slots_[peer].posts[begun(rank) % 2].views;
    }
    const float* values(int rank, int peer) const { return slots_[peer].values[begun(rank) % 2]; }

    /// Closes a call in which ranks touch each other's buffers: returns once every rank is here.
    void finish(int rank);

    /// Makes every waiting and later call throw. The first reason is kept, cut to kReasonBytes.
    void abort(const std::string& reason) noexcept;
    std::string last_error() const;
    bool aborted() const { return shared_->aborted.load(std::memory_order_acquire); }
    void set_deadline(double seconds) {
        shared_->deadline_s.store(seconds, std::memory_order_relaxed);
    }

    /// The last steps of a rank; written by the rank alone.
    Trail& trail(int rank) { return slots_[rank].trail; }
    const Trail& trail(int rank) const { return slots_[rank].trail; }

    /// A sign of life of a rank that is a process, some times a second.
    void live(int rank) noexcept { slots_[rank].beats.fetch_add(1, std::memory_order_relaxed); }

    static constexpr std::size_t kReasonBytes = 2048;

  private:
    struct alignas(64) Post {
        std::atomic<std::uint64_t> number{0};  // of the call, from one
        std::uint64_t signature = 0;           // of kind, index, rows and width
        Views views;
    };
    /// A call in words that other processes can read.
    struct Said {
        int kind = 0;
        std::int64_t index = 0, rows = 0, width = 0;
        char step[96] = {};
        bool patient = false;
    };
    struct Slot {
        Post posts[2];
        alignas(64) std::atomic<std::uint64_t> finished{0};
        alignas(64) std::uint64_t calls_begun = 0;  // the owner's alone
        std::uint64_t calls_finished = 0;           // likewise
        Said said[2];                               // for messages
        alignas(128) float values[2][kSlotFloats];
        Trail trail;
        alignas(128) std::atomic<std::uint64_t> beats{0};
    };
    /// What all ranks see, before their slots.
    struct alignas(128) Shared {
        std::atomic<double> deadline_s{10};
        alignas(128) std::atomic<bool> aborted{false};
        std::atomic<int> reason_state{0};  // 0 none, 1 being written, 2 written
        char reason[kReasonBytes] = {};
    };
    static_assert(sizeof(Post) == 64, "a post is one cache line");

    std::uint64_t begun(int rank) const { return slots_[rank].calls_begun - 1; }
    const Said& said(int rank, int peer) const { return slots_[peer].said[begun(rank) % 2]; }
    static std::string describe(const Said& said);
    void await(int rank, int peer, const std::atomic<std::uint64_t>& counter, std::uint64_t value);
    [[noreturn]] void disagree(int rank, int peer) const;
    [[noreturn]] void give_up(int rank, int missing) const;
    [[noreturn]] void stop(int rank) const;

    void* owned_ = nullptr;  // memory of its own
    int ranks_;
    int spins_;
    bool processes_;  // ranks show signs of life
    Shared* shared_;
    Slot* slots_;
};

}  // namespace tplan::cpu
