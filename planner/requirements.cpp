#include "planner/requirements.h"

#include <algorithm>
#include <cmath>

#include "planner/train_plan.h"

namespace tplan {
namespace {

/// "--memory-fraction", or "plan.json/request/cost/memory_fraction".
std::string place(const std::string& where, const std::string& group, std::string key) {
    if (!where.empty()) return where + "/" + (group.empty() ? key : group + "/" + key);
    std::ranges::replace(key, '_', '-');
    return "--" + key;
}

}  // namespace

void require_graph(const ModelConfig& config) {
    if (!config.family.empty()) return;
    throw Error(config.source + "/model_type",
                fmt::format("tplan has no op graph for \"{}\"", shown(config.model_type)),
                "`tplan inspect` still gives its verdict and divisibility; the rest needs one of " +
                    join(family_names(), ", "));
}

void require_no_device_map(const ModelConfig& config) {
    if (!config.device_map) return;
    throw Error(config.source + "/device_map",
                "device_map and a TP plan conflict at weight loading",
                "drop one of the two: device_map from the configuration, or the TP plan");
}

void require_positions(const ModelConfig& config, const Workload& workload) {
    const auto tokens = workload.cached_tokens();
    if (config.modules.positions.empty() || tokens <= config.max_positions) return;
    throw Error(workload.phase == Phase::decode  ? "--context"
                : workload.phase == Phase::train ? "--seq"
                                                 : "--input",
                fmt::format("{} tokens, but {} has a learned table of {} positions", tokens,
                            config.source, config.max_positions),
                fmt::format("give at most {}", config.max_positions));
}

void require_ranges(const PlanRequest& request, const std::string& where) {
    const auto size = [&](const char* group, const char* key, std::int64_t value,
                          std::int64_t most) {
        if (value >= 1 && value <= most) return;
        throw Error(place(where, group, key), fmt::format("{} is out of range", value),
                    fmt::format("give an integer from 1 to {}", most));
    };
    const auto number = [&](const char* key, double value, bool fits, const char* expected) {
        if (fits) return;
        throw Error(place(where, "cost", key), fmt::format("{} is out of range", value), expected);
    };
    size("plan", "tp", request.plan.tp, kMostCount);
    if (const auto& shares = request.plan.shares) {
        size("plan/shares", "ranks", shares->ranks, kMostCount);
        size("plan/shares", "first", shares->first, kMostCount);
        size("plan/shares", "rest", shares->rest, kMostCount);
    }
    if (request.gpus.value) size("", "gpus", *request.gpus.value, kMostCount);
    size("cost", "nodes", request.cost.nodes, kMostNodes);
    size("workload", "batch", request.workload.batch, kMostCount);
    size("workload", "input", request.workload.input, kMostCount);
    size("workload", "context", request.workload.context, kMostCount);
    const bool decode = request.workload.phase == Phase::decode;
    const auto computed = [&](const char* key, DType dtype) {
        if (is_stored_only(dtype))
            throw Error(place(where, "workload", key),
                        fmt::format("{} is a format of stored weights", name_of(dtype)),
                        "give one to compute in: fp32, fp16, bf16 or fp8");
    };
    computed("dtype", request.workload.dtype);
    computed("kv_dtype", request.workload.kv_dtype);
    const auto bound = [&](const char* key, const Nullable<Seconds>& seconds, bool applies,
                           const char* instead) {
        if (!seconds.value) return;
        const double value = seconds.value->value;
        if (!(value > 0 && std::isfinite(value)))
            throw Error(place(where, "", key), fmt::format("{} is out of range", value),
                        "give a number of seconds above 0");
        if (!applies)
            throw Error(place(where, "", key),
                        fmt::format("does not bound a {} step", name_of(request.workload.phase)),
                        instead);
    };
    bound("max_ttft_s", request.max_ttft, !decode,
          "give --max-tpot-s for decode, or --phase prefill");
    bound("max_tpot_s", request.max_tpot, decode,
          "give --max-ttft-s for prefill, or --phase decode");
    const double fraction = request.cost.memory_fraction;
    number("memory_fraction", fraction, fraction > 0 && fraction <= 1,
           "give a number above 0, up to 1");
    const double reserve = request.cost.reserve.value;
    number("reserve_bytes", reserve, reserve >= 0 && std::isfinite(reserve), "give zero or more");
    require_training(request, where);
}

}  // namespace tplan
