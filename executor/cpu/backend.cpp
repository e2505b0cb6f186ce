#include "executor/cpu/backend.h"

#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "core/error.h"
#include "core/text.h"
#include "executor/cpu/collectives.h"
#include "executor/cpu/kernels.h"
#include "executor/cpu/linear.h"
#include "executor/cpu/memory.h"
#include "executor/cpu/messages.h"
#include "executor/cpu/simd.h"
#include "executor/cpu/team.h"
#include "executor/processor.h"
#include "executor/world.h"

namespace tplan::cpu {
namespace {

// A waiting rank spins this long before it yields: about 0.3 ms, longer than any skew between
// undisturbed ranks. Where ranks share processors it yields at once.
constexpr int kSpins = 20000;
constexpr int kSpinsCrowded = 50;

// Reading a thread's CPU time is a system call of 0.2 to 0.5 us: at most one per so many
// nanoseconds keeps it below one percent.
constexpr std::int64_t kCpuTimeEvery = 50'000;

std::int64_t wall_ns() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

std::int64_t thread_cpu_ns() {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

/// Whether a thread that used `cpu` of `wall` nanoseconds kept its processor.
bool undisturbed(std::int64_t wall, std::int64_t cpu) {
    return static_cast<double>(wall - cpu) < 0.03 * static_cast<double>(wall) + 3000;
}

struct Release {
    void operator()(float* memory) const noexcept { release_bytes(memory); }
};

/// What belongs to one rank's thread; cache lines apart. The scratch lies at a multiple of 64 bytes
/// on every rank: where a row begins decides in which order a vector sum adds it, and ranks that
/// compute the same must get the same bits.
struct alignas(128) RankState {
    std::unique_ptr<Communicator> communicator;
    SharedTables tables;
    std::unique_ptr<float, Release> scratch;
    std::size_t scratch_floats = 0;
    std::int64_t last_cpu_read_ns = 0;
};

class CpuBackend final : public Backend {
  public:
    explicit CpuBackend(int ranks)
        : team_(ranks),
          group_(std::make_shared<SharedGroup>(ranks, team_.crowded() ? kSpinsCrowded : kSpins)),
          states_(static_cast<std::size_t>(ranks)) {
        for (int r = 0; r < ranks; ++r)
            state(r).communicator = make_shared_communicator(*group_, r);
        on_ranks([](int) { use_one_thread(); });
    }

    explicit CpuBackend(const World& world)
        : team_(world.size, world.rank),
          group_(world.group),
          heap_(world.heap),
          states_(static_cast<std::size_t>(world.size)),
          own_(world.rank) {
        state(own_).communicator = world.transport ? make_message_communicator(world.transport)
                                                   : make_shared_communicator(*group_, own_);
        on_ranks([](int) { use_one_thread(); });
    }

    std::string_view name() const override { return "cpu"; }
    int ranks() const override { return team_.ranks(); }
    bool is_local(int rank) const override { return own_ < 0 || rank == own_; }

    std::string device(int rank) const override {
        return fmt::format("processor {}, {}", team_.processor(rank), model_);
    }

    std::vector<std::string> notes() const override {
        std::vector<std::string> notes = {
            "matrix products: " + linear_engine({.m = 2, .n = 1, .k = 1}),
            "other loops: " + std::string(simd().name)};
        if (team_.crowded()) {
            notes.push_back(
                fmt::format("{} ranks share {} processors: times are not those of "
                            "ranks with a processor each",
                            ranks(), allowed_processors().size()));
        }
        return notes;
    }

    std::string refusal(const Step& step, DType weights) const override {
        return kernel_refusal(step, weights);
    }

    double memory_available() const override { return available_bytes(); }

    double packed_bytes(const LinearShape& shape) const override {
        return linear_packed_bytes(shape);
    }

    void on_ranks(const std::function<void(int)>& work) override {
        auto& any = *state(std::max(own_, 0)).communicator;
        if (const auto reason = any.last_error(); !reason.empty())
            throw Error("cpu backend", "failed before: " + reason);
        team_.run(work, [&](int, const std::string& message) { any.abort(message); });
    }

    Communicator& communicator(int rank) override { return *state(rank).communicator; }

    void* allocate(int rank, std::size_t bytes) override {
        return there(rank, bytes, allocate_bytes(bytes));
    }

    void* allocate_exchanged(int rank, std::size_t bytes) override {
        if (!heap_) return allocate(rank, bytes);
        return there(rank, bytes, heap_->allocate(bytes));
    }
    void release(int, void* memory) noexcept override {
        if (heap_ && heap_->release(memory)) return;
        release_bytes(memory);
    }

    void upload(int, const Matrix& to, const float* from) override {
        for (std::int64_t r = 0; r < to.rows; ++r) {
            std::copy_n(from + r * to.columns, to.columns, to.row(r));
        }
    }
    void download(int, float* to, const Matrix& from) override {
        for (std::int64_t r = 0; r < from.rows; ++r) {
            std::copy_n(from.row(r), from.columns, to + r * from.columns);
        }
    }
    void upload_ids(int, std::int32_t* to, const std::int32_t* from, std::size_t count) override {
        std::copy_n(from, count, to);
    }

    PackedWeights pack(int, const LinearShape& shape, const Matrix& plain,
                       std::shared_ptr<void> owner) override {
        return pack_linear(shape, plain, std::move(owner));
    }

    void prepare(int rank, BoundStep& step) override {
        auto& own = state(rank);
        const auto needed = static_cast<std::size_t>(prepare_kernel(step, own.tables));
        if (own.scratch_floats >= needed) return;
        own.scratch.reset(static_cast<float*>(allocate_bytes(needed * sizeof(float))));
        own.scratch_floats = own.scratch ? needed : 0;
        if (!own.scratch) {
            throw Error("memory", fmt::format("no {} bytes of scratch", needed * sizeof(float)),
                        "run fewer tokens");
        }
    }

    void launch(int rank, const BoundStep& step) override {
        run_kernel(step, state(rank).scratch.get());
    }

    void add_bias(int, const Matrix& m, const Matrix& bias) override {
        for (std::int64_t r = 0; r < m.rows; ++r) {
            simd().add(m.row(r), bias.f32(), 1.0F, m.row(r), m.columns);
        }
    }

    Mark record(int rank, bool exact) override {
        Mark mark;
        mark.begin_ns = mark.end_ns = wall_ns();
        auto& last = state(rank).last_cpu_read_ns;
        if (exact || mark.begin_ns - last > kCpuTimeEvery) {
            mark.cpu_ns = thread_cpu_ns();
            mark.end_ns = last = wall_ns();
        }
        return mark;
    }

    std::vector<Interval> elapsed(int, std::span<const Mark> marks) const override {
        std::vector<Interval> intervals;
        for (std::size_t i = 0; i + 1 < marks.size(); ++i) {
            intervals.push_back(
                {static_cast<double>(marks[i + 1].begin_ns - marks[i].end_ns) * 1e-9, true});
        }
        // Between two readings of the CPU time all intervals share one verdict.
        std::size_t last = marks.size();
        for (std::size_t i = 0; i < marks.size(); ++i) {
            if (marks[i].cpu_ns < 0) continue;
            if (last < marks.size() && !undisturbed(marks[i].end_ns - marks[last].end_ns,
                                                    marks[i].cpu_ns - marks[last].cpu_ns)) {
                for (auto j = last; j < i; ++j) intervals[j].clean = false;
            }
            last = i;
        }
        return intervals;
    }

    void synchronise(int) override {}  // launch() returns when the work is done

  private:
    RankState& state(int rank) { return states_[static_cast<std::size_t>(rank)]; }

    static void* there(int rank, std::size_t bytes, void* memory) {
        if (memory != nullptr) return memory;
        throw Error(fmt::format("rank {}", rank),
                    fmt::format("no memory for {}", format_bytes(Bytes(double(bytes)))),
                    "run fewer layers with --layers, a smaller batch or a shorter context");
    }

    Team team_;
    std::shared_ptr<SharedGroup> group_;  // none where ranks send messages
    std::shared_ptr<SharedHeap> heap_;    // of ranks that are processes of one host
    std::vector<RankState> states_;
    int own_ = -1;  // the only rank of this process; -1: all are
    std::string model_ = processor_model();
};

}  // namespace

std::unique_ptr<Backend> make_cpu_backend(int ranks, const World* world) {
    if (ranks < 1 || ranks > kMaxRanks) {
        throw Error("cpu backend",
                    fmt::format("asked for {} ranks, has 1 to {}", ranks, kMaxRanks));
    }
    if (world != nullptr) return std::make_unique<CpuBackend>(*world);
    return std::make_unique<CpuBackend>(ranks);
}

}  // namespace tplan::cpu
