#include <array>
#include <cassert>

#include "core/error.h"
#include "core/text.h"
#include "executor/backend.h"
#include "executor/cpu/backend.h"
#include "executor/gpu/backend.h"
#include "executor/world.h"

namespace tplan {
namespace {

struct BackendRow {
    std::string_view name;
    std::unique_ptr<Backend> (*make)(int ranks, const World*);  // throws Error when it cannot
};

/// The preferred first. CUDA only by name, until tests/cuda has passed on a device.
constexpr std::array kBackends = {
    BackendRow{"cpu", cpu::make_cpu_backend},
    BackendRow{"cuda", gpu::make_cuda_backend},
};

}  // namespace

const std::vector<std::string>& backend_names() {
    static const std::vector<std::string> kNames = [] {
        std::vector<std::string> names;
        for (const auto& row : kBackends) names.emplace_back(row.name);
        return names;
    }();
    return kNames;
}

std::unique_ptr<Backend> make_backend(std::string_view name, int ranks, const World* world) {
    // A program of one rank beside the run, such as its reference, is this process's alone.
    if (world != nullptr && world->size != ranks) world = nullptr;
    for (const auto& row : kBackends) {
        if (row.name == name) return row.make(ranks, world);
    }
    if (name != "auto") {
        throw Error("--backend", fmt::format("no backend is called \"{}\"", name),
                    fmt::format("choose auto or {}", fmt::join(backend_names(), ", ")));
    }
    std::string reasons;
    for (const auto& row : kBackends) {
        try {
            return row.make(ranks, world);
        } catch (const Error& error) {
            reasons += (reasons.empty() ? "" : "; ") + std::string(error.what());
        }
    }
    throw Error("--backend", "none works here: " + reasons);
}

double run_collective(Backend& backend, int rank, const BoundStep& step) {
    auto& group = backend.communicator(rank);
    const auto& in = step.inputs[0];
    const auto& out = step.outputs[0];
    const CollectiveTag tag{step.id, step.index, step.step->algorithm};
    double waited = 0;
    switch (step.step->kind) {
        case OpKind::all_reduce:
            for (std::size_t i = 0; i < step.inputs.size(); ++i)  // of parameters: one of each
                waited += group.all_reduce(step.inputs[i], step.outputs[i], tag);
            break;
        case OpKind::all_gather:
            waited = group.all_gather(in, step.from, out, tag);
            break;
        case OpKind::reduce_scatter:
            waited = group.reduce_scatter(in, out, step.to, tag);
            break;
        case OpKind::all_to_all:
            waited = group.all_to_all(in, step.from, out, step.to, step.width, tag);
            break;
        default:
            assert(!"not a collective");
    }
    if (step.bias.data != nullptr) backend.add_bias(rank, out, step.bias);
    for (const auto& bias : step.biases) {
        if (bias.data != nullptr) backend.add_bias(rank, out, bias);
    }
    return waited;
}

}  // namespace tplan
