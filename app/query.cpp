#include "app/query.h"

#include "planner/planned_program.h"
#include "planner/requirements.h"
#include "planner/train_plan.h"

namespace tplan {

std::optional<TpPlan> plan_by_hand(const ModelConfig& config, const std::string& file) {
    if (file.empty()) return std::nullopt;
    require_no_device_map(config);
    return read_tp_plan(file);
}

Resolved resolve(const Query& query) {
    Resolved resolved{load_model_config(query.model), load_hardware(query.hardware), query.request};
    require_graph(resolved.config);
    require_no_device_map(resolved.config);
    auto& request = resolved.request;
    auto& workload = request.workload;
    workload.dtype = query.dtype.value_or(resolved.config.dtype);
    workload.kv_dtype = query.kv_dtype.value_or(workload.dtype);
    require_ranges(request, "");
    require_positions(resolved.config, workload);
    request.plan.tp_plan = plan_by_hand(resolved.config, query.tp_plan_file);
    require_devices(resolved.hardware, request.plan.tp, request.cost.nodes);
    return resolved;
}

EstimateResult estimate(const Resolved& resolved) {
    const auto& request = resolved.request;
    if (request.training) {
        auto trained = plan_training(resolved.config, resolved.hardware, request);
        EstimateResult result{{}, std::move(trained.feasibility)};
        if (!trained.training) return result;
        result.estimate = training_estimate(resolved.config.source, *trained.training,
                                            resolved.hardware, request);
        return result;
    }
    const auto model = build_model(resolved.config);
    auto planned = plan_program(resolved.config, model, request.plan, resolved.hardware,
                                request.cost, request.workload);
    EstimateResult result{{}, std::move(planned.feasibility)};
    if (!planned.program) return result;
    result.estimate = make_estimate(resolved.config.source, *planned.program, resolved.hardware,
                                    request.plan, request.cost, request.workload);
    return result;
}

}  // namespace tplan
