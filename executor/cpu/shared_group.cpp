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

std::uint64_t signature_of(const SharedGroup::Call& call) {
    std::uint64_t hash = 0;
    for (const auto part :
         {static_cast<std::int64_t>(call.kind), call.index, call.rows, call.width}) {
        hash = (hash ^ static_cast<std::uint64_t>(part)) * 0x9e3779b97f4a7c15U;
        hash ^= hash >> 32;
    }
    return hash;
}

}  // namespace

SharedGroup::SharedGroup(int ranks, int spins)
    : slots_(static_cast<std::size_t>(ranks)), spins_(spins) {
    assert(ranks >= 1);
}

double SharedGroup::start(int rank, const Call& call) {
    auto& slot = slots_[static_cast<std::size_t>(rank)];
    const auto turn = slot.calls_begun % 2;
    const auto number = ++slot.calls_begun;
    slot.calls[turn] = call;
    auto& post = slot.posts[turn];
    post.signature = signature_of(call);
    post.views = {static_cast<float*>(call.in.data), static_cast<float*>(call.out.data),
                  call.in.stride, call.out.stride};
    const auto arrival = Clock::now();
    post.number.store(number, std::memory_order_release);
    for (int peer = 0; peer < ranks(); ++peer) {
        const auto& other = slots_[static_cast<std::size_t>(peer)].posts[turn];
        await(rank, peer, other.number, number);
        if (other.signature != post.signature) disagree(rank, peer);
    }
    return seconds_since(arrival);
}

void SharedGroup::finish(int rank) {
    auto& slot = slots_[static_cast<std::size_t>(rank)];
    const auto number = ++slot.calls_finished;
    slot.finished.store(number, std::memory_order_release);
    for (int peer = 0; peer < ranks(); ++peer) {
        await(rank, peer, slots_[static_cast<std::size_t>(peer)].finished, number);
    }
}

void SharedGroup::await(int rank, int peer, const std::atomic<std::uint64_t>& counter,
                        std::uint64_t value) {
    int spun = 0;
    Clock::time_point yielding_since;
    while (counter.load(std::memory_order_acquire) < value) {
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
    if (aborted_.load(std::memory_order_relaxed)) stop(rank);
}

void SharedGroup::disagree(int rank, int peer) const {
    throw Error(fmt::format("rank {}", rank),
                fmt::format("{} meets {} of rank {}", describe(call(rank, rank)),
                            describe(call(rank, peer)), peer),
                "every rank must run the same steps with the same shapes");
}

void SharedGroup::give_up(int rank, int missing) const {
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
