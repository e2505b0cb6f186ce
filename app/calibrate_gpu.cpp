#include "app/calibrate_gpu.h"

#include "app/measure_points.h"
#include "core/text.h"
#include "cost_model/calibrate.h"
#include "executor/backend.h"

namespace tplan {
namespace {

constexpr Seconds kBudget{300}, kQuickBudget{60};
constexpr int kReps = 12;
/// Of one layer's keys and values: they are made on the host, layer by layer.
constexpr double kMostCacheBytes = 128e6;

/// Rows of decode and prefill against the matrices of models from one to some hundred billion
/// parameters, whole and cut.
std::vector<GemmPoint> products() {
    std::vector<GemmPoint> points;
    for (const std::int64_t m : {1, 8, 16, 32, 64, 128, 256, 512, 1024, 4096}) {
        for (const std::int64_t n : {1024, 2048, 4096, 8192, 14336}) {
            for (const std::int64_t k : {1024, 2048, 4096, 8192, 14336}) {
                if (n * k <= 8192 * 8192) points.push_back({DType::bf16, 1, m, n, k, {}});
            }
        }
    }
    return points;
}

std::vector<AttentionPoint> attention_cores() {
    constexpr std::int64_t kHeadDim = 128;
    std::vector<AttentionPoint> points;
    for (const std::int64_t heads : {8, 16, 32}) {
        const auto kv_heads = std::max<std::int64_t>(1, heads / 4);
        for (const std::int64_t tokens : {512, 1024, 2048, 4096, 8192})
            points.push_back({DType::bf16, 1, 1, tokens, tokens, heads, kv_heads, kHeadDim, {}});
        for (const std::int64_t batch : {1, 8, 32, 128}) {
            for (const std::int64_t context : {512, 2048, 8192, 32768}) {
                const auto bytes = 2.0 * 2 * static_cast<double>(batch * context * kv_heads) *
                                   static_cast<double>(kHeadDim);
                if (bytes <= kMostCacheBytes)
                    points.push_back(
                        {DType::bf16, 1, batch, 1, context, heads, kv_heads, kHeadDim, {}});
            }
        }
    }
    return points;
}

std::vector<CollectivePoint> collectives(int devices) {
    std::vector<CollectivePoint> points;
    for (int ranks = 2; ranks <= devices; ranks *= 2) {
        for (const auto op : {OpKind::all_reduce, OpKind::all_gather, OpKind::reduce_scatter}) {
            for (double bytes = 4096; bytes <= 256.0 * 1048576; bytes *= 4)
                points.push_back({op, CollectiveImpl::nccl, ranks, bytes, {}});
        }
    }
    return points;
}

}  // namespace

HardwareProfile calibrate_gpu(const CalibrateRequest& request, const std::string& date) {
    const auto backend = make_backend(request.backend, 1);
    const auto device = backend->device(0);
    if (request.hardware.empty()) {
        throw Error(
            "--hw",
            fmt::format("is missing: the profile that measured points of {} correct", device),
            "give the one of this device: " + join(hardware_names(), ", "));
    }
    auto base = load_hardware(request.hardware);
    if (base.backend != request.backend)
        throw Error("--hw " + request.hardware, "is not the profile of a GPU");
    Tables tables;
    tables.gemm = products();
    tables.attention = attention_cores();
    tables.collectives = collectives(backend->devices());
    const auto budget = request.budget > Seconds{} ? request.budget
                        : request.quick            ? kQuickBudget
                                                   : kBudget;
    measure_points(tables, request.backend, probe_setup(request.backend, base.l2_cache),
                   {1, kReps, budget}, request.progress, request.stop);
    const auto points = tables.gemm.size() + tables.attention.size() + tables.collectives.size();
    base.description = fmt::format("{} x {}, over {}", backend->devices(), device, base.name);
    base.name = "this-cuda";
    return with_tables(
        std::move(base), tables,
        {SourceKind::measured,
         fmt::format(
             "tplan calibrate --backend cuda: {} points within {}, median of {} replays; {}",
             points, format_time(budget), kReps, join(backend->notes(), "; ")),
         date});
}

}  // namespace tplan
