#include "executor/gpu/backend.h"

#include <algorithm>

#include "core/error.h"
#include "core/text.h"
#include "executor/cpu/collectives.h"
#include "executor/cpu/messages.h"
#include "executor/cpu/team.h"
#include "executor/gpu/local_group.h"
#include "executor/gpu/nccl_group.h"
#include "executor/gpu/peer_reduce.h"
#include "executor/gpu/steps.h"
#include "executor/plugin.h"
#include "executor/world.h"

namespace tplan::gpu {
namespace {

constexpr int kSpins = 2000;
constexpr int kMostRanks = 64;
constexpr double kKeptFree = 0.05;  // of what the driver calls free: its own needs grow

struct RankState {
    Device device;
    std::unique_ptr<Communicator> meeting;  // on the host, where NCCL joins the devices
    std::unique_ptr<Communicator> communicator;
    NcclCommunicator* nccl = nullptr;
    std::unique_ptr<PeerReduce> peers;
    SharedSteps steps;
    std::shared_ptr<void> scratch;
    std::size_t scratch_bytes = 0;
    int device_index = 0;
};

class CudaBackend final : public Backend {
  public:
    CudaBackend(const tplan_cuda_v1& table, int ranks, const World* world)
        : table_(table),
          ranks_(ranks),
          own_(world == nullptr ? -1 : world->rank),
          team_(world == nullptr ? std::make_unique<cpu::Team>(ranks)
                                 : std::make_unique<cpu::Team>(ranks, own_)),
          states_(static_cast<std::size_t>(ranks)) {
        tplan_cuda_parts parts{};
        table_.parts(&parts);
        devices_ = parts.devices;
        group_ = world != nullptr && world->group
                     ? world->group
                     : std::make_shared<cpu::SharedGroup>(ranks, kSpins);
        one_host_ = world == nullptr || world->local_size == world->size;
        if (world != nullptr) {
            own_device_ = world->local_rank % devices_;
            transport_ = world->transport;
        }
        const char* missing = nullptr;
        const bool joined = world != nullptr || (ranks > 1 && devices_ >= ranks);
        nccl_ = joined ? table_.nccl(nullptr, &missing) : nullptr;
        if (world != nullptr && nccl_ == nullptr) {
            throw Error("cuda backend", fmt::format("no NCCL: {}", missing),
                        "ranks that are processes need it; install it or use --launcher threads");
        }
        on_ranks([&](int rank) { open(rank); });
    }

    ~CudaBackend() override {
        // No rank's kernels may read memory of another that is gone.
        for (auto& state : states_) {
            if (state.peers && group_->aborted()) state.peers->abort();
        }
        for (auto& state : states_) {
            if (state.device.context != nullptr) table_.synchronise(state.device.context);
        }
        for (auto& state : states_) {
            state.communicator.reset();
            state.peers.reset();
            state.meeting.reset();
            state.steps = {};
            state.scratch.reset();
            if (state.device.context != nullptr) table_.close(state.device.context);
        }
    }

    std::string_view name() const override { return "cuda"; }
    int ranks() const override { return ranks_; }
    bool is_local(int rank) const override { return own_ < 0 || rank == own_; }

    std::string device(int rank) const override {
        tplan_cuda_device facts{};
        const auto index = states_[static_cast<std::size_t>(rank)].device_index;
        if (table_.device(index, &facts) != nullptr) return fmt::format("GPU {}", index);
        return fmt::format("GPU {}, {}, {}", index, facts.name, facts.uuid);
    }

    int devices() const override { return devices_; }

    std::vector<std::string> notes() const override {
        tplan_cuda_parts parts{};
        table_.parts(&parts);
        std::vector<std::string> notes = {cuda_parts_text(parts),
                                          "kernels for sm " + std::string(table_.architectures)};
        if (ranks_ > 1) notes.push_back(collectives_text());
        if (own_ < 0 && ranks_ > devices_) {
            notes.push_back(
                fmt::format("{} ranks share {} GPU(s): emulated, times of collectives mean nothing",
                            ranks_, devices_));
        }
        if (replays()) {
            notes.push_back(
                "a step is timed as one CUDA graph, its ops one by one: with the gaps of launching "
                "them");
        }
        return notes;
    }

    std::string refusal(const Step& step, DType weights) const override {
        return step_refusal(step, weights);
    }

    DType activation_dtype(DType weights) const override { return weights; }

    double memory_available() const override {
        double free_bytes = 0;
        std::vector<int> seen;
        for (int rank = 0; rank < ranks_; ++rank) {
            const auto& state = states_[static_cast<std::size_t>(rank)];
            if (!is_local(rank) || std::count(seen.begin(), seen.end(), state.device_index) > 0)
                continue;
            seen.push_back(state.device_index);
            std::size_t free_now = 0, total = 0;
            require(state.device, table_.memory(state.device.context, &free_now, &total),
                    "asking for memory");
            free_bytes += static_cast<double>(free_now) * (1 - kKeptFree);
        }
        // Processes see their own device; the others' are taken to be alike.
        return own_ < 0 ? free_bytes : free_bytes * ranks_;
    }

