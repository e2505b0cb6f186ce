// Which all-reduces go over peer memory, and how the ranks come to it, over a table that is no GPU.
#include "executor/gpu/peer_reduce.h"

#include <cstdlib>
#include <cstring>
#include <mutex>
#include <vector>

#include "core/error.h"
#include "executor/cpu/collectives.h"
#include "executor/cpu/team.h"
#include "executor/gpu/nccl_group.h"
#include "executor/probe.h"
#include "tests/support/catch.h"
#include "tests/unit/executor/owned_matrix.h"

using namespace tplan;
using namespace tplan::gpu;
using Catch::Matchers::Contains;

namespace {

/// What the table was asked for.
struct Asked {
    std::vector<tplan_peer_sum> sums;
    int areas = 0, exported = 0, dropped = 0, reduced_by_nccl = 0;
    const char* no_import = nullptr;
    std::mutex mutex;
    std::vector<void*> kept;  // allocated and not released
    ~Asked() {
        for (auto* memory : kept) std::free(memory);
    }
};
Asked* asked = nullptr;

const char* allocate(void*, std::size_t bytes, void** out) {
    *out = std::calloc(bytes, 1);
    const std::lock_guard lock(asked->mutex);
    asked->kept.push_back(*out);
    ++asked->areas;
    return nullptr;
}
void release(void*, void* memory) {
    const std::lock_guard lock(asked->mutex);
    std::erase(asked->kept, memory);
    std::free(memory);
    --asked->areas;
}
const char* allocate_host(void*, std::size_t bytes, void** out) {
    *out = std::calloc(bytes, 1);
    return nullptr;
}
void release_host(void*, void* memory) {
    std::free(memory);
}
const char* synchronise(void*) {
    return nullptr;
}
const char* export_memory(void*, void* memory, char handle[TPLAN_PEER_HANDLE]) {
    std::memcpy(handle, &memory, sizeof memory);
    const std::lock_guard lock(asked->mutex);
    ++asked->exported;
    return nullptr;
}
const char* import_memory(void*, const char handle[TPLAN_PEER_HANDLE], void** out) {
    std::memcpy(out, handle, sizeof *out);
    return asked->no_import;
}
void drop_import(void*, void*) {
    const std::lock_guard lock(asked->mutex);
    ++asked->dropped;
}
const char* peer_sum(void*, const tplan_peer_sum* sum) {
    const std::lock_guard lock(asked->mutex);
    asked->sums.push_back(*sum);
    return nullptr;
}
int busy(void*, const char**) {
    return 0;
}

tplan_cuda_v1 table_of_test() {
    tplan_cuda_v1 table{};
    table.allocate = allocate;
    table.release = release;
    table.allocate_host = allocate_host;
    table.release_host = release_host;
    table.synchronise = synchronise;
    table.export_memory = export_memory;
    table.import_memory = import_memory;
    table.drop_import = drop_import;
    table.peer_area_bytes = [](std::size_t) { return std::size_t{64}; };
    table.peer_sum = peer_sum;
    table.busy = busy;
    return table;
}

tplan_nccl_v1 nccl_of_test() {
    tplan_nccl_v1 nccl{};
    nccl.text = [](int) { return "something"; };
    nccl.unique_id = [](char*) { return 0; };
    nccl.init = [](void** group, int, const char*, int, void*) {
        *group = asked;
        return 0;
    };
    nccl.state = [](void*) { return 0; };
    nccl.all_reduce = [](void*, void*, const void*, void*, std::size_t, int) {
        const std::lock_guard lock(asked->mutex);
        ++asked->reduced_by_nccl;
        return 0;
    };
    nccl.destroy = [](void*) {};
    nccl.abort = [](void*) {};
    return nccl;
}

using Reach = PeerReduce::Reach;

/// Runs `work` on two ranks, each with its peers.
void with_peers(Reach reach, const std::vector<std::string>& why_not,
                const std::function<void(Communicator&, PeerReduce&, const Device&)>& work) {
    const auto table = table_of_test();
    cpu::SharedGroup host(2, 50);
    cpu::Team(2).run(
        [&](int rank) {
            const auto meeting = cpu::make_shared_communicator(host, rank);
            const Device device{&table, nullptr, rank};
            PeerReduce peers(device, *meeting, reach, why_not[static_cast<std::size_t>(rank)]);
            work(*meeting, peers, device);
            meeting->barrier({"end", 0});
        },
        [&](int, const std::string& reason) { host.abort(reason); });
}

}  // namespace

