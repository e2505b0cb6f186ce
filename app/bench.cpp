#include "app/bench.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <utility>

#include "app/detect.h"
#include "core/statistics.h"
#include "executor/bare_product.h"
#include "executor/probe.h"
#include "planner/lower.h"
#include "planner/prediction.h"
#include "planner/search.h"

namespace tplan {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Lowered {
    ModelConfig config;
    Model model;
    PlanOptions options;

    explicit Lowered(const std::string& name)
        : config(load_model_config(name)), model(build_model(config)) {}
    Program program(int tp) {
        options.tp = tp;
        const auto planned = make_plan(config, model, options);
        return lower(model, *planned.plan, config.dtype);
    }
};

/// Prices llama-3.1-70b on h100-sxm at batches, contexts and degrees none of which comes twice,
/// memory and interval included, through the function `estimate` uses. Times are summed, so that no
/// call can be left out.
void bench_estimates(BenchDocument& document) {
    constexpr std::int64_t kBatches = 512, kContexts = 1024;
    Lowered lowered("llama-3.1-70b");
    const auto hardware = load_hardware("h100-sxm");
    std::vector<CompiledProgram> degrees;
    for (const int tp : {1, 2, 4, 8}) degrees.push_back(compile(lowered.program(tp), hardware, {}));
    Workload workload;
    Seconds sum;
    double fitting = 0;
    std::int64_t count = 0;
    const auto start = Clock::now();
    for (std::int64_t context = 1; context <= kContexts; ++context) {
        for (std::int64_t batch = 1; batch <= kBatches; ++batch) {
            workload.batch = batch;
            workload.context = 100 * context;
            const auto totals =
                price(degrees[static_cast<std::size_t>(count) % degrees.size()], workload);
            sum += totals.step + totals.interval_90[0];
            fitting += totals.memory.fits ? 1 : 0;
            ++count;
        }
    }
    document.estimates_per_s_per_core = static_cast<double>(count) / seconds_since(start);
    document.estimates = count;
    document.estimates_checksum_s = sum.value + fitting;
}

void bench_plan(BenchDocument& document) {
    Lowered lowered("llama-3.1-405b");
    std::vector<double> times;
    for (int rep = 0; rep < 9; ++rep) {
        const auto start = Clock::now();
        const auto program = lowered.program(8);
        times.push_back(seconds_since(start));
        if (program.sections.empty()) throw Error("bench", "the plan of llama-3.1-405b is empty");
    }
    document.plan_s = quantile(times, 0.5);
}

double median_seconds(int reps, const std::function<void()>& work) {
    std::vector<double> times;
    for (int rep = 0; rep < reps; ++rep) {
        const auto start = Clock::now();
        work();
        times.push_back(seconds_since(start));
    }
    std::ranges::sort(times);
    return times[times.size() / 2];
}

/// From the model to the proven plan: space, prices, solution, program and certificate.
void bench_search(BenchDocument& document) {
    constexpr int kMost = 16;
    Lowered lowered("llama-3.1-405b");
    const auto hardware = load_hardware("h100-sxm");
    const CostOptions cost{.nodes = 2};
    Workload workload;
    workload.batch = 16;
    lowered.options.tp = 8;
    document.search_s = median_seconds(9, [&] {
        const auto found = search_layout(lowered.model, lowered.options, hardware, cost, workload);
        if (found.certificate.gap > 0) throw Error("bench", "the search left a gap");
    });
    document.search_all_s = median_seconds(3, [&] {
        for (lowered.options.tp = 1; lowered.options.tp <= kMost; ++lowered.options.tp) {
            const auto space =
                make_layout_space(lowered.model, lowered.options, lowered.config.dtype);
            for (const auto& link : hardware.links) {
                auto over = cost;
                over.link = name_of(link.kind);
                const auto found = search_layout(space, hardware, over, workload);
                if (found.layout.empty()) throw Error("bench", "no layout");
            }
        }
    });
}

/// The executor's linears against the library alone, on the products of a layer of qwen3-0.6b and
/// of its halves. Both take turns, so that what disturbs one disturbs the other.
double executor_vs_library() {
    constexpr int kRounds = 3, kReps = 5;
    double log_ratio = 0;
    int shapes = 0;
    for (const std::int64_t m : {16, 128}) {
        for (const auto& [n, k] : {std::pair<std::int64_t, std::int64_t>{4096, 1024},
                                   {1024, 2048},
                                   {6144, 1024},
                                   {1024, 3072},
                                   {2048, 1024},
                                   {1024, 1536}}) {
            const GemmPoint point{DType::fp32, 1, m, n, k, {}};
            std::vector<TimedSample> executor, library;
            for (int round = 0; round < kRounds; ++round) {
                const auto ours = sample(probe_of(point), "cpu", kReps);
                const auto alone = sample_bare_product(point, "cpu", kReps);
                executor.insert(executor.end(), ours.begin(), ours.end());
                library.insert(library.end(), alone.begin(), alone.end());
            }
            log_ratio += std::log(spread_of(library).median / spread_of(executor).median);
            ++shapes;
        }
    }
    return std::exp(log_ratio / shapes);
}

void bench_executor(BenchDocument& document) {
    constexpr int kReps = 20;
    document.executor_vs_library = executor_vs_library();
    const CollectivePoint all_reduce{OpKind::all_reduce, CollectiveImpl::cpu_shm, 2, 65536, {}};
    document.all_reduce_64k_s = spread_of(sample(probe_of(all_reduce), "cpu", kReps)).median.value;
}

}  // namespace

BenchDocument bench(BenchPart part) {
    BenchDocument document;
    const auto machine = detect_machine();
    document.machine = fmt::format("{}, {} cores", machine.cpu, machine.cores);
    if (part == BenchPart::all || part == BenchPart::estimates) {
        bench_estimates(document);
        bench_plan(document);
    }
    if (part == BenchPart::all || part == BenchPart::search) bench_search(document);
    if (part == BenchPart::all || part == BenchPart::executor) bench_executor(document);
    return document;
}

std::string bench_text(const BenchDocument& document) {
    std::vector<std::vector<std::string>> rows{{"what", "figure"}};
    if (document.estimates_per_s_per_core) {
        rows.push_back({"estimates per second per core", format_count(static_cast<std::int64_t>(
                                                             *document.estimates_per_s_per_core))});
        rows.push_back({"distinct inputs priced", format_count(*document.estimates)});
    }
    if (document.search_s) {
        rows.push_back({"fastest layout of llama-3.1-405b, TP 8, with proof",
                        format_time(Seconds(*document.search_s))});
        rows.push_back({"the same for TP 1..16 over both links",
                        format_time(Seconds(*document.search_all_s))});
    }
    if (document.plan_s)
        rows.push_back(
            {"plan and lower llama-3.1-405b, TP 8", format_time(Seconds(*document.plan_s))});
    if (document.all_reduce_64k_s)
        rows.push_back({"all-reduce of 64 KiB over two ranks",
                        format_time(Seconds(*document.all_reduce_64k_s))});
    if (document.executor_vs_library)
        rows.push_back({"executor's linears against the library alone",
                        fmt::format("{:.2f}", *document.executor_vs_library)});
    return format_table(rows) + document.machine + "\n";
}

}  // namespace tplan
