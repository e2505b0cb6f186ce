#include "app/study.h"

#include <algorithm>
#include <utility>

namespace tplan {
namespace {

constexpr int kEveryDegreeTo = 8;

std::size_t at(int index) {
    return static_cast<std::size_t>(index);
}

/// 1 to 8, then doublings, all GPUs, and the degree in question; that one alone on two kinds of
/// device, which the shares are for.
std::vector<int> degrees_to_show(const HardwareProfile& hardware, int most, int tp) {
    if (hardware.kinds) return {tp};
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

Curve make_curve(Degrees& degrees, const Circumstance& asked, const std::string& link, int most,
                 int tp) {
    Curve curve;
    curve.link = link;
    auto around = asked;
    around.cost.link = link;
    for (const int degree : degrees_to_show(*around.hardware, most, tp)) {
        const auto& point = curve.points.emplace_back(degree_point(degrees, degree, around));
        if (!point.feasible || !point.totals.memory.fits) continue;
        const auto faster = [&](int than) {
            return than < 0 || point.totals.step < curve.points[at(than)].totals.step;
        };
        const int own = static_cast<int>(curve.points.size()) - 1;
        if (faster(curve.best)) {
            curve.second = std::exchange(curve.best, own);
        } else if (faster(curve.second)) {
            curve.second = own;
        }
    }
    if (curve.second >= 0) {
        const auto kinds = [&](int index) { return curve.points[at(index)].totals.kinds; };
        curve.sure = probability_ahead(kinds(curve.best), 1, kinds(curve.second), 1);
    }
    return curve;
}

/// Transformers' own plan of the degree beside the one that was searched.
std::optional<HfComparison> beside_hf(Degrees& degrees, const Study& study) {
    if (study.lowered->layout.empty()) return std::nullopt;
    const auto& request = study.request;
    const auto hf = given_layout(degrees, request.plan.tp);
    return compare_with_hf(*study.lowered->program, hf->program, hf->feasibility, *study.hardware,
                           request.cost, request.workload);
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
    if (compute <= Seconds{} && transfer <= Seconds{}) return "would save nothing";
    if (compute <= Seconds{})
        return fmt::format("would only add {} of communication", format_time(transfer));
    return fmt::format("would save {} of compute but add {} of communication", format_time(compute),
                       format_time(transfer));
}

/// What the last step up was worth.
std::string gain(const CurvePoint& from, const CurvePoint& to) {
    const auto compute = from.totals.compute - to.totals.compute;
    const auto transfer = to.totals.collective - from.totals.collective;
    if (transfer <= Seconds{}) {
        return fmt::format("against TP {} it saves {} of compute and {} of communication", from.tp,
                           format_time(compute), format_time(Seconds{} - transfer));
    }
    return fmt::format("against TP {} it saves {} of compute for {} more communication", from.tp,
                       format_time(compute), format_time(transfer));
}

/// A loss that works on each rank's own part of the vocabulary gathers no logits: leaves the gather
/// out that serving's head ends with, where the training step's head has none.
void leave_out_gather(Study& study, const Program& training) {
    auto& kept = study.lowered->program;
    if (!kept || kept->sections.back().steps.empty()) return;
    const auto& last = kept->sections.back().steps.back();
    if (last.kind != OpKind::all_gather) return;
    for (const auto& section : training.sections) {
        if (std::ranges::count(section.steps, last.name, &Step::name)) return;
    }
    auto lowered = *study.lowered;
    lowered.program->sections.back().steps.pop_back();
    study.steps.back().pop_back();
    study.lowered = std::make_shared<const DegreeLayout>(std::move(lowered));
}

}  // namespace

const CurvePoint* point_at(const Curve& curve, int tp) {
    const auto found = std::ranges::find(curve.points, tp, &CurvePoint::tp);
    return found == curve.points.end() ? nullptr : &*found;
}

std::string answer_sentence(const Curve& curve, const Workload& workload,
                            const HardwareProfile& hardware) {
    const CurvePoint *first = nullptr, *base = nullptr, *largest = nullptr;
    for (const auto& point : curve.points) {
        if (!point.feasible) continue;
        if (!first) first = &point;
        if (!base || !base->totals.memory.fits) base = &point;
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
    if (&best != base) {
        text += fmt::format(", {:.2f}x as fast as TP {}", base->totals.step / best.totals.step,
                            base->tp);
        if (base != first) text += ", the smallest that fits";
    }
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
    if (curve.second >= 0 && curve.sure < kSure) {
        text += fmt::format("; TP {} is close: {:.0f} % sure that it is slower",
                            curve.points[at(curve.second)].tp, 100 * curve.sure);
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

    const Circumstance around{study.hardware, study.request.cost, request.workload};
    study.lowered = degree_layout(degrees, tp, around);
    const auto& workload = request.workload;
    if (const auto& program = study.lowered->program) {
        study.compiled = degree_compiled(degrees, tp, around);
        study.totals = degree_point(degrees, tp, around).totals;
        study.steps.resize(program->sections.size());
        for_each_step(*program, study.compiled, [&](int section, int step, double repeats) {
            study.steps[at(section)].push_back(
                {price_step(study.compiled, section, step, workload),
                 std::string(collective_algorithm(study.compiled, section, step, workload)),
                 repeats});
        });
    }
    for (const auto& name : links) {
        study.curves.push_back(make_curve(degrees, around, name, study.most, tp));
    }
    for (const auto& point : study.curves.front().points) {
        if (point.feasible) study.working.push_back(point.tp);
    }
    study.hf = beside_hf(degrees, study);
    study.answer = answer_sentence(study.curves.front(), workload, *study.hardware);
    return study;
}

Study study_of(const PlanDocument& plan, const std::optional<Validation>& validation) {
    auto request = plan.request;
    request.plan.tp = plan.tp;
    request.workload = plan.workload;
    const auto hardware = std::make_shared<const HardwareProfile>(plan.hardware);
    auto degrees = degrees_of(plan, hardware);
    if (request.training) {
        request.workload = degrees.around.workload;
        request.plan.layout = degrees.options.layout;
        request.training.reset();
    }
    auto study = make_study(degrees, hardware, request);
    if (plan.request.training) {
        leave_out_gather(study, plan.program);
        study.training = plan.predicted;
        study.answer = plan.why;
    }
    if (plan.shares) study.answer = plan.shares->sentence;
    study.kinds = plan.predicted.kinds;
    study.validation = validation;
    study.decision = plan.decision;
    return study;
}

}  // namespace tplan
