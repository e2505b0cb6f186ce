#include "executor/cpu/shared_group.h"

#include <sched.h>

#include <algorithm>
#include <cassert>
#include <chrono>
#include <cstring>
#include <new>

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

std::size_t SharedGroup::bytes_for(int ranks) {
    return sizeof(Shared) + sizeof(Slot) * static_cast<std::size_t>(ranks);
}

SharedGroup::SharedGroup(int ranks, int spins)
    : owned_(::operator new (bytes_for(ranks), std::align_val_t{128})),
      ranks_(ranks),
      spins_(spins),
      processes_(false),
      shared_(new (owned_) Shared),
      slots_(reinterpret_cast<Slot*>(shared_ + 1)) {
    assert(ranks >= 1);
    for (int r = 0; r < ranks; ++r) new (slots_ + r) Slot;
}

SharedGroup::SharedGroup(void* memory, bool first, int ranks, int spins)
    : ranks_(ranks),
      spins_(spins),
      processes_(true),
      shared_(first ? new (memory) Shared : static_cast<Shared*>(memory)),
      slots_(reinterpret_cast<Slot*>(shared_ + 1)) {
    assert(ranks >= 1);
    for (int r = 0; first && r < ranks; ++r) new (slots_ + r) Slot;
}

SharedGroup::~SharedGroup() {
    // What lies in the memory needs no destruction: atomics, numbers and characters.
    if (owned_ != nullptr) ::operator delete (owned_, std::align_val_t{128});
}

std::string SharedGroup::describe(const Said& said) {
    if (said.kind == kBarrier) return fmt::format("barrier \"{}\"", said.step);
    if (said.kind == kExchange) return fmt::format("exchange \"{}\"", said.step);
    const auto bytes = static_cast<double>(said.rows * said.width) * bytes_of(DType::fp32);
    return fmt::format("{} #{} \"{}\" ({} x {}, {})", name_of(static_cast<OpKind>(said.kind)),
                       said.index, said.step, said.rows, said.width, format_bytes(Bytes(bytes)));
}

double SharedGroup::start(int rank, const Call& call) {
    auto& slot = slots_[rank];
    const auto turn = slot.calls_begun % 2;
    const auto number = ++slot.calls_begun;
    auto& said = slot.said[turn];
    said.kind = call.kind;
    said.index = call.index;
    said.rows = call.rows;
    said.width = call.width;
    said.patient = call.patient;
    const auto length = std::min(call.step.size(), sizeof said.step - 1);
    std::memcpy(said.step, call.step.data(), length);
    said.step[length] = '\0';
    auto& post = slot.posts[turn];
    post.signature = signature_of(call);
    post.views = {static_cast<float*>(call.in.data), static_cast<float*>(call.out.data),
                  call.in.stride, call.out.stride};
    const auto arrival = Clock::now();
    post.number.store(number, std::memory_order_release);
    for (int peer = 0; peer < ranks(); ++peer) {
        const auto& other = slots_[peer].posts[turn];
        await(rank, peer, other.number, number);
        if (other.signature != post.signature) disagree(rank, peer);
    }
    return seconds_since(arrival);
}

void SharedGroup::finish(int rank) {
    auto& slot = slots_[rank];
    const auto number = ++slot.calls_finished;
    slot.finished.store(number, std::memory_order_release);
    for (int peer = 0; peer < ranks(); ++peer) {
        await(rank, peer, slots_[peer].finished, number);
    }
}

void SharedGroup::await(int rank, int peer, const std::atomic<std::uint64_t>& counter,
                        std::uint64_t value) {
    int spun = 0;
    std::uint64_t beats = 0;
    Clock::time_point since;  // it yields, or a patient one last saw a sign of life
    while (counter.load(std::memory_order_acquire) < value) {
        if (shared_->aborted.load(std::memory_order_relaxed)) stop(rank);
        if (spun < spins_) {
            ++spun;
            pause();
            continue;
        }
        if (spun++ == spins_) since = Clock::now();
        sched_yield();
        if (processes_ && said(rank, rank).patient) {
            const auto now = slots_[peer].beats.load(std::memory_order_relaxed);
            if (now != beats) since = Clock::now();
            beats = now;
        }
        if (seconds_since(since) > shared_->deadline_s.load(std::memory_order_relaxed))
            give_up(rank, peer);
    }
    if (shared_->aborted.load(std::memory_order_relaxed)) stop(rank);
}

void SharedGroup::disagree(int rank, int peer) const {
    throw Error(fmt::format("rank {}", rank),
                fmt::format("{} meets {} of rank {}", describe(said(rank, rank)),
                            describe(said(rank, peer)), peer),
                "every rank must run the same steps with the same shapes");
}

void SharedGroup::give_up(int rank, int missing) const {
    throw Error(
        fmt::format("rank {}", rank),
        fmt::format("{}: rank {} has not arrived for {}, its last was {}",
                    describe(said(rank, rank)), missing,
                    format_time(Seconds(shared_->deadline_s.load())), trail(missing).last()),
        "that rank hangs, was stopped, or needs a longer --deadline-s");
}

void SharedGroup::stop(int rank) const {
    throw Error(fmt::format("rank {}", rank),
                fmt::format("{} aborted: {}", describe(said(rank, rank)), last_error()));
}

void SharedGroup::abort(const std::string& reason) noexcept {
    int none = 0;
    if (shared_->reason_state.compare_exchange_strong(none, 1)) {
        const auto length = std::min(reason.size(), kReasonBytes - 1);
        std::memcpy(shared_->reason, reason.data(), length);
        shared_->reason[length] = '\0';
        shared_->reason_state.store(2, std::memory_order_release);
    }
    shared_->aborted.store(true, std::memory_order_release);
}

std::string SharedGroup::last_error() const {
    if (!aborted()) return {};
    // Another rank may be writing the reason right now: some microseconds, unless it died
    // meanwhile.
    for (int i = 0; i < 1000 && shared_->reason_state.load(std::memory_order_acquire) != 2; ++i)
        sched_yield();
    if (shared_->reason_state.load(std::memory_order_acquire) != 2) return "no reason was left";
    return {shared_->reason, ::strnlen(shared_->reason, kReasonBytes)};
}

}  // namespace tplan::cpu