    double packed_bytes(const LinearShape& shape) const override {
        return static_cast<double>(shape.n * shape.k) * bytes_of(shape.weights);
    }

    void on_ranks(const std::function<void(int)>& work) override {
        if (group_->aborted())
            throw Error("cuda backend", "failed before: " + group_->last_error());
        team_->run(
            [&](int rank) {
                auto& own = state(rank);
                if (own.device.context != nullptr) table_.forget_events(own.device.context);
                work(rank);
            },
            [this](int, const std::string& message) { group_->abort(message); });
    }

    Communicator& communicator(int rank) override { return *state(rank).communicator; }

    void* allocate(int rank, std::size_t bytes) override {
        void* memory = nullptr;
        const auto& device = state(rank).device;
        require(device, table_.allocate(device.context, bytes, &memory),
                fmt::format("allocating {}", format_bytes(Bytes(static_cast<double>(bytes)))));
        return memory;
    }
    void release(int rank, void* memory) noexcept override {
        table_.release(state(rank).device.context, memory);
    }

    void upload(int rank, const Matrix& to, const float* from) override {
        const auto matrix = matrix_of(to);
        const auto& device = state(rank).device;
        require(device, table_.upload(device.context, &matrix, from), "copying to the device");
    }
    void download(int rank, float* to, const Matrix& from) override {
        const auto matrix = matrix_of(from);
        const auto& device = state(rank).device;
        require(device, table_.download(device.context, to, &matrix), "copying from the device");
    }
    void upload_ids(int rank, std::int32_t* to, const std::int32_t* from,
                    std::size_t count) override {
        const auto& device = state(rank).device;
        require(device, table_.copy_to_device(device.context, to, from, count * sizeof *to),
                "copying to the device");
    }

    PackedWeights pack(int rank, const LinearShape& shape, const Matrix& plain,
                       std::shared_ptr<void>) override {
        return {pack_weights(state(rank).device, plain, shape.weights), packed_bytes(shape)};
    }

    void prepare(int rank, BoundStep& step) override {
        auto& own = state(rank);
        step.prepared = prepare_step(own.device, step, own.steps);
    }

    void launch(int rank, const BoundStep& step) override {
        auto& own = state(rank);
        launch_step(own.device, step, own.steps);
    }

    void add_bias(int rank, const Matrix& m, const Matrix& bias) override {
        auto op = op_of(TPLAN_ADD_BIAS);
        op.out[0] = matrix_of(m);
        op.weight[0] = matrix_of(bias);
        op.outputs = op.weights = 1;
        gpu::launch(state(rank).device, op, "adding a bias");
    }

    std::shared_ptr<void> capture(int rank, const std::function<void()>& launch_all) override {
        if (!replays()) return nullptr;
        const auto& device = state(rank).device;
        require(device, table_.begin_graph(device.context), "recording a graph");
        try {
            launch_all();
        } catch (...) {
            void* unfinished = nullptr;
            if (table_.end_graph(device.context, &unfinished) == nullptr)
                table_.drop_graph(unfinished);
            throw;
        }
        void* graph = nullptr;
        require(device, table_.end_graph(device.context, &graph), "recording a graph");
        return {graph, table_.drop_graph};
    }

    void replay(int rank, const std::shared_ptr<void>& captured) override {
        const auto& device = state(rank).device;
        require(device, table_.run_graph(device.context, captured.get()), "running a graph");
    }

    Mark record(int rank, bool) override {
        Mark mark;
        const auto& device = state(rank).device;
        require(device, table_.record(device.context, &mark.id), "recording an event");
        return mark;
    }

    std::vector<Interval> elapsed(int rank, std::span<const Mark> marks) const override {
        std::vector<Interval> intervals;
        const auto& device = states_[static_cast<std::size_t>(rank)].device;
        for (std::size_t i = 0; i + 1 < marks.size(); ++i) {
            Interval interval;
            require(device,
                    table_.elapsed(device.context, marks[i].id, marks[i + 1].id, &interval.seconds),
                    "reading events");
            intervals.push_back(interval);
        }
        return intervals;
    }

    void synchronise(int rank) override {
        auto& own = state(rank);
        if (own.nccl != nullptr) return own.nccl->finish();
        require(own.device, table_.synchronise(own.device.context), "waiting for the device");
    }

  private:
    /// Collectives of one process wait for each other on the host between their kernels.
    bool replays() const { return ranks_ == 1 || nccl_ != nullptr; }

    std::string collectives_text() const {
        const auto& own = states_[static_cast<std::size_t>(std::max(own_, 0))];
        if (nccl_ == nullptr) {
            return fmt::format("collectives: own, over memory of one process{}",
                               own.peers->refusal().empty()
                                   ? "; small all-reduces of all ranks in one launch"
                                   : "");
        }
        if (!own.peers->refusal().empty())
            return "collectives: NCCL (own all-reduce not used, " + own.peers->refusal() + ")";
        return fmt::format(
            "collectives: NCCL; all-reduces up to {} that the plan does not give to NCCL: own, "
            "over peer memory",
            format_bytes(Bytes(static_cast<double>(kPeerCapacity))));
    }

