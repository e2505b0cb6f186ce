#include "app/study.h"

#include <algorithm>

#include "planner/lower.h"

namespace tplan {
namespace {

constexpr int kEveryDegreeTo = 8;

std::size_t at(int index) {
    return static_cast<std::size_t>(index);
}

/// 1 to 8, then doublings, all GPUs, and the degree in question.
std::vector<int> degrees_to_show(int most, int tp) {
    std::vector<int> degrees;
    for (int degree = 1; degree <= std::min(most, kEveryDegreeTo); ++degree)
        degrees.push_back(degree);
    for (int degree = 2 * kEveryDegreeTo; degree < most; degree *= 2) degrees.push_back(degree);
    for (const int degree : {most, tp}) {
        if (!std::ranges::count(degrees, degree)) degrees.push_back(degree);
    }
    std::ranges::sort(degrees);
    return degrees;
}

/// Calls `each(section, step, repeats)` for every step of the program.
template <class Each>
void for_each_step(const Program& program, const CompiledProgram& compiled, const Each& each) {
    for (std::size_t s = 0; s < program.sections.size(); ++s) {
        for (std::size_t i = 0; i < program.sections[s].steps.size(); ++i)
            each(static_cast<int>(s), static_cast<int>(i), compiled.sections[s].repeats);
    }
}

CurvePoint curve_point(const Lowering& lowered, int tp, const HardwareProfile& hardware,
                       const CostOptions& cost, const Workload& workload) {
    CurvePoint point;
    point.tp = tp;
    if (!lowered.program) {
        const auto& violations = lowered.feasibility.violations;
        point.reason = violations.empty() ? "infeasible" : violations.front().message;
        return point;
    }
    const auto compiled = compile(*lowered.program, hardware, cost);
    point.feasible = true;
    point.totals = price(compiled, workload);
    for_each_step(*lowered.program, compiled, [&](int section, int step, double repeats) {
        const auto priced = price_step(compiled, section, step, workload);
        const auto kind = lowered.program->sections[at(section)].steps[at(step)].kind;
        (is_collective(kind) ? point.transfer : point.work) +=
            (priced.time - priced.launch) * repeats;
        point.launch += priced.launch * repeats;
    });
    return point;
}

Curve make_curve(Degrees& degrees, const HardwareProfile& hardware, const PlanRequest& request,
                 const std::string& link, int most) {
    Curve curve;
    curve.link = link;
    auto cost = request.cost;
    cost.link = link;
    for (const int tp : degrees_to_show(most, request.plan.tp)) {
        auto& point = curve.points.emplace_back(
            curve_point(*lowering(degrees, tp), tp, hardware, cost, request.workload));
        if (!point.feasible || !point.totals.memory.fits) continue;
        const bool better =
            curve.best < 0 || point.totals.step < curve.points[at(curve.best)].totals.step;
        if (better) curve.best = static_cast<int>(curve.points.size()) - 1;
    }
    return curve;
}

std::string step_word(const Workload& workload) {
    return workload.phase == Phase::decode ? "a token" : "to the first token";
}

/// What a larger degree would change: "would save 1.2 ms of compute but add 1.9 ms of
/// communication".
std::string loss(const CurvePoint& from, const CurvePoint& to) {
    const auto compute = from.totals.compute - to.totals.compute;
    const auto transfer = to.totals.collective - from.totals.collective;
    if (!to.totals.memory.fits) return "would not fit";
    if (compute <= Seconds{})
        return fmt::format("would only add {} of communication", format_time(transfer));
    return fmt::format("would save {} of compute but add {} of communication", format_time(compute),
                       format_time(transfer));
}

/// What the last step up was worth.
std::string gain(const CurvePoint& from, const CurvePoint& to) {
    const auto compute = from.totals.compute - to.totals.compute;
    const auto transfer = to.totals.collective - from.totals.collective;
    return fmt::format("against TP {} it saves {} of compute for {} more communication", from.tp,
                       format_time(compute), format_time(transfer));
}

}  // namespace

Degrees degrees_of(ModelConfig config, const PlanOptions& options, DType dtype) {
    if (config.family.empty()) {
        throw Error(config.source + "/model_type",
                    fmt::format("tplan has no op graph for \"{}\"", config.model_type),
                    "`tplan inspect` still gives its verdict");
    }
    Degrees degrees;
    degrees.model = std::make_shared<const Model>(build_model(config));
    degrees.config = std::make_shared<const ModelConfig>(std::move(config));
    degrees.options = options;
    degrees.dtype = dtype;
    return degrees;
}

std::shared_ptr<const Lowering> lowering(Degrees& degrees, int tp) {
    auto& kept = degrees.lowered[tp];
    if (kept) return kept;
    auto options = degrees.options;
    options.tp = tp;
    auto made = std::make_shared<Lowering>();
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

const CurvePoint* point_at(const Curve& curve, int tp) {
    const auto found = std::ranges::find(curve.points, tp, &CurvePoint::tp);
    return found == curve.points.end() ? nullptr : &*found;
}

std::string answer_sentence(const Curve& curve, const Workload& workload,
                            const HardwareProfile& hardware) {
    const CurvePoint *base = nullptr, *largest = nullptr;
    for (const auto& point : curve.points) {
        if (!point.feasible) continue;
        if (!base) base = &point;
        largest = &point;
    }
    if (!base) return "No degree works: " + curve.points.front().reason + ".";
    if (curve.best < 0) {
        const auto& memory = largest->totals.memory;
        return fmt::format(
            "No degree fits: at TP {} each {} needs {} of the {} it may use; more GPUs "
            "or fewer bytes per weight would help.",
            largest->tp, hardware.name, format_bytes(memory.total), format_bytes(memory.capacity));
    }
    const auto& best = curve.points[at(curve.best)];
    const CurvePoint *before = nullptr, *after = nullptr;
    for (const auto& point : curve.points) {
        if (!point.feasible) continue;
        if (point.tp < best.tp) before = &point;
        if (point.tp > best.tp && !after) after = &point;
    }
    auto text = fmt::format("Use TP {} over {}: {} {}", best.tp, curve.link,
                            format_time(best.totals.step), step_word(workload));
    if (&best != base && base->totals.memory.fits)
        text += fmt::format(", {:.2f}x as fast as TP {}", base->totals.step / best.totals.step,
                            base->tp);
    const bool tight = before && !before->totals.memory.fits;
    if (after) {
        text += fmt::format(", because TP {} {}", after->tp, loss(best, *after));
    } else if (before && !tight) {
        text += fmt::format(
            ", because {}, and {}", gain(*before, best),
            best.tp >= hardware.devices ? "there are no more GPUs" : "no larger degree works");
    } else if (!before) {
        text += ", because no other degree works";
    }
    if (tight) {
        text += fmt::format("{} TP {} does not fit ({} of {})", after ? "; and" : ", because",
                            before->tp, format_bytes(before->totals.memory.total),
                            format_bytes(before->totals.memory.capacity));
    }
    return text + ".";
}

Study make_study(Degrees& degrees, std::shared_ptr<const HardwareProfile> hardware,
                 const PlanRequest& request, std::vector<std::string> links) {
    Study study;
    study.config = degrees.config;
    study.model = degrees.model;
    study.hardware = std::move(hardware);
    study.request = request;
    study.most = study.hardware->devices * request.cost.nodes;
    const int tp = request.plan.tp;
    if (tp < 1 || tp > study.most) {
        throw Error("--tp",
                    fmt::format("{} GPUs asked, {} has {}", tp, study.hardware->name, study.most),
                    fmt::format("give 1 to {}, or more nodes", study.most));
    }
    if (links.empty()) {
        for (const auto& link : study.hardware->links) links.emplace_back(name_of(link.kind));
    }
    auto& link = study.request.cost.link;
    if (link.empty()) link = links.front();
    const auto own = std::ranges::find(links, link);
    if (own == links.end()) {
        links.insert(links.begin(), link);
    } else {
        std::rotate(links.begin(), own, own + 1);
    }

    study.lowered = lowering(degrees, tp);
    const auto& workload = request.workload;
    if (const auto& program = study.lowered->program) {
        study.compiled = compile(*program, *study.hardware, study.request.cost);
        study.totals = price(study.compiled, workload);
        study.steps.resize(program->sections.size());
        for_each_step(*program, study.compiled, [&](int section, int step, double repeats) {
            study.steps[at(section)].push_back(
                {price_step(study.compiled, section, step, workload),
                 std::string(collective_algorithm(study.compiled, section, step, workload)),
                 repeats});
        });
    }
    for (const auto& name : links) {
        study.curves.push_back(
            make_curve(degrees, *study.hardware, study.request, name, study.most));
    }
    for (const auto& point : study.curves.front().points) {
        if (point.feasible) study.working.push_back(point.tp);
    }
    study.answer = answer_sentence(study.curves.front(), workload, *study.hardware);
    return study;
}

Study study_of(const PlanDocument& plan, const std::optional<Validation>& validation) {
    if (plan.request.training) {
        throw Error("plan/workload/phase", "reports and the window show serving only",
                    "`tplan plan` prints the cost of training, --json every step");
    }
    auto config = read_model_config(plan.model, "plan/model");
    config.source = plan.model_source;
    auto request = plan.request;
    request.plan.tp = plan.tp;
    request.workload = plan.workload;
    auto degrees = degrees_of(std::move(config), request.plan, plan.workload.dtype);
    auto study =
        make_study(degrees, std::make_shared<const HardwareProfile>(plan.hardware), request);
    study.validation = validation;
    return study;
}

}  // namespace tplan