TEST_CASE("all-reduces go as the step names them, else by their size", "[executor]") {
    constexpr double kKiB = 1024;
    CHECK(shots_for("auto", 2, 8192 * kKiB) == Shots::one);
    CHECK(shots_for("", 2, 8192 * kKiB + 1) == Shots::none);
    CHECK(shots_for("auto", 4, 512 * kKiB - 1) == Shots::one);
    CHECK(shots_for("auto", 4, 512 * kKiB) == Shots::two);
    CHECK(shots_for("auto", 3, 300 * kKiB) == Shots::one);
    CHECK(shots_for("auto", 8, 256 * kKiB - 1) == Shots::one);
    CHECK(shots_for("auto", 8, 256 * kKiB) == Shots::two);
    CHECK(shots_for("one-shot", 8, 8000 * kKiB) == Shots::one);
    CHECK(shots_for("two-shot", 2, 2) == Shots::two);
    CHECK(shots_for("two-shot", 2, 9000 * kKiB) == Shots::none);
    CHECK(shots_for("one-shot-large", 2, 4096 * kKiB) == Shots::one);
    CHECK(shots_for("custom", 4, 1024 * kKiB) == Shots::two);
    for (const auto* name : {"ring", "ring-ll", "nvls", "multimem", "nccl-copy"})
        CHECK(shots_for(name, 2, 1024) == Shots::none);
    for (const auto* of_nccl : {"ring", "ring-ll", "tree", "nvls", "multimem"})
        CHECK(shots_for(of_nccl, 4, 16) == Shots::none);
    // What calibrates NCCL measures NCCL.
    CollectivePoint point;
    point.op = OpKind::all_reduce;
    point.implementation = CollectiveImpl::nccl;
    point.ranks = 4;
    point.bytes = 4096;
    const auto probe = probe_of(point);
    const auto& steps = probe.program.sections.back().steps;
    REQUIRE_FALSE(steps.empty());
    for (const auto& step : steps) {
        if (step.kind == OpKind::all_reduce)
            CHECK(shots_for(step.algorithm, 4, point.bytes) == Shots::none);
    }
}

TEST_CASE("peers know each other's areas, by address and by handle", "[executor]") {
    for (const auto reach : {Reach::process, Reach::handles}) {
        Asked state;
        asked = &state;
        with_peers(reach, {"", ""}, [&](Communicator& meeting, PeerReduce& peers, const Device&) {
            if (!peers.refusal().empty()) throw Error("test", peers.refusal());
            test::Owned in(3, 5), out(3, 5);
            peers.launch(in.view, out.view, Shots::two);
            meeting.barrier({"launched", 1});
        });
        REQUIRE(state.sums.size() == 2);
        for (const auto& sum : state.sums) {
            CHECK(sum.ranks == 2);
            CHECK(sum.joined == 1);
            CHECK(sum.count == 15);
            CHECK(sum.two_shot == 1);
            CHECK(sum.areas[0] != nullptr);
            CHECK(sum.areas[0] != sum.areas[1]);
            CHECK(sum.areas[0] == state.sums[0].areas[0]);
            CHECK(sum.areas[1] == state.sums[0].areas[1]);
        }
        CHECK(state.sums[0].first + state.sums[1].first == 1);
        // Memory that other processes may have open is not given back.
        CHECK(state.areas == (reach == Reach::process ? 0 : 2));
        CHECK(state.exported == (reach == Reach::process ? 0 : 2));
        CHECK(state.dropped == (reach == Reach::process ? 0 : 2));
    }
}

TEST_CASE("what keeps one rank from peers keeps all of them, with its words", "[executor]") {
    Asked state;
    asked = &state;
    with_peers(Reach::process, {"", "GPU 1 does not read the memory of GPU 0"},
               [](Communicator&, PeerReduce& peers, const Device&) {
                   if (peers.refusal() != "rank 1: GPU 1 does not read the memory of GPU 0")
                       throw Error("test", peers.refusal());
               });
    CHECK(state.areas == 0);

    state.no_import = "invalid device context";
    with_peers(Reach::handles, {"", ""}, [](Communicator&, PeerReduce& peers, const Device&) {
        if (peers.refusal() != "rank 0: memory of rank 1: invalid device context")
            throw Error("test", peers.refusal());
    });
}

TEST_CASE("nccl: the own all-reduce takes what the plan gives it, NCCL the rest", "[executor]") {
    Asked state;
    asked = &state;
    const auto nccl = nccl_of_test();
    with_peers(Reach::process, {"", ""},
               [&](Communicator& meeting, PeerReduce& peers, const Device& d) {
                   NcclCommunicator self(
                       nccl, d, meeting, 30, [](std::size_t) -> void* { return nullptr; }, &peers);
                   test::Owned m(1, 4);
                   self.all_reduce(m.view, m.view, {"named", 1, "two-shot"});
                   self.all_reduce(m.view, m.view, {"free", 2});
                   self.all_reduce(m.view, m.view, {"priced for NCCL", 3, "ring-ll"});
                   self.finish();
               });
    REQUIRE(state.sums.size() == 4);
    CHECK(state.reduced_by_nccl == 2);
    int two_shot = 0;
    for (const auto& sum : state.sums) two_shot += sum.two_shot;
    CHECK(two_shot == 2);
}
