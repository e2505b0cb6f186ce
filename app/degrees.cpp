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

/// Whether what was folded with the machine still holds. Profiles are compared by identity: a
/// profile is never changed once it is shared.
bool same_machine(const Circumstance& a, const Circumstance& b) {
    auto cost = a.cost;
    cost.link = b.cost.link;
    return a.hardware == b.hardware && cost == b.cost;
}

const LayoutSpace& space_of(Degrees& degrees, int tp) {
    auto& space = degrees.spaces[tp];
    if (!space) {
        space = std::make_shared<const LayoutSpace>(
            make_layout_space(*degrees.model, options_at(degrees, tp), degrees.dtype));
    }
    return *space;
}

LayoutSearch& search_of(Degrees& degrees, int tp, const Circumstance& around) {
    auto& search = degrees.searches[{tp, around.cost.link}];
    if (!search.space)
        search = make_layout_search(space_of(degrees, tp), *around.hardware, around.cost);
    return search;
}

/// `totals` are those of the compiled program.
CurvePoint point_of(const Program& program, const CompiledProgram& compiled, const Totals& totals,
                    int tp, const Workload& workload) {
    CurvePoint point;
    point.tp = tp;
    point.feasible = true;
    point.totals = totals;
    for_each_step(program, compiled, [&](int section, int step, double repeats) {
        const auto cost = price_step(compiled, section, step, workload);
        const auto& steps = program.sections[static_cast<std::size_t>(section)].steps;
        const bool moves = is_collective(steps[static_cast<std::size_t>(step)].kind);
        (moves ? point.transfer : point.work) += (cost.time - cost.launch) * repeats;
        point.launch += cost.launch * repeats;
    });
    return point;
}

CurvePoint priced(const DegreeLayout& lowering, int tp, const Circumstance& around) {
    if (!lowering.program) {
        CurvePoint point;
        point.tp = tp;
        point.reason = first_message(lowering.feasibility);
        return point;
    }
    const auto compiled = compile(*lowering.program, *around.hardware, around.cost);
    return point_of(*lowering.program, compiled, price(compiled, around.workload), tp,
                    around.workload);
}

WorkedDegree searched(Degrees& degrees, int tp, const Circumstance& around, bool proof) {
    auto found = search_layout(search_of(degrees, tp, around), around.workload, {.proof = proof});
    const auto& worked = *found.worked;
    auto point = point_of(worked.program, worked.compiled, found.totals, tp, around.workload);
    return {std::move(found), nullptr, std::move(point)};
}

void settle(Degrees& degrees, const Circumstance& around) {
    const bool machine = same_machine(degrees.around, around);
    if (machine && degrees.around.workload == around.workload) return;
    degrees.worked.clear();
    if (!machine) degrees.searches.clear();
    degrees.around = around;
}

WorkedDegree& worked_degree(Degrees& degrees, int tp, const Circumstance& around, bool proof) {
    settle(degrees, around);
    auto& kept = degrees.worked[{tp, around.cost.link}];
    if (kept.lowering || (kept.found.worked && (kept.found.certificate || !proof))) return kept;
    if (is_searched(degrees.options)) {
        kept = searched(degrees, tp, around, proof);
    } else {
        kept.lowering = given_layout(degrees, tp);
        kept.point = priced(*kept.lowering, tp, around);
    }
    return kept;
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
    worked = {{}, made, priced(*made, plan.tp, around)};
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

const CurvePoint& degree_point(Degrees& degrees, int tp, const Circumstance& around) {
    return worked_degree(degrees, tp, around, false).point;
}

std::shared_ptr<const DegreeLayout> degree_layout(Degrees& degrees, int tp,
                                                  const Circumstance& around) {
    auto& kept = worked_degree(degrees, tp, around, true);
    if (kept.lowering) return kept.lowering;
    const auto& worked = *kept.found.worked;
    auto made = std::make_shared<DegreeLayout>();
    made->plan = worked.laid_out.plan;
    made->program = worked.program;
    made->layout = worked.layout;
    made->certificate = kept.found.certificate;
    kept.lowering = std::move(made);
    return kept.lowering;
}

CompiledProgram degree_compiled(Degrees& degrees, int tp, const Circumstance& around) {
    const auto& kept = worked_degree(degrees, tp, around, false);
    if (kept.found.worked) return kept.found.worked->compiled;
    return compile(kept.lowering->program.value(), *around.hardware, around.cost);
}

}  // namespace tplan
