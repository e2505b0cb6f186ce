#include "executor/bare_product.h"

#include <array>
#include <cassert>

#include "core/error.h"
#include "executor/device_memory.h"
#include "executor/probe.h"

namespace tplan {
namespace {

/// Uploads numbers as the synthetic weights have them: kernels take their time on real ones.
Matrix filled(Backend& backend, std::vector<std::shared_ptr<void>>& memory, std::int64_t rows,
              std::int64_t columns) {
    Matrix m{nullptr, rows, columns, columns, DType::fp32};
    memory.push_back(device_memory(backend, 0, static_cast<std::size_t>(m.bytes())));
    m.data = memory.back().get();
    std::vector<float> numbers(static_cast<std::size_t>(m.elements()));
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        numbers[i] = static_cast<float>(i % 251) / 251.0F - 0.5F;
    }
    backend.upload(0, m, numbers.data());
    return m;
}

}  // namespace

std::vector<TimedSample> sample_bare_product(const GemmPoint& point, const std::string& backend,
                                             int reps) {
    assert(point.ranks == 1);
    const auto device = make_backend(backend, 1);
    const LinearShape shape{point.m, point.n, point.k, point.dtype};
    Step step;
    step.kind = OpKind::linear;
    step.n = point.n;
    step.k = point.k;
    if (const auto why = device->refusal(step, point.dtype); !why.empty()) {
        throw Error("bare product", why);
    }
    const auto copies = probe_of(point).program.order.size();
    std::vector<TimedSample> samples;
    device->on_ranks([&](int) {
        std::vector<std::shared_ptr<void>> memory;
        BoundStep bound;
        bound.step = &step;
        bound.inputs = {filled(*device, memory, point.m, point.k)};
        bound.outputs = {filled(*device, memory, point.m, point.n)};
        std::vector<BoundStep> calls(copies, bound);
        for (auto& call : calls) {
            std::vector<std::shared_ptr<void>> plain;
            const auto weights = filled(*device, plain, point.n, point.k);
            call.linear = device->pack(0, shape, weights, plain.back());
            device->prepare(0, call);
        }
        for (int rep = -1; rep < reps; ++rep) {  // the first warms up
            const auto before = device->record(0, true);
            for (const auto& call : calls) device->launch(0, call);
            device->synchronise(0);
            const std::array marks = {before, device->record(0, true)};
            if (rep < 0) continue;
            const auto whole = device->elapsed(0, marks).front();
            samples.push_back({Seconds(whole.seconds / static_cast<double>(copies)), whole.clean});
        }
    });
    return samples;
}

}  // namespace tplan
