// The NCCL communicator over a table that is not NCCL: its data movement, and every way in which a
// group of GPUs can fail, without a GPU.
#include "executor/gpu/nccl_group.h"

#include <condition_variable>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include "core/error.h"
#include "executor/cpu/collectives.h"
#include "executor/cpu/team.h"
#include "executor/gpu/backend.h"
#include "tests/support/catch.h"
#include "tests/unit/executor/owned_matrix.h"

using namespace tplan;
using namespace tplan::gpu;

namespace {

using test::Owned;

/// What the fake library and device do. One at a time: a table of C functions has no other state.
struct Fake {
    int size = 2;
    int init_polls = 3;   // of state() until the group is there; -1: never
    int state_after = 0;  // what state() says then
    int busy_after = 0;   // what the device says: 0 done, 1 for ever, -1 failed
    int call_polls = 0;   // of state() until a collective is on the stream
    int aborts = 0, destroys = 0;
    std::map<int, int> polls, not_on_stream;  // by rank
    std::mutex mutex;
    std::condition_variable changed;
    struct Round {
        std::vector<const float*> in = std::vector<const float*>(8);
        int arrived = 0, left = 0;
    } round;

    /// Calls `work` with everyone's input once all ranks are there.
    template <class Work>
    void together(int rank, const void* in, const Work& work) {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return round.left == 0; });
        round.in[static_cast<std::size_t>(rank)] = static_cast<const float*>(in);
        ++round.arrived;
        changed.notify_all();
        changed.wait(lock, [&] { return round.arrived == size || round.left > 0; });
        work(round.in);
        if (++round.left == size) round = {};
        changed.notify_all();
        changed.wait(lock, [&] { return round.left == 0; });
    }
};
Fake* fake = nullptr;

struct FakeRank {
    int rank = 0;
};
int rank_of(void* pointer) {
    return static_cast<FakeRank*>(pointer)->rank;
}

const char* say(int result) {
    return result == 7 ? "remote process exited or there was a network error" : "something";
}
int make_id(char id[128]) {
    std::memset(id, 'n', 128);
    return 0;
}
int begin(void** group, int, const char id[128], int, void* context) {
    if (id[0] != 'n') return 5;
    *group = context;
    return 1;
}
int state(void* group) {
    const std::lock_guard lock(fake->mutex);
    if (int& left = fake->not_on_stream[rank_of(group)]; left > 0) return --left, 1;
    int& polls = fake->polls[rank_of(group)];
    if (fake->init_polls < 0 || polls++ < fake->init_polls) return 1;
    return fake->state_after;
}
int reduce(void* group, void*, const void* in, void* out, std::size_t count, int) {
    if (fake->busy_after != 0) return 0;  // put on a stream that never gets there
    fake->together(rank_of(group), in, [&](const auto& all) {
        std::vector<float> sum(count);
        for (int r = 0; r < fake->size; ++r) {
            for (std::size_t i = 0; i < count; ++i) sum[i] += all[static_cast<std::size_t>(r)][i];
        }
        std::memcpy(out, sum.data(), count * sizeof(float));
    });
    return 0;
}
int gather(void* group, void*, const void* in, void* out, std::size_t count, int) {
    fake->together(rank_of(group), in, [&](const auto& all) {
        for (int r = 0; r < fake->size; ++r)
            std::memcpy(static_cast<float*>(out) + static_cast<std::size_t>(r) * count,
                        all[static_cast<std::size_t>(r)], count * sizeof(float));
    });
    const std::lock_guard lock(fake->mutex);
    fake->not_on_stream[rank_of(group)] = fake->call_polls;
    return fake->call_polls > 0 ? 1 : 0;
}
int scatter(void* group, void*, const void* in, void* out, std::size_t count, int) {
    const auto own = static_cast<std::size_t>(rank_of(group));
    fake->together(rank_of(group), in, [&](const auto& all) {
        for (std::size_t i = 0; i < count; ++i) {
            float sum = 0;
            for (int r = 0; r < fake->size; ++r)
                sum += all[static_cast<std::size_t>(r)][own * count + i];
            static_cast<float*>(out)[i] = sum;
        }
    });
    return 0;
}
void count_abort(void*) {
    const std::lock_guard lock(fake->mutex);
    ++fake->aborts;
}
void count_destroy(void*) {
    const std::lock_guard lock(fake->mutex);
    ++fake->destroys;
}
const tplan_nccl_v1 kNccl = {23003,  say,    make_id, begin,       state,
                             reduce, gather, scatter, count_abort, count_destroy};

