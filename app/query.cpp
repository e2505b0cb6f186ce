#include "app/query.h"

#include "cost_model/mixed_hardware.h"
#include "planner/mixed_plan.h"
#include "planner/requirements.h"
#include "planner/train_plan.h"

namespace tplan {

std::optional<TpPlan> plan_by_hand(const ModelConfig& config, const std::string& file) {
    if (file.empty()) return std::nullopt;
    require_no_device_map(config);
    return read_tp_plan(file);
}

Resolved resolve(const Query& query) {
    Resolved resolved{load_model_config(query.model), load_group(query.hardware), query.request};
    require_graph(resolved.config);
    require_no_device_map(resolved.config);
    auto& request = resolved.request;
    if (!query.degree_given) request.plan.tp = resolved.hardware.devices;
    if (resolved.hardware.kinds) require_mixed(request, resolved.hardware, "");
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
    std::optional<MixedPlan> mixed;
    if (resolved.hardware.kinds)
        mixed = plan_mixed(resolved.config, model, request.plan, resolved.hardware, request.cost,
                           request.workload);
    auto planned = mixed ? std::move(mixed->planned)
                         : plan_program(resolved.config, model, request.plan, resolved.hardware,
                                        request.cost, request.workload);
    EstimateResult result{{}, std::move(planned.feasibility)};
    if (!planned.program) return result;
    auto options = request.plan;
    options.shares = planned.program->plan.options.shares;
    result.estimate = make_estimate(resolved.config.source, *planned.program, resolved.hardware,
                                    options, request.cost, request.workload);
    if (mixed) {
        auto& notes = result.estimate->notes;
        notes.insert(notes.begin(), mixed->decision.sentence);
    }
    return result;
}

}  // namespace tplan
