#include "executor/gpu/peer_copies.h"

#include <algorithm>
#include <cctype>
#include <chrono>

#include "core/error.h"
#include "core/text.h"
#include "executor/gpu/backend.h"
#include "executor/gpu/device.h"
#include "executor/gpu/steps.h"

namespace tplan::gpu {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kRepetitions = 4;
constexpr auto kFloats = static_cast<std::int64_t>(kPeerCopyBytes / sizeof(float));

/// A GPU with what it sends, its own pattern, and room for what it gets.
struct End {
    Device device;
    tplan_cuda_device facts{};
    std::shared_ptr<void> sent, got;
    ~End() {
        sent.reset();
        got.reset();
        if (device.context != nullptr) device.table->close(device.context);
    }
};

/// Whole numbers that fp32 holds; no two GPUs have the same.
float pattern(int gpu, std::int64_t i) {
    return static_cast<float>((i * 7 + gpu * 1009) % 65521);
}

tplan_matrix matrix_at(void* data) {
    return {data, 1, kFloats, kFloats, TPLAN_FP32};
}

void open(End& end, const tplan_cuda_v1& table, int gpu) {
    end.device = {&table, nullptr, gpu};
    const auto require_here = [gpu](const char* wrong, const char* doing) {
        if (wrong != nullptr)
            throw Error(fmt::format("GPU {}", gpu), fmt::format("{}: {}", doing, wrong));
    };
    require_here(table.device(gpu, &end.facts), "asking what it is");
    require_here(table.open(gpu, &end.device.context), "opening it");
    end.sent = device_bytes(end.device, kPeerCopyBytes);
    end.got = device_bytes(end.device, kPeerCopyBytes);
    std::vector<float> values(static_cast<std::size_t>(kFloats));
    for (std::int64_t i = 0; i < kFloats; ++i)
        values[static_cast<std::size_t>(i)] = pattern(gpu, i);
    const auto to = matrix_at(end.sent.get());
    require_here(table.upload(end.device.context, &to, values.data()), "writing to it");
}

std::string address_of(const tplan_cuda_device& facts) {
    std::string address(facts.pci);
    std::ranges::transform(address, address.begin(),
                           [](unsigned char c) { return std::tolower(c); });
    return address;
}

void measure(PeerCopy& copy, End& from, End& to) {
    const auto& table = *to.device.table;
    auto* const context = to.device.context;
    copy.direct = copy.direct && table.peer_access(context, copy.from) == nullptr;
    std::int64_t begin = 0, end = 0;
    for (int i = -1; i < kRepetitions; ++i) {  // the first one warms up
        if (i == 0) require(to.device, table.record(context, &begin), "recording an event");
        require(to.device,
                table.copy_peer(context, to.got.get(), from.device.context, from.sent.get(),
                                kPeerCopyBytes),
                fmt::format("copying from GPU {}", copy.from));
    }
    require(to.device, table.record(context, &end), "recording an event");
    require(to.device, table.synchronise(context), fmt::format("copying from GPU {}", copy.from));
    double seconds = 0;
    require(to.device, table.elapsed(context, begin, end, &seconds), "reading events");
    table.forget_events(context);
    if (seconds > 0)
        copy.bytes_per_s = kRepetitions * static_cast<double>(kPeerCopyBytes) / seconds;

    std::vector<float> values(static_cast<std::size_t>(kFloats));
    const auto got = matrix_at(to.got.get());
    require(to.device, table.download(context, values.data(), &got), "reading what arrived");
    for (std::int64_t i = 0; copy.right && i < kFloats; ++i)
        copy.right = values[static_cast<std::size_t>(i)] == pattern(copy.from, i);
}

}  // namespace

std::vector<PeerCopy> measure_peer_copies(const tplan_cuda_v1& table, double budget_s) {
    tplan_cuda_parts parts{};
    table.parts(&parts);
    const int gpus = parts.devices;
    if (gpus < 2) return {};
    std::vector<End> ends(static_cast<std::size_t>(gpus));
    for (int gpu = 0; gpu < gpus; ++gpu) open(ends[static_cast<std::size_t>(gpu)], table, gpu);
    const auto start = Clock::now();
    std::vector<PeerCopy> copies;
    for (int distance = 1; distance < gpus; ++distance) {
        for (int from = 0; from < gpus; ++from) {
            const int to = (from + distance) % gpus;
            auto& one = ends[static_cast<std::size_t>(from)];
            auto& other = ends[static_cast<std::size_t>(to)];
            auto& copy = copies.emplace_back();
            copy.from = from;
            copy.to = to;
            copy.address_from = address_of(one.facts);
            copy.address_to = address_of(other.facts);
            copy.direct = other.facts.can_access[from] != 0;
            const std::chrono::duration<double> used = Clock::now() - start;
            if (used.count() < budget_s) measure(copy, one, other);
        }
    }
    return copies;
}

std::vector<PeerCopy> measure_peer_copies(double budget_s) {
    return measure_peer_copies(cuda_plugin(), budget_s);
}

}  // namespace tplan::gpu