int busy(void*, const char** error) {
    if (fake->busy_after < 0) *error = "an illegal memory access was encountered";
    return fake->busy_after;
}
/// The one op that the communicator launches itself.
const char* launch_copy(void* context, const tplan_op* op) {
    {
        const std::lock_guard lock(fake->mutex);
        if (fake->not_on_stream[rank_of(context)] > 0) return "it overtakes the collective";
    }
    if (op->kind != TPLAN_COPY_COLUMNS) return "only copies are faked";
    for (std::int64_t r = 0; r < op->out[0].rows; ++r) {
        std::memcpy(static_cast<float*>(op->out[0].data) + r * op->out[0].stride + op->to_column,
                    static_cast<float*>(op->in[0].data) + r * op->in[0].stride + op->from_column,
                    static_cast<std::size_t>(op->columns) * sizeof(float));
    }
    return nullptr;
}
tplan_cuda_v1 fake_device() {
    tplan_cuda_v1 table{};
    table.abi = TPLAN_CUDA_ABI;
    table.busy = busy;
    table.launch = launch_copy;
    return table;
}

/// One rank's end, over a meeting on the host.
struct End {
    std::vector<std::vector<float>> memory;
    std::unique_ptr<Communicator> meeting;
    std::unique_ptr<NcclCommunicator> nccl;
};

/// Ranks as threads, each with an NCCL end.
struct Group {
    explicit Group(Fake& state, double deadline_s = 30)
        : team(state.size), host(state.size, 50), deadline(deadline_s) {
        fake = &state;
        host.set_deadline(30);
        ranks.resize(static_cast<std::size_t>(state.size));
    }
    /// As in the backend, the ends outlive the work: a rank that throws has told the others first.
    void run(const std::function<void(NcclCommunicator&)>& work) {
        std::vector<End> ends(ranks.size());
        team.run(
            [&](int rank) {
                auto& own = ends[static_cast<std::size_t>(rank)];
                ranks[static_cast<std::size_t>(rank)].rank = rank;
                own.meeting = cpu::make_shared_communicator(host, rank);
                own.nccl = std::make_unique<NcclCommunicator>(
                    kNccl, Device{&table, &ranks[static_cast<std::size_t>(rank)], rank},
                    *own.meeting, deadline, [&own](std::size_t bytes) -> void* {
                        own.memory.emplace_back(bytes / sizeof(float) + 1);
                        return own.memory.back().data();
                    });
                work(*own.nccl);
            },
            [&](int, const std::string& reason) { host.abort(reason); });
    }
    tplan_cuda_v1 table = fake_device();
    cpu::Team team;
    cpu::SharedGroup host;
    double deadline;
    std::vector<FakeRank> ranks;
};

void need(bool what) {
    if (!what) throw Error("test", "wrong numbers");
}

}  // namespace

