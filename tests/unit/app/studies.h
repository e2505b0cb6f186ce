#pragma once
#include "app/study.h"

namespace tplan::test {

/// A study of a preset on a profile, decode, batch 8, context 4096. Under transformers' own plan
/// unless the layout is to be searched.
inline Study study_for(const std::string& model, const std::string& hardware, int tp,
                       Phase phase = Phase::decode, LayoutChoice layout = LayoutChoice::hf) {
    auto config = load_model_config(model);
    PlanRequest request;
    request.plan.tp = tp;
    request.plan.layout = layout;
    request.workload.phase = phase;
    request.workload.batch = 8;
    request.workload.context = 4096;
    request.workload.dtype = config.dtype;
    request.workload.kv_dtype = config.dtype;
    auto degrees = degrees_of(std::move(config), request.plan, request.workload.dtype);
    return make_study(degrees, std::make_shared<const HardwareProfile>(load_hardware(hardware)),
                      request);
}

}  // namespace tplan::test
