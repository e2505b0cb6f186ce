#include <algorithm>

#include "app/workspace.h"

namespace tplan {

std::vector<Problem> problems(const Workspace& workspace) {
    using Level = Problem::Level;
    std::vector<Problem> found;
    if (!workspace.error.empty()) found.push_back({Level::error, "error", workspace.error, {}, {}});
    if (!workspace.study) return found;
    const auto& study = *workspace.study;
    const int tp = study.request.plan.tp;
    const auto& violations = study.lowered->feasibility.violations;
    for (const auto& violation : violations) {
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
    if (study.totals && !study.totals->memory.fits) {
        const auto& memory = study.totals->memory;
        Problem problem{Level::error,
                        "does_not_fit",
                        fmt::format("{} of {} per GPU: {} over", format_bytes(memory.total),
                                    format_bytes(memory.capacity),
                                    format_bytes(memory.total - memory.capacity)),
                        {},
                        {}};
        for (const auto& point : study.curves.front().points) {
            if (!point.feasible || !point.totals.memory.fits) continue;
            problem.remedy = fmt::format("use TP {}", point.tp);
            problem.mend = Action{ActionKind::set_tp, {}, point.tp};
            break;
        }
        if (!problem.mend && memory.max_batch > 0) {
            problem.remedy = fmt::format("use batch {}", memory.max_batch);
            problem.mend = Action{ActionKind::set_batch, {}, memory.max_batch};
        } else if (!problem.mend && study.hardware->network) {
            const auto nodes = 2 * study.request.cost.nodes;
            problem.remedy = fmt::format("try {} nodes", nodes);
            problem.mend = Action{ActionKind::set_nodes, {}, nodes};
        }
        found.push_back(std::move(problem));
    }
    const auto& curve = study.curves.front();
    if (study.totals && curve.best >= 0) {
        const auto& best = curve.points[static_cast<std::size_t>(curve.best)];
        constexpr double kWorthSaying = 1.005;
        if (study.totals->memory.fits && study.totals->step / best.totals.step > kWorthSaying) {
            found.push_back({Level::warning, "not_the_best",
                             fmt::format("TP {} is {:.2f}x as fast", best.tp,
                                         study.totals->step / best.totals.step),
                             fmt::format("use TP {}", best.tp),
                             Action{ActionKind::set_tp, {}, best.tp}});
        }
    }
    if (study.lowered->program) {
        for (const auto& tensor : study.lowered->program->tensors) {
            const auto& split = tensor.split;
            const bool grouped = split.kind == SplitKind::grouped;
            if (!grouped && split.kind != SplitKind::covering) continue;
            const auto groups = tensor.shape[static_cast<std::size_t>(split.dim)] / split.unit;
            const bool works = std::ranges::count(study.working, groups) > 0;
            if (groups >= split.parts || !works) continue;
            found.push_back(
                {Level::warning, "kv_heads_copied",
                 fmt::format("{} KV heads over {} GPUs: each is held more than once, so "
                             "the KV cache no longer shrinks",
                             groups, split.parts),
                 fmt::format("use TP {}", groups), Action{ActionKind::set_tp, {}, groups}});
            break;
        }
    }
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