TEST_CASE("nccl: sums, and columns of unequal parts, arrive where they belong", "[executor]") {
    Fake state;
    Group group(state);
    constexpr std::int64_t kWidth = 7;
    const Split cut{.kind = SplitKind::chunk, .dim = 1, .parts = 2};  // 4 and 3
    group.run([&](NcclCommunicator& self) {
        const int rank = self.rank();
        Owned partial(2, kWidth);
        for (std::int64_t r = 0; r < 2; ++r) {
            for (std::int64_t c = 0; c < kWidth; ++c)
                partial.view.row(r)[c] = static_cast<float>(100 * rank + 10 * r + c);
        }
        Owned sum(2, kWidth);
        self.all_reduce(partial.view, sum.view, {"sum", 1});
        self.finish();
        for (std::int64_t c = 0; c < kWidth; ++c)
            need(sum.view.row(1)[c] == static_cast<float>(100 + 20 + 2 * c));

        const auto own = local_extent(cut, kWidth, rank);
        const auto first = slices(cut, kWidth, rank)[0].offset;
        Owned part(2, own), whole(2, kWidth);
        self.reduce_scatter(partial.view, part.view, cut, {"scatter", 2});
        for (std::int64_t c = 0; c < own; ++c)
            need(part.view.row(1)[c] == static_cast<float>(100 + 20 + 2 * (first + c)));
        self.all_gather(part.view, cut, whole.view, {"gather", 3});
        need(whole.data == sum.data);

        const Split halves{.kind = SplitKind::grouped, .dim = 1, .parts = 2, .unit = 1};
        Owned moved(2, local_extent(halves, kWidth, rank));
        self.all_to_all(part.view, cut, moved.view, halves, kWidth, {"move", 4});
        need(moved.view.row(0)[0] == sum.view.row(0)[slices(halves, kWidth, rank)[0].offset]);
        need(self.exchange(std::to_string(rank), {"words", 5})[1] == "1");
        self.barrier({"end", 6}, false);
    });
    CHECK(state.destroys == 2);
    CHECK(state.aborts == 0);
}

TEST_CASE("nccl: rows of every rank's own arrive where they belong", "[executor]") {
    Fake state;
    Group group(state);
    constexpr std::int64_t kRows = 5, kWidth = 6;  // 3 rows and 2
    const auto by_rows = Layout::tokens(2).split;
    const Split by_columns{.kind = SplitKind::chunk, .dim = 1, .parts = 2};
    group.run([&](NcclCommunicator& self) {
        const auto number = [](std::int64_t r, std::int64_t c) {
            return static_cast<float>(10 * r + c);
        };
        const auto own = slices(by_rows, kRows, self.rank()).front();
        Owned part(own.extent, kWidth), whole(kRows, kWidth);
        for (std::int64_t r = 0; r < own.extent; ++r) {
            for (std::int64_t c = 0; c < kWidth; ++c)
                part.view.row(r)[c] = number(own.offset + r, c);
        }
        self.all_gather(part.view, by_rows, whole.view, {"gather", 1});
        for (std::int64_t r = 0; r < kRows; ++r) {
            for (std::int64_t c = 0; c < kWidth; ++c) need(whole.view.row(r)[c] == number(r, c));
        }

        Owned columns(kRows, 3), back(own.extent, kWidth), sum(own.extent, kWidth);
        self.all_to_all(part.view, by_rows, columns.view, by_columns, kWidth, {"there", 2});
        for (std::int64_t r = 0; r < kRows; ++r) {
            for (std::int64_t c = 0; c < 3; ++c)
                need(columns.view.row(r)[c] == number(r, 3 * self.rank() + c));
        }
        self.all_to_all(columns.view, by_columns, back.view, by_rows, kWidth, {"back", 3});
        need(back.data == part.data);

        self.reduce_scatter(whole.view, sum.view, by_rows, {"scatter", 4});
        for (std::int64_t r = 0; r < own.extent; ++r) {
            for (std::int64_t c = 0; c < kWidth; ++c)
                need(sum.view.row(r)[c] == 2 * number(own.offset + r, c));
        }
    });
}

TEST_CASE("nccl: nothing overtakes a collective that is not on the stream yet", "[executor]") {
    Fake state;
    state.call_polls = 5;
    Group group(state);
    const Split cut{.kind = SplitKind::chunk, .dim = 1, .parts = 2};
    group.run([&](NcclCommunicator& self) {
        Owned part(1, 2), whole(1, 4);
        part.view.row(0)[1] = static_cast<float>(self.rank() + 1);
        self.all_gather(part.view, cut, whole.view, {"gather", 1});  // copies when it is there
        need(whole.view.row(0)[1] == 1 && whole.view.row(0)[3] == 2);
    });
}

