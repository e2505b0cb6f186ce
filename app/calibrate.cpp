#include "app/calibrate.h"

#include <sys/utsname.h>

#include <algorithm>
#include <ctime>
#include <filesystem>

#include "app/calibrate_gpu.h"
#include "app/detect.h"
#include "app/measure_points.h"
#include "app/measured_tables.h"
#include "core/files.h"
#include "core/text.h"
#include "cost_model/calibrate.h"

namespace tplan {
namespace {

constexpr Rounds kQuick{2, 4}, kFull{6, 6};

/// What to measure on one number of ranks. Products cover the rows of decode and prefill and the
/// sides of layers from half a billion to some ten billion parameters; beyond them the model
/// extrapolates and says so.
Tables points_for(int ranks, int cores, bool quick, DType dtype) {
    Tables tables;
    const std::vector<std::int64_t> rows = quick
                                               ? std::vector<std::int64_t>{1, 16, 128}
                                               : std::vector<std::int64_t>{1, 4, 16, 64, 128, 512};
    const std::vector<std::int64_t> sides = quick
                                                ? std::vector<std::int64_t>{512, 1024, 3072}
                                                : std::vector<std::int64_t>{512, 1024, 2048, 4096};
    for (const auto m : rows) {
        for (const auto n : sides) {
            for (const auto k : sides) tables.gemm.push_back({dtype, ranks, m, n, k, {}});
        }
        tables.gemm.push_back({dtype, ranks, m, 16384, 1024, {}});
    }
    for (const std::int64_t heads : {4, 8, 16}) {
        const auto kv_heads = heads / 2;
        for (const std::int64_t tokens : {32, 128, 512}) {
            tables.attention.push_back(
                {DType::fp32, ranks, 1, tokens, tokens, heads, kv_heads, 128, {}});
        }
        for (const std::int64_t context : {128, 1024, 4096}) {
            for (const std::int64_t batch : {1, 16}) {
                tables.attention.push_back(
                    {DType::fp32, ranks, batch, 1, context, heads, kv_heads, 128, {}});
            }
        }
    }
    for (const auto op : {OpKind::norm, OpKind::add, OpKind::add_norm, OpKind::rope,
                          OpKind::activation, OpKind::embedding}) {
        for (const double bytes : {16e3, 256e3, 2e6, 16e6})
            tables.elementwise.push_back({op, ranks, bytes, {}});
    }
    if (ranks > 1 && ranks <= cores) {
        for (const auto op : {OpKind::all_reduce, OpKind::all_gather, OpKind::reduce_scatter}) {
            for (double bytes = 4096; bytes <= 16.0 * 1048576; bytes *= 4) {
                tables.collectives.push_back({op, CollectiveImpl::cpu_shm, ranks, bytes, {}});
            }
        }
    }
    return tables;
}

void append(Tables& all, const Tables& more) {
    all.gemm.insert(all.gemm.end(), more.gemm.begin(), more.gemm.end());
    all.attention.insert(all.attention.end(), more.attention.begin(), more.attention.end());
    all.elementwise.insert(all.elementwise.end(), more.elementwise.begin(), more.elementwise.end());
    all.collectives.insert(all.collectives.end(), more.collectives.begin(), more.collectives.end());
}

Bandwidth streaming_of(const Tables& tables, int ranks) {
    Bandwidth best;
    for (const auto& point : tables.gemm) {
        if (point.m == 1 && point.ranks == ranks) best = std::max(best, streaming_rate(point));
    }
    return best;
}

std::string machine_architecture() {
    utsname names{};
    return uname(&names) == 0 ? names.machine : "unknown";
}

std::string today() {
    const auto now = std::time(nullptr);
    char text[sizeof "2026-01-31"];
    std::strftime(text, sizeof text, "%Y-%m-%d", std::gmtime(&now));
    return text;
}

}  // namespace

HardwareProfile calibrate(const CalibrateRequest& request) {
    if (request.backend == "cuda") return calibrate_gpu(request, today());
    if (request.backend != "cpu")
        throw Error("--backend", fmt::format("\"{}\" is not one of cpu, cuda", request.backend));
    if (!request.hardware.empty() || request.budget > Seconds{})
        throw Error(request.hardware.empty() ? "--budget-s" : "--hw",
                    "goes with --backend cuda or --from: a CPU is measured whole");
    const auto machine = detect_machine();
    const auto rounds = request.quick ? kQuick : kFull;
    auto tables = points_for(1, machine.cores, request.quick, DType::fp32);
    for (int ranks = 2; ranks <= machine.cores; ranks *= 2) {
        append(tables, points_for(ranks, machine.cores, request.quick, DType::fp32));
    }
    const auto repeatability =
        measure_points(tables, request.backend, {}, rounds, request.progress, request.stop);

    MachineFacts facts;
    facts.name = "this-cpu";
    facts.description = machine.cpu;
    facts.backend = "cpu";
    facts.architecture = machine_architecture();
    facts.devices = machine.cores;
    facts.memory = machine.memory / machine.cores;
    facts.l2_cache = machine.l2_cache;
    facts.streaming = streaming_of(tables, machine.cores);
    facts.repeatability = repeatability;
    facts.method = fmt::format("tplan calibrate{}, {} rounds of {}, median of clean samples",
                               request.quick ? " --quick" : "", rounds.count, rounds.reps);
    facts.date = today();
    return fit_profile(facts, tables);
}

HardwareProfile lay_tables(const LayTablesRequest& request) {
    const auto base = load_hardware(request.hardware);
    const auto tables = read_measured_tables(request.files, request.system, base);
    std::vector<std::string> names;
    for (const auto& file : request.files)
        names.push_back(std::filesystem::path(file).filename().string());
    return with_tables(
        base, tables,
        {SourceKind::measured, "tplan calibrate --from " + join(names, " "), today()});
}

std::string tables_text(const HardwareProfile& hardware) {
    const auto& t = hardware.tables;
    auto text = fmt::format(
        "measured points: {} GEMM, {} attention, {} MoE, {} elementwise, {} collectives\n",
        t.gemm.size(), t.attention.size(), t.moe.size(), t.elementwise.size(),
        t.collectives.size());
    if (t.widths.empty()) return text;
    std::vector<std::vector<std::string>> rows{{"nine in ten left-out rows within", "dtype", "data",
                                                "m<=64 / prefill<4k", "64<m<1024 / prefill>=4k",
                                                "m>=1024 / decode"}};
    for (const auto& w : t.widths) {
        rows.push_back({std::string(name_of(w.op)), std::string(name_of(w.dtype)),
                        std::string(name_of(w.residency))});
        for (const double width : w.half_width)
            rows.back().push_back(width > 0 ? format_percent(width) : "");
    }
    text += "\n" + format_table(rows);
    return text;
}

std::string keep_profile(const HardwareProfile& profile) {
    auto path = calibrated_profile_path(profile.backend);
    std::error_code failed;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path(), failed);
    if (failed) throw Error(path, "its folder cannot be made: " + failed.message());
    write_file(path, json_text(profile));
    return path;
}

}  // namespace tplan
