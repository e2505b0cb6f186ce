#include "executor/cpu/shared_group.h"

#include <sched.h>

#include <cassert>
#include <chrono>

#include "core/error.h"
#include "core/json_io.h"
#include "core/text.h"

namespace tplan::cpu {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

void pause() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

std::string describe(const SharedGroup::Call& call) {
    if (call.kind == SharedGroup::kBarrier) return fmt::format("barrier \"{}\"", call.step);
    const auto bytes = static_cast<double>(call.rows * call.width) * bytes_of(DType::fp32);
    return fmt::format("{} #{} \"{}\" ({} x {}, {})", name_of(static_cast<OpKind>(call.kind)),
                       call.index, call.step, call.rows, call.width, format_bytes(Bytes(bytes)));
}

bool same(const SharedGroup::Call& a, const SharedGroup::Call& b) {
    return a.kind == b.kind && a.index == b.index && a.rows == b.rows && a.width == b.width;
}

}  // namespace

SharedGroup::SharedGroup(int ranks, int spins)
    : slots_(static_cast<std::size_t>(ranks)), spins_(spins) {
    assert(ranks >= 1);
}

double SharedGroup::start(int rank, const Call& call) {
    auto& slot = slots_[static_cast<std::size_t>(rank)];
    slot.calls[slot.calls_begun % 2] = call;
    ++slot.calls_begun;
    const auto arrival = Clock::now();
    meet(rank);
    const double waited = seconds_since(arrival);
    check_same(rank);
    return waited;
}

void SharedGroup::finish(int rank) {
    meet(rank);
}

void SharedGroup::meet(int rank) {
    auto& own = slots_[static_cast<std::size_t>(rank)].phase;
    const auto phase = own.load(std::memory_order_relaxed) + 1;
    own.store(phase, std::memory_order_release);
    for (int peer = 0; peer < ranks(); ++peer) {
        const auto& other = slots_[static_cast<std::size_t>(peer)].phase;
        int spun = 0;
        Clock::time_point yielding_since;
        while (other.load(std::memory_order_acquire) < phase) {
            if (aborted_.load(std::memory_order_relaxed)) stop(rank);
            if (spun < spins_) {
                ++spun;
                pause();
                continue;
            }
            if (spun++ == spins_) yielding_since = Clock::now();
            sched_yield();
            if (seconds_since(yielding_since) > deadline_s_.load(std::memory_order_relaxed)) {
                give_up(rank, peer);
            }
        }
    }
    if (aborted_.load(std::memory_order_relaxed)) stop(rank);
}

void SharedGroup::check_same(int rank) const {
    const auto& mine = call(rank, rank);
    for (int peer = 0; peer < ranks(); ++peer) {
        const auto& theirs = call(rank, peer);
        if (same(mine, theirs)) continue;
        throw Error(fmt::format("rank {}", rank),
                    fmt::format("{} meets {} of rank {}", describe(mine), describe(theirs), peer),
                    "every rank must run the same steps with the same shapes");
    }
}

void SharedGroup::give_up(int rank, int missing) {
    throw Error(fmt::format("rank {}", rank),
                fmt::format("{}: rank {} has not arrived for {}", describe(call(rank, rank)),
                            missing, format_time(Seconds(deadline_s_.load()))),
                "that rank hangs, was stopped, or needs a longer --deadline-s");
}

void SharedGroup::stop(int rank) const {
    throw Error(fmt::format("rank {}", rank),
                fmt::format("{} aborted: {}", describe(call(rank, rank)), last_error()));
}

void SharedGroup::abort(const std::string& reason) noexcept {
    const std::lock_guard lock(reason_mutex_);
    if (aborted_.load(std::memory_order_relaxed)) return;
    try {
        reason_ = reason;
    } catch (...) {  // out of memory: the flag matters, the words do not
    }
    aborted_.store(true, std::memory_order_release);
}

std::string SharedGroup::last_error() const {
    const std::lock_guard lock(reason_mutex_);
    return reason_;
}

}  // namespace tplan::cpu
