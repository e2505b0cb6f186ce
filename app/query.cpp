#include "app/query.h"

#include "planner/planned_program.h"
#include "planner/requirements.h"

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
    require_ranges(resolved.request, "");
    require_positions(resolved.config, resolved.request.workload);
    auto& request = resolved.request;
    auto& workload = request.workload;
    if (workload.phase == Phase::train) {
        throw Error("--phase", "training is not modelled yet", "use prefill or decode");
    }
    workload.dtype = query.dtype.value_or(resolved.config.dtype);
    workload.kv_dtype = query.kv_dtype.value_or(workload.dtype);
    request.plan.tp_plan = plan_by_hand(resolved.config, query.tp_plan_file);
    require_devices(resolved.hardware, request.plan.tp, request.cost.nodes);
    return resolved;
}

EstimateResult estimate(const Resolved& resolved) {
    const auto model = build_model(resolved.config);
    const auto& request = resolved.request;
    auto planned = plan_program(resolved.config, model, request.plan, resolved.hardware,
                                request.cost, request.workload);
    EstimateResult result{{}, std::move(planned.feasibility)};
    if (!planned.program) return result;
    result.estimate = make_estimate(resolved.config.source, *planned.program, resolved.hardware,
                                    request.plan, request.cost, request.workload);
    return result;
}

}  // namespace tplan