TEST_CASE("nccl: a group that never comes about ends at the deadline", "[executor][fault]") {
    Fake state;
    state.init_polls = -1;
    Group group(state, 0.2);
    CHECK_THROWS_WITH(group.run([](NcclCommunicator&) {}),
                      Catch::Contains("the group is not there after 200 ms"));
    CHECK(state.aborts == 2);
}

TEST_CASE("nccl: a remote error under a collective names rank, step and collective",
          "[executor][fault]") {
    Fake state;
    state.state_after = 0;
    state.busy_after = 1;
    Group group(state);
    CHECK_THROWS_WITH(
        group.run([&](NcclCommunicator& self) {
            self.exchange("ready", {"ready", 0});  // both have a group to abort
            Owned m(1, 4);
            self.trail().begin("layers.7.mlp.down_proj.all_reduce", 412, OpKind::all_reduce, 16);
            self.all_reduce(m.view, m.view, {"layers.7.mlp.down_proj.all_reduce", 412});
            {
                const std::lock_guard lock(state.mutex);
                state.state_after = 7;
            }
            self.finish();
        }),
        Catch::Contains("rank ") && Catch::Contains("remote process exited") &&
            Catch::Contains("all_reduce #412 \"layers.7.mlp.down_proj.all_reduce\"") &&
            Catch::Contains("step #412"));
    CHECK(state.aborts == 2);
    CHECK(state.destroys == 0);
}

TEST_CASE("nccl: a collective that never finishes ends at the deadline", "[executor][fault]") {
    Fake state;
    state.busy_after = 1;
    Group group(state, 0.2);
    CHECK_THROWS_WITH(group.run([](NcclCommunicator& self) {
        Owned m(1, 4);
        self.all_reduce(m.view, m.view, {"layers.0.o_proj", 9});
        self.finish();
    }),
                      Catch::Contains("not finished after 200 ms in all_reduce #9"));
    CHECK(state.aborts == 2);
}

TEST_CASE("nccl: a rank that throws frees the others from the device", "[executor][fault]") {
    Fake state;
    state.busy_after = 1;
    Group group(state);
    CHECK_THROWS_WITH(group.run([](NcclCommunicator& self) {
        self.exchange("ready", {"ready", 0});  // both have a group to abort
        if (self.rank() == 1) throw Error("rank 1", "power failure");
        Owned m(1, 4);
        self.all_reduce(m.view, m.view, {"x", 0});
        self.finish();
    }),
                      Catch::Contains("power failure"));
    CHECK(state.aborts == 2);
}

TEST_CASE("nccl: a device that fails is quoted", "[executor][fault]") {
    Fake state;
    state.busy_after = -1;
    Group group(state);
    CHECK_THROWS_WITH(group.run([](NcclCommunicator& self) { self.finish(); }),
                      Catch::Contains("illegal memory access"));
}

TEST_CASE("cuda: without a driver the refusal names every part found", "[executor]") {
    tplan_cuda_v1 table{};
    table.abi = TPLAN_CUDA_ABI;
    table.parts = [](tplan_cuda_parts* out) {
        *out = {};
        std::strcpy(out->driver, "no driver (libcuda.so.1 was not found)");
        std::strcpy(out->runtime, "CUDA runtime 13.0");
        std::strcpy(out->cublaslt, "cuBLASLt 13.1.0");
        std::strcpy(out->nccl, "NCCL 2.28.9 from libnccl.so.2");
        std::strcpy(out->reason, "no driver");
    };
    CHECK_THROWS_WITH(make_cuda_backend(table, 2, nullptr),
                      Catch::Contains("no driver") && Catch::Contains("CUDA runtime 13.0") &&
                          Catch::Contains("cuBLASLt 13.1.0") && Catch::Contains("NCCL 2.28.9"));
    table.abi = 99;
    CHECK_THROWS_WITH(make_cuda_backend(table, 2, nullptr), Catch::Contains("version 99"));
}
