#include <sched.h>
#include <setjmp.h>
#include <ucontext.h>

#include <bit>
#include <memory>
#include <utility>
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

struct Block;

struct Fiber {
    std::unique_ptr<char[]> stack = std::make_unique_for_overwrite<char[]>(kStack);
    jmp_buf at;
    Place place;
    Block* block = nullptr;
    unsigned number = 0, exchanges = 0;
    bool started = false, ended = false;
};

/// What the threads of a block share.
struct Block {
    Meeting whole;
    std::vector<Meeting> warps;
    std::vector<Words> words;
};

/// The kernel that a thread of the process runs.
struct Kernel {
    std::vector<std::unique_ptr<Fiber>> fibers;
    std::vector<Block> blocks;
    std::vector<std::max_align_t> shared;
    const std::function<void()>* thread = nullptr;
    Fiber* now = nullptr;
    bool waits = false;  // a fiber, for what may be another thread's doing
    jmp_buf scheduler;
};
Kernel& kernel() {
    thread_local Kernel one;
    return one;
}

Block& own_block() {
    return *kernel().now->block;
}
Meeting& own_warp() {
    return own_block().warps[kernel().now->number / kWarp];
}

void give_way() {
    if (_setjmp(kernel().now->at) == 0) _longjmp(kernel().scheduler, 1);
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
    for (auto& k = kernel();;) {
        (*k.thread)();
        k.now->ended = true;
        --own_block().whole.members;
        --own_warp().members;
        give_way();
    }
}

/// Lets the fiber run until it waits or ends.
void resume(Fiber& fiber) {
    auto& k = kernel();
    k.now = &fiber;
    if (_setjmp(k.scheduler) != 0) return;
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

/// Gives the threads of a block their fibers, from number `first` of them.
void set_up(Block& block, const Place& where, std::size_t first) {
    auto& k = kernel();
    const unsigned count = where.threads.x * where.threads.y * where.threads.z;
    block.whole = {count};
    block.warps.assign((count + kWarp - 1) / kWarp, {});
    block.words.resize(block.warps.size());
    while (k.fibers.size() < first + count) k.fibers.push_back(std::make_unique<Fiber>());
    for (unsigned t = 0; t < count; ++t) {
        auto& fiber = *k.fibers[first + t];
        ++block.warps[t / kWarp].members;
        fiber.block = &block;
        fiber.number = t;
        fiber.ended = false;
        fiber.exchanges = 0;
        fiber.place = where;
        fiber.place.thread = {t % where.threads.x, t / where.threads.x % where.threads.y,
                              t / where.threads.x / where.threads.y};
    }
}

/// In turns, until all have ended.
void run_fibers(std::size_t count) {
    auto& fibers = kernel().fibers;
    for (bool left = true; left;) {
        left = false;
        for (std::size_t t = 0; t < count; ++t) {
            if (fibers[t]->ended) continue;
            resume(*fibers[t]);
            left = left || !fibers[t]->ended;
        }
        if (std::exchange(kernel().waits, false)) sched_yield();
    }
}

/// Calls `at` with the place of every block.
template <class At>
void each_block(dim3 blocks, dim3 threads, const At& at) {
    Place where;
    where.threads = threads;
    where.blocks = blocks;
    for (where.block.z = 0; where.block.z < blocks.z; ++where.block.z) {
        for (where.block.y = 0; where.block.y < blocks.y; ++where.block.y) {
            for (where.block.x = 0; where.block.x < blocks.x; ++where.block.x) at(where);
        }
    }
}

}  // namespace

const Place& place() {
    return kernel().now->place;
}

void run_grid(dim3 blocks, dim3 threads, std::size_t shared, const std::function<void()>& thread) {
    auto& k = kernel();
    k.thread = &thread;
    k.shared.resize(shared / sizeof(std::max_align_t) + 1);
    k.blocks.resize(1);
    each_block(blocks, threads, [&](const Place& where) {
        set_up(k.blocks[0], where, 0);
        run_fibers(std::size_t{threads.x} * threads.y * threads.z);
    });
}

void run_together(dim3 blocks, dim3 threads, const std::function<void()>& thread) {
    auto& k = kernel();
    k.thread = &thread;
    const auto count = std::size_t{threads.x} * threads.y * threads.z;
    k.blocks.clear();
    k.blocks.resize(std::size_t{blocks.x} * blocks.y * blocks.z);
    std::size_t number = 0;
    each_block(blocks, threads, [&](const Place& where) {
        set_up(k.blocks[number], where, number * count);
        ++number;
    });
    run_fibers(number * count);
}

void wait_for_block() {
    meet(own_block().whole);
}
void wait_for_warp() {
    meet(own_warp());
}
void wait_a_turn() {
    kernel().waits = true;
    give_way();
}
void* dynamic_shared() {
    return kernel().shared.data();
}
Words& warp_words() {
    return own_block().words[kernel().now->number / kWarp];
}
std::size_t turn() {
    return 8 + kernel().now->exchanges++ % 2;
}
int lane() {
    return static_cast<int>(kernel().now->number % kWarp);
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
