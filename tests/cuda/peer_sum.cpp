// The plugin's own all-reduce over peer memory: ranks on one device in one launch, and, where every
// rank has a device or kernels run on the CPU, each with a launch of its own that waits for the
// others'. Skipped, visibly, without a GPU.
#include <cmath>
#include <thread>

#include "core/error.h"
#include "core/json_io.h"
#include "executor/cpu/collectives.h"
#include "executor/cpu/shared_group.h"
#include "executor/gpu/peer_reduce.h"
#include "executor/plugin.h"
#include "tests/support/catch.h"
#include "tests/support/skip.h"

using namespace tplan;
using namespace tplan::gpu;

namespace {

const tplan_cuda_v1* plugin() {
    try {
        const auto* table =
            static_cast<const tplan_cuda_v1*>(load_plugin("libtplan_cuda.so", "tplan_cuda_plugin"));
        tplan_cuda_parts parts{};
        table->parts(&parts);
        return parts.devices > 0 ? table : nullptr;
    } catch (const Error&) {
        return nullptr;
    }
}

/// Whether launches of different ranks run at once: each on its own device, or on the CPU.
bool side_by_side(const tplan_cuda_v1& table, int ranks) {
    tplan_cuda_parts parts{};
    table.parts(&parts);
    return parts.devices >= ranks || std::string_view(table.architectures) == "none";
}

/// Values of one rank in one call: exact in every type, and so is the sum of a few of them; some
/// are fractions whose sum depends on the order in fp32 and on rounding in 16 bits.
float value_of(int rank, int call, std::int64_t i) {
    const auto mixed = static_cast<int>((i * 7 + rank * 13 + call * 29) % 61) - 30;
    return i % 3 == 0 ? static_cast<float>(mixed) : static_cast<float>(mixed) * 1.001F;
}

/// Rounded as `dtype` holds it: what the device was given.
float held(DType dtype, float x) {
    if (dtype == DType::fp32 || x == 0) return x;
    const int bits = dtype == DType::bf16 ? 8 : 11;  // of the significand
    int exponent = 0;
    const float fraction = std::frexp(x, &exponent);
    return std::ldexp(std::nearbyint(std::ldexp(fraction, bits)), exponent - bits);
}

/// One rank with its device and a vector that may begin off 16 bytes.
struct Rank {
    const tplan_cuda_v1& table;
    Device device;
    void* memory = nullptr;
    std::unique_ptr<PeerReduce> peers;
    Rank(const tplan_cuda_v1& used, int rank, int on, std::size_t bytes)
        : table(used), device{&used, nullptr, rank} {
        require(device, table.open(on, &device.context), "opening");
        require(device, table.allocate(device.context, bytes, &memory), "allocating");
    }
    ~Rank() {
        peers.reset();
        table.release(device.context, memory);
        table.close(device.context);
    }
    Rank(const Rank&) = delete;
    Rank& operator=(const Rank&) = delete;

    Matrix vector(DType dtype, std::int64_t count, std::int64_t shift) const {
        const Matrix all{memory, 1, count + shift, count + shift, dtype};
        return {all.place(0, shift), 1, count, count, dtype};
    }
    void fill(const Matrix& m, int call) const {
        std::vector<float> values(static_cast<std::size_t>(m.columns));
        for (std::int64_t i = 0; i < m.columns; ++i)
            values[static_cast<std::size_t>(i)] = value_of(device.rank, call, i);
        const auto to = matrix_of(m);
        require(device, table.upload(device.context, &to, values.data()), "upload");
    }
    std::vector<float> values(const Matrix& m) const {
        std::vector<float> out(static_cast<std::size_t>(m.columns));
        const auto from = matrix_of(m);
        require(device, table.download(device.context, out.data(), &from), "download");
        return out;
    }
};

/// fp32 sums in the order of the ranks, rounded once.
std::vector<float> expected(int ranks, int call, DType dtype, std::int64_t count) {
    std::vector<float> sums;
    for (std::int64_t i = 0; i < count; ++i) {
        float sum = held(dtype, value_of(0, call, i));
        for (int r = 1; r < ranks; ++r) sum += held(dtype, value_of(r, call, i));
        sums.push_back(held(dtype, sum));
    }
    return sums;
}

struct Message {
    DType dtype;
    std::int64_t count, shift;  // shift: elements off the beginning of an allocation
    Shots shots;
};
const std::vector<Message> kMessages = {
    {DType::fp32, 1, 0, Shots::one},    {DType::bf16, 7, 0, Shots::two},
    {DType::bf16, 1001, 3, Shots::one}, {DType::fp16, 1003, 0, Shots::two},
    {DType::fp32, 515, 1, Shots::two},  {DType::fp16, 64, 0, Shots::one},
    {DType::bf16, 2048, 0, Shots::two}, {DType::fp32, 9, 0, Shots::two},
    {DType::bf16, 5001, 0, Shots::one}, {DType::bf16, 16, 5, Shots::two}};
constexpr std::size_t kBytes = 64 << 10;

/// Every rank on its own thread, as in a run.
struct Group {
    std::vector<std::unique_ptr<Rank>> ranks;
    cpu::SharedGroup meeting;
    Group(const tplan_cuda_v1& table, int n, int devices) : meeting(n, 2000) {
        for (int r = 0; r < n; ++r)
            ranks.push_back(std::make_unique<Rank>(table, r, r % devices, kBytes));
        each([&](Rank& rank) {
            const auto host = cpu::make_shared_communicator(meeting, rank.device.rank);
            rank.peers =
                std::make_unique<PeerReduce>(rank.device, *host, PeerReduce::Reach::process, "");
        });
    }
    template <class Work>
    void each(const Work& work) {
        std::vector<std::thread> threads;
        for (auto& rank : ranks) threads.emplace_back([&] { work(*rank); });
        for (auto& thread : threads) thread.join();
    }
};

}  // namespace

