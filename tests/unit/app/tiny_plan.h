#pragma once
#include <string>

#include "app/run.h"
#include "tests/support/tiny_configs.h"

/// Plans of tiny models, and runs of them that take no time.

namespace tplan::test {

/// For two ranks, in fp32: two sequences of eight tokens. Under the model's own plan, which cuts
/// tiny models too, unless the layout is to be searched.
inline PlanDocument tiny_plan(const std::string& family, Phase phase,
                              LayoutChoice layout = LayoutChoice::hf) {
    const auto config = read_model_config(tiny_config(family), "tiny " + family);
    PlanRequest request;
    request.plan.tp = 2;
    request.plan.layout = layout;
    request.workload.phase = phase;
    request.workload.batch = 2;
    request.workload.input = 8;
    request.workload.context = 8;
    request.workload.dtype = request.workload.kv_dtype = DType::fp32;
    return *make_plan_document(config, load_hardware("h100-sxm"), request).document;
}

/// Three repetitions on the CPU.
inline RunRequest quick(Launcher launcher = Launcher::threads) {
    RunRequest request;
    request.backend = "cpu";
    request.launcher = launcher;
    request.warmup = 0;
    request.reps = 3;
    return request;
}

}  // namespace tplan::test