    RankState& state(int rank) { return states_[static_cast<std::size_t>(rank)]; }

    void open(int rank) {
        auto& own = state(rank);
        own.device_index = own_ < 0 ? rank % devices_ : own_device_;
        own.device.table = &table_;
        own.device.rank = rank;
        require(own.device, table_.open(own.device_index, &own.device.context), "opening the GPU");
        own.meeting = transport_ ? cpu::make_message_communicator(transport_)
                                 : cpu::make_shared_communicator(*group_, rank);
        if (ranks_ > 1) {
            const auto reach = own_ < 0 ? PeerReduce::Reach::process : PeerReduce::Reach::handles;
            own.peers =
                std::make_unique<PeerReduce>(own.device, *own.meeting, reach, why_no_peers(own));
        }
        if (nccl_ != nullptr) {
            auto joined = std::make_unique<NcclCommunicator>(
                *nccl_, own.device, *own.meeting, kDeadline,
                [this, rank](std::size_t bytes) { return scratch(rank, bytes); }, own.peers.get());
            own.nccl = joined.get();
            own.communicator = std::move(joined);
            return;
        }
        for (int other = 0; other < devices_ && ranks_ > 1; ++other) {
            if (other == own.device_index || other >= ranks_) continue;
            require(own.device, table_.peer_access(own.device.context, other),
                    fmt::format("reading the memory of GPU {}", other));
        }
        own.communicator = make_local_communicator(*group_, own.device, own.peers.get());
    }

    /// What keeps a rank's device from the own all-reduce; empty when nothing does. Ranks with
    /// devices of their own need to read each other's memory; others must share one device, where
    /// one launch works for all.
    std::string why_no_peers(const RankState& own) const {
        if (nccl_ == nullptr) return devices_ == 1 ? "" : "ranks share several GPUs";
        if (!one_host_) return "ranks are on several hosts";
        if (devices_ < ranks_)
            return fmt::format("its process sees {} GPU(s) of {}", devices_, ranks_);
        tplan_cuda_device facts{};
        if (const char* wrong = table_.device(own.device_index, &facts)) return wrong;
        for (int other = 0; other < ranks_; ++other) {
            if (other == own.device_index) continue;
            if (facts.can_access[other] == 0)
                return fmt::format("GPU {} does not read the memory of GPU {}", own.device_index,
                                   other);
            if (own_ >= 0) continue;  // importing its memory does it
            if (const char* wrong = table_.peer_access(own.device.context, other)) return wrong;
        }
        return {};
    }

    void* scratch(int rank, std::size_t bytes) {
        auto& own = state(rank);
        if (bytes > own.scratch_bytes) {
            own.scratch = device_bytes(own.device, bytes);
            own.scratch_bytes = bytes;
        }
        return own.scratch.get();
    }

    static constexpr double kDeadline = 60;  // for NCCL to come about; a run sets its own

    const tplan_cuda_v1& table_;
    int ranks_, devices_ = 0;
    int own_;  // the only rank of this process; -1: all are
    int own_device_ = 0;
    bool one_host_ = true;
    const tplan_nccl_v1* nccl_ = nullptr;
    std::shared_ptr<cpu::SharedGroup> group_;
    std::shared_ptr<Transport> transport_;
    std::unique_ptr<cpu::Team> team_;
    std::vector<RankState> states_;
};

}  // namespace

std::string cuda_parts_text(const tplan_cuda_parts& parts) {
    return fmt::format("{}, {}, {}, {}, {} device(s)", parts.driver, parts.runtime, parts.cublaslt,
                       parts.nccl, parts.devices);
}

namespace {

void require_same_interface(const tplan_cuda_v1& table) {
    if (table.abi != TPLAN_CUDA_ABI) {
        throw Error("libtplan_cuda.so",
                    fmt::format("speaks version {} of the interface, this program {}", table.abi,
                                TPLAN_CUDA_ABI),
                    "build both together");
    }
}

}  // namespace

const tplan_cuda_v1& cuda_plugin() {
    const auto* table =
        static_cast<const tplan_cuda_v1*>(load_plugin("libtplan_cuda.so", "tplan_cuda_plugin"));
    require_same_interface(*table);
    return *table;
}

std::unique_ptr<Backend> make_cuda_backend(const tplan_cuda_v1& table, int ranks,
                                           const World* world) {
    require_same_interface(table);
    if (ranks < 1 || ranks > kMostRanks)
        throw Error("cuda backend",
                    fmt::format("asked for {} ranks, has 1 to {}", ranks, kMostRanks));
    tplan_cuda_parts parts{};
    table.parts(&parts);
    if (parts.devices == 0) {
        throw Error("cuda backend",
                    fmt::format("{}; found: {}", parts.reason, cuda_parts_text(parts)),
                    "run on a machine with an NVIDIA driver, or use --backend cpu");
    }
    return std::make_unique<CudaBackend>(table, ranks, world);
}

std::unique_ptr<Backend> make_cuda_backend(int ranks, const World* world) {
    return make_cuda_backend(cuda_plugin(), ranks, world);
}

}  // namespace tplan::gpu