TEST_CASE("cuda: the own all-reduce of virtual ranks is the sum in the order of ranks") {
    const auto* table = plugin();
    if (table == nullptr) return test::skip("no CUDA device");
    for (const int n : {2, 3, 4, 8}) {
        Group group(*table, n, 1);
        REQUIRE(group.ranks[0]->peers->refusal().empty());
        int call = 0;
        for (int round = 0; round < 3; ++round) {
            for (const auto& message : kMessages) {
                INFO(n << " ranks, call " << ++call << ", " << message.count << " of "
                       << name_of(message.dtype));
                std::vector<Matrix> vectors;
                std::vector<const void*> ins;
                std::vector<void*> outs;
                for (const auto& rank : group.ranks) {
                    vectors.push_back(rank->vector(message.dtype, message.count, message.shift));
                    rank->fill(vectors.back(), call);
                    ins.push_back(vectors.back().data);
                    outs.push_back(vectors.back().data);
                }
                auto& first = *group.ranks[0];
                first.peers->launch_all(vectors[0], ins, outs, message.shots);
                require(first.device, table->synchronise(first.device.context), "waiting");
                const auto sums = expected(n, call, message.dtype, message.count);
                for (std::size_t r = 0; r < vectors.size(); ++r)
                    CHECK(group.ranks[r]->values(vectors[r]) == sums);
            }
        }
    }
}

TEST_CASE("cuda: launches of the own all-reduce wait for each other, call after call") {
    const auto* table = plugin();
    if (table == nullptr) return test::skip("no CUDA device");
    auto messages = kMessages;  // and some of several blocks, the ones idle in the others
    messages.insert(messages.begin() + 3, {{DType::bf16, 20000, 0, Shots::one},
                                           {DType::fp16, 30001, 0, Shots::two},
                                           {DType::bf16, 4500, 0, Shots::one}});
    for (const int n : {2, 4, 8}) {
        if (!side_by_side(*table, n)) return test::skip("fewer GPUs than ranks");
        tplan_cuda_parts parts{};
        table->parts(&parts);
        Group group(*table, n, std::min(parts.devices, n));
        REQUIRE(group.ranks[0]->peers->refusal().empty());
        std::vector<int> wrong(group.ranks.size());
        // No meeting on the host in between: a rank may be a call ahead of another.
        group.each([&](Rank& rank) {
            for (int call = 0; call < 60; ++call) {
                const auto& message = messages[static_cast<std::size_t>(call) % messages.size()];
                const auto vector = rank.vector(message.dtype, message.count, message.shift);
                rank.fill(vector, call);
                rank.peers->launch(vector, vector, message.shots);
                const auto sums = expected(n, call, message.dtype, message.count);
                if (rank.values(vector) != sums)
                    ++wrong[static_cast<std::size_t>(rank.device.rank)];
            }
        });
        CHECK(wrong == std::vector<int>(group.ranks.size()));
    }
}

TEST_CASE("cuda: a recorded all-reduce is another call each time it runs") {
    const auto* table = plugin();
    if (table == nullptr) return test::skip("no CUDA device");
    if (!side_by_side(*table, 2)) return test::skip("fewer GPUs than ranks");
    tplan_cuda_parts parts{};
    table->parts(&parts);
    Group group(*table, 2, std::min(parts.devices, 2));
    std::vector<int> wrong(2);
    group.each([&](Rank& rank) {
        const auto vector = rank.vector(DType::bf16, 1001, 0);
        void* graph = nullptr;
        require(rank.device, table->begin_graph(rank.device.context), "recording");
        rank.peers->launch(vector, vector, Shots::two);
        rank.peers->launch(vector, vector, Shots::one);  // sums of sums
        require(rank.device, table->end_graph(rank.device.context, &graph), "recording");
        for (int call = 0; call < 10; ++call) {
            rank.fill(vector, call);
            require(rank.device, table->run_graph(rank.device.context, graph), "replaying");
            auto sums = expected(2, call, DType::bf16, 1001);
            for (auto& sum : sums) sum *= 2;
            if (rank.values(vector) != sums) ++wrong[static_cast<std::size_t>(rank.device.rank)];
        }
        table->drop_graph(graph);
    });
    CHECK(wrong == std::vector<int>(2));
}

TEST_CASE("cuda: an all-reduce whose peer never comes ends when the host says so") {
    const auto* table = plugin();
    if (table == nullptr) return test::skip("no CUDA device");
    Group group(*table, 2, 1);
    auto& rank = *group.ranks[0];
    const auto vector = rank.vector(DType::fp32, 100, 0);
    rank.peers->abort();  // before the launch: kernels of the CPU run inside of it
    rank.peers->launch(vector, vector, Shots::one);
    CHECK(table->synchronise(rank.device.context) == nullptr);
}

TEST_CASE("cuda: a message longer than the area of its ranks is refused by the plugin") {
    const auto* table = plugin();
    if (table == nullptr) return test::skip("no CUDA device");
    Group group(*table, 2, 1);
    auto& rank = *group.ranks[0];
    const auto count = static_cast<std::int64_t>(kPeerCapacity) / 4 + 1;
    const Matrix long_one{rank.memory, 1, count, count, DType::fp32};
    CHECK_THROWS_WITH(rank.peers->launch(long_one, long_one, Shots::one),
                      Catch::Contains("rank 0: summing over peers") && Catch::Contains("larger"));
}
