#include <setjmp.h>
#include <ucontext.h>

#include <bit>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "executor/cuda/launch.cuh"

namespace tplan::cuda::emulated {
namespace {

constexpr std::size_t kStack = 64 << 10;
constexpr unsigned kWarp = 32;

/// Threads that wait until all of them that have not ended do.
struct Meeting {
    unsigned members = 0, arrived = 0;
    std::uint64_t meetings = 0;
};

struct Fiber {
    std::unique_ptr<char[]> stack = std::make_unique<char[]>(kStack);
    jmp_buf at;
    Place place;
    unsigned number = 0, exchanges = 0;
    bool started = false, ended = false;
};

/// The block that runs. One at a time, of all threads of the process.
struct Block {
    std::vector<std::unique_ptr<Fiber>> fibers;
    Meeting whole;
    std::vector<Meeting> warps;
    std::vector<Words> words;
    std::vector<std::max_align_t> shared;
    const std::function<void()>* thread = nullptr;
    Fiber* now = nullptr;
    jmp_buf scheduler;
};
Block& block() {
    static Block one;
    return one;
}
std::mutex& one_kernel() {
    static std::mutex mutex;
    return mutex;
}

Meeting& own_warp() {
    return block().warps[block().now->number / kWarp];
}

void give_way() {
    if (_setjmp(block().now->at) == 0) _longjmp(block().scheduler, 1);
}

void meet(Meeting& meeting) {
    const auto before = meeting.meetings;
    ++meeting.arrived;
    while (meeting.meetings == before) {
        if (meeting.arrived >= meeting.members) {
            meeting.arrived = 0;
            ++meeting.meetings;
            return;
        }
        give_way();
    }
}

/// The life of a fiber: one thread after the other, of one block after the other.
void run_threads() {
    for (auto& b = block();;) {
        (*b.thread)();
        b.now->ended = true;
        --b.whole.members;
        --own_warp().members;
        give_way();
    }
}

/// Lets the fiber run until it waits or ends.
void resume(Fiber& fiber) {
    auto& b = block();
    b.now = &fiber;
    if (_setjmp(b.scheduler) != 0) return;
    if (fiber.started) _longjmp(fiber.at, 1);
    fiber.started = true;
    ucontext_t entry{};
    getcontext(&entry);
    entry.uc_stack.ss_sp = fiber.stack.get();
    entry.uc_stack.ss_size = kStack;
    entry.uc_link = nullptr;
    makecontext(&entry, run_threads, 0);
    setcontext(&entry);
}

void run_block(const Place& where) {
    auto& b = block();
    const unsigned count = where.threads.x * where.threads.y * where.threads.z;
    while (b.fibers.size() < count) b.fibers.push_back(std::make_unique<Fiber>());
    b.whole = {count};
    b.warps.assign((count + kWarp - 1) / kWarp, {});
    b.words.resize(b.warps.size());
    for (unsigned t = 0; t < count; ++t) {
        auto& fiber = *b.fibers[t];
        ++b.warps[t / kWarp].members;
        fiber.number = t;
        fiber.ended = false;
        fiber.exchanges = 0;
        fiber.place = where;
        fiber.place.thread = {t % where.threads.x, t / where.threads.x % where.threads.y,
                              t / where.threads.x / where.threads.y};
    }
    for (bool left = true; left;) {
        left = false;
        for (unsigned t = 0; t < count; ++t) {
            if (b.fibers[t]->ended) continue;
            resume(*b.fibers[t]);
            left = left || !b.fibers[t]->ended;
        }
    }
}

}  // namespace

const Place& place() {
    return block().now->place;
}

void run_grid(dim3 blocks, dim3 threads, std::size_t shared, const std::function<void()>& thread) {
    const std::lock_guard lock(one_kernel());
    auto& b = block();
    b.thread = &thread;
    b.shared.resize(shared / sizeof(std::max_align_t) + 1);
    Place where;
    where.threads = threads;
    where.blocks = blocks;
    for (where.block.z = 0; where.block.z < blocks.z; ++where.block.z) {
        for (where.block.y = 0; where.block.y < blocks.y; ++where.block.y) {
            for (where.block.x = 0; where.block.x < blocks.x; ++where.block.x) run_block(where);
        }
    }
}

void wait_for_block() {
    meet(block().whole);
}
void wait_for_warp() {
    meet(own_warp());
}
void* dynamic_shared() {
    return block().shared.data();
}
Words& warp_words() {
    return block().words[block().now->number / kWarp];
}
std::size_t turn() {
    return 8 + block().now->exchanges++ % 2;
}
int lane() {
    return static_cast<int>(block().now->number % kWarp);
}

}  // namespace tplan::cuda::emulated

float __shfl_xor_sync(unsigned, float value, int lanes) {
    using namespace tplan::cuda::emulated;
    // Two places in turn: a lane is at most one exchange ahead of the others.
    auto& words = warp_words();
    const auto place = turn();
    words[static_cast<std::size_t>(lane())][place] = std::bit_cast<std::uint32_t>(value);
    wait_for_warp();
    const auto other = words[static_cast<std::size_t>(lane() ^ lanes)][place];
    return std::bit_cast<float>(static_cast<std::uint32_t>(other));
}
