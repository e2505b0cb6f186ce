#include "app/degrees.h"

#include "planner/lower.h"
#include "planner/requirements.h"
#include "planner/train_plan.h"

namespace tplan {
namespace {

PlanOptions options_at(const Degrees& degrees, int tp) {
    auto options = degrees.options;
    options.tp = tp;
    return options;
}

/// Whether what was worked out still holds. Profiles are compared by identity: a profile is never
/// changed once it is shared.
bool same(const Circumstance& a, const Circumstance& b) {
    auto cost = a.cost;
    cost.link = b.cost.link;
    return a.hardware == b.hardware && cost == b.cost && a.workload == b.workload;
}

const LayoutSpace& space_of(Degrees& degrees, int tp) {
    auto& space = degrees.spaces[tp];
    if (!space) {
        space = std::make_shared<const LayoutSpace>(
            make_layout_space(*degrees.model, options_at(degrees, tp), degrees.dtype));
    }
    return *space;
}

CurvePoint priced(const DegreeLayout& lowering, int tp, const Circumstance& around) {
    CurvePoint point;
    point.tp = tp;
    if (!lowering.program) {
        point.reason = first_message(lowering.feasibility);
        return point;
    }
    const auto compiled = compile(*lowering.program, *around.hardware, around.cost);
    point.feasible = true;
    point.totals = price(compiled, around.workload);
    for_each_step(*lowering.program, compiled, [&](int section, int step, double repeats) {
        const auto cost = price_step(compiled, section, step, around.workload);
        const auto& steps = lowering.program->sections[static_cast<std::size_t>(section)].steps;
        const bool moves = is_collective(steps[static_cast<std::size_t>(step)].kind);
        (moves ? point.transfer : point.work) += (cost.time - cost.launch) * repeats;
        point.launch += cost.launch * repeats;
    });
    return point;
}

WorkedDegree searched(Degrees& degrees, int tp, const Circumstance& around) {
    auto found =
        search_layout(space_of(degrees, tp), *around.hardware, around.cost, around.workload);
    auto made = std::make_shared<DegreeLayout>();
    made->plan = std::move(found.laid_out.plan);
    made->program = std::move(found.program);
    made->layout = std::move(found.layout);
    made->certificate = std::move(found.certificate);
    WorkedDegree worked{made, priced(*made, tp, around)};
    worked.point.totals.memory = found.totals.memory;  // whose largest batch is the degree's
    return worked;
}

void settle(Degrees& degrees, const Circumstance& around) {
    if (same(degrees.around, around)) return;
    degrees.worked.clear();
    degrees.around = around;
}

}  // namespace

Degrees degrees_of(ModelConfig config, const PlanOptions& options, DType dtype) {
    require_graph(config);
    Degrees degrees;
    degrees.model = std::make_shared<const Model>(build_model(config));
    degrees.config = std::make_shared<const ModelConfig>(std::move(config));
    degrees.options = options;
    degrees.dtype = dtype;
    return degrees;
}

Degrees degrees_of(const PlanDocument& plan, std::shared_ptr<const HardwareProfile> hardware) {
    auto config = read_model_config(plan.model, "plan/model");
    config.source = plan.model_source;
    auto degrees = degrees_of(std::move(config), plan.request.plan, plan.workload.dtype);
    Circumstance around{std::move(hardware), plan.request.cost, plan.workload};
    if (around.cost.link.empty()) around.cost.link = name_of(around.hardware->links.front().kind);
    if (plan.request.training) {
        degrees.model = std::make_shared<const Model>(planned_model(*degrees.config, plan.request));
        around.workload.phase = Phase::prefill;
        if (!plan.layout) degrees.options.layout = LayoutChoice::hf;
    }
    settle(degrees, around);
    if (!plan.layout) return degrees;
    auto laid_out = apply_layout(*degrees.model, options_at(degrees, plan.tp), *plan.layout);
    auto made = std::make_shared<DegreeLayout>();
    made->program = lower(laid_out.model, laid_out.plan, degrees.dtype);
    made->plan = std::move(laid_out.plan);
    made->layout = *plan.layout;
    made->certificate = plan.certificate;
    auto& worked = degrees.worked[{plan.tp, around.cost.link}];
    worked = {made, priced(*made, plan.tp, around)};
    worked.point.totals.memory = plan.predicted.memory;
    return degrees;
}

std::shared_ptr<const DegreeLayout> given_layout(Degrees& degrees, int tp) {
    auto& kept = degrees.given[tp];
    if (kept) return kept;
    auto options = options_at(degrees, tp);
    if (!options.tp_plan) options.layout = LayoutChoice::hf;
    auto made = std::make_shared<DegreeLayout>();
    auto planned = make_plan(*degrees.config, *degrees.model, options);
    made->feasibility = std::move(planned.feasibility);
    if (planned.plan) {
        made->program = lower(*degrees.model, *planned.plan, degrees.dtype);
        made->plan = std::move(planned.plan);
    } else {
        made->plan = assign(*degrees.config, *degrees.model, options);
    }
    kept = std::move(made);
    return kept;
}

const WorkedDegree& worked_degree(Degrees& degrees, int tp, const Circumstance& around) {
    settle(degrees, around);
    auto& kept = degrees.worked[{tp, around.cost.link}];
    if (!kept.lowering) {
        if (is_searched(degrees.options)) {
            kept = searched(degrees, tp, around);
        } else {
            kept.lowering = given_layout(degrees, tp);
            kept.point = priced(*kept.lowering, tp, around);
        }
    }
    return kept;
}

}  // namespace tplan
