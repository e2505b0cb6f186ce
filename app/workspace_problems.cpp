#include <algorithm>

#include "app/workspace.h"

namespace tplan {

namespace {

using Level = Problem::Level;

/// Of a degree that does not work: the largest one below that does.
void add_violations(std::vector<Problem>& found, const Study& study) {
    const int tp = study.request.plan.tp;
    for (const auto& violation : study.lowered->feasibility.violations) {
        Problem problem{Level::error, violation.code, violation.message, {}, {}};
        int nearest = 0;
        for (const int degree : study.working) {
            if (degree < tp || nearest == 0) nearest = degree;
        }
        if (nearest > 0) {
            problem.remedy = fmt::format("use TP {}", nearest);
            problem.mend = Action{ActionKind::set_tp, {}, nearest};
        }
        found.push_back(std::move(problem));
    }
}

/// The smallest degree that fits; else the largest batch that does; else more nodes.
void propose_fit(Problem& problem, const Study& study) {
    for (const auto& point : study.curves.front().points) {
        if (!point.feasible || !point.totals.memory.fits) continue;
        problem.remedy = fmt::format("use TP {}", point.tp);
        problem.mend = Action{ActionKind::set_tp, {}, point.tp};
        return;
    }
    if (const auto batch = study.totals->memory.max_batch; batch > 0) {
        problem.remedy = fmt::format("use batch {}", batch);
        problem.mend = Action{ActionKind::set_batch, {}, batch};
    } else if (study.hardware->network) {
        const auto nodes = 2 * study.request.cost.nodes;
        problem.remedy = fmt::format("try {} nodes", nodes);
        problem.mend = Action{ActionKind::set_nodes, {}, nodes};
    }
}

void add_misfit(std::vector<Problem>& found, const Study& study) {
    if (!study.totals || study.totals->memory.fits) return;
    const auto& memory = study.totals->memory;
    Problem problem{
        Level::error,
        "does_not_fit",
        fmt::format("{} of {} per GPU: {} over", format_bytes(memory.total),
                    format_bytes(memory.capacity), format_bytes(memory.total - memory.capacity)),
        {},
        {}};
    propose_fit(problem, study);
    found.push_back(std::move(problem));
}

void add_faster_degree(std::vector<Problem>& found, const Study& study) {
    const auto& curve = study.curves.front();
    if (!study.totals || !study.totals->memory.fits || curve.best < 0) return;
    const auto& best = curve.points[static_cast<std::size_t>(curve.best)];
    constexpr double kWorthSaying = 1.005;
    const double ratio = study.totals->step / best.totals.step;
    if (ratio <= kWorthSaying) return;
    found.push_back({Level::warning, "not_the_best",
                     fmt::format("TP {} is {:.2f}x as fast", best.tp, ratio),
                     fmt::format("use TP {}", best.tp), Action{ActionKind::set_tp, {}, best.tp}});
}

void add_copied_heads(std::vector<Problem>& found, const Study& study) {
    if (!study.lowered->program) return;
    for (const auto& tensor : study.lowered->program->tensors) {
        const auto& split = tensor.split;
        const bool grouped = split.kind == SplitKind::grouped;
        if (!grouped && split.kind != SplitKind::covering) continue;
        const auto groups = tensor.shape[static_cast<std::size_t>(split.dim)] / split.unit;
        const bool works = std::ranges::count(study.working, groups) > 0;
        if (groups >= split.parts || !works) continue;
        found.push_back({Level::warning, "kv_heads_copied",
                         fmt::format("{} KV heads over {} GPUs: each is held more than once, so "
                                     "the KV cache no longer shrinks",
                                     groups, split.parts),
                         fmt::format("use TP {}", groups), Action{ActionKind::set_tp, {}, groups}});
        return;
    }
}

}  // namespace

std::vector<Problem> problems(const Workspace& workspace) {
    std::vector<Problem> found;
    if (!workspace.error.empty()) found.push_back({Level::error, "error", workspace.error, {}, {}});
    if (!workspace.study) return found;
    const auto& study = *workspace.study;
    add_violations(found, study);
    add_misfit(found, study);
    add_faster_degree(found, study);
    add_copied_heads(found, study);
    for (const auto* notes : {&study.lowered->feasibility.notes, &study.compiled.notes,
                              &study.model->notes, &study.config->notes}) {
        for (const auto& note : *notes) {
            if (std::ranges::count(found, note, &Problem::text) == 0)
                found.push_back({Level::note, "note", note, {}, {}});
        }
    }
    return found;
}

}  // namespace tplan
