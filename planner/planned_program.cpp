#include "planner/planned_program.h"

#include <algorithm>
#include <map>

#include "planner/lower.h"

namespace tplan {
namespace {

std::string cut_in_words(const ShardedTensor& tensor) {
    if (tensor.split.kind == SplitKind::whole) return "replicated";
    return fmt::format("cut along dimension {} ({})", tensor.split.dim, name_of(tensor.split.kind));
}

bool same_cut(const ShardedTensor& a, const ShardedTensor& b) {
    const auto parts = std::max(a.split.parts, b.split.parts);
    if (a.split.kind == SplitKind::whole || b.split.kind == SplitKind::whole)
        return a.split.kind == b.split.kind;
    if (a.split.dim != b.split.dim) return false;
    const auto n = a.shape[static_cast<std::size_t>(a.split.dim)];
    for (int rank = 0; rank < parts; ++rank) {
        if (slices(a.split, n, rank) != slices(b.split, n, rank)) return false;
    }
    return true;
}

/// "2 x all_reduce, 1 x all_gather" of one layer of every kind.
std::string collectives_in_words(const Program& program) {
    std::map<std::string, int> counts;
    for (const auto& section : program.sections) {
        if (section.layers.empty() || section.layers.front() < 0) continue;
        for (const auto& step : section.steps) {
            if (is_collective(step.kind))
                counts[std::string(name_of(step.kind))] += static_cast<int>(section.layers.size());
        }
    }
    std::vector<std::string> words;
    for (const auto& [name, count] : counts) words.push_back(fmt::format("{} x {}", count, name));
    return words.empty() ? "none" : join(words, ", ");
}

}  // namespace

LoweredDegree lower_degree(const ModelConfig& config, const Model& model,
                           const PlanOptions& options, DType dtype) {
    LoweredDegree degree;
    degree.model = &model;
    if (is_searched(options)) {
        degree.space = make_layout_space(model, options, dtype);
        return degree;
    }
    auto planned = make_plan(config, model, options);
    degree.feasibility = std::move(planned.feasibility);
    if (planned.plan) degree.program = lower(model, *planned.plan, dtype);
    degree.plan = std::move(planned.plan);
    return degree;
}

PricedDegree price_degree(const LoweredDegree& degree, const HardwareProfile& hardware,
                          const CostOptions& cost, const Workload& workload,
                          const SearchGoal& goal) {
    if (degree.space) {
        const auto found = search_layout(*degree.space, hardware, cost, workload, goal);
        return {found.totals, found.link, found.notes};
    }
    const auto compiled = compile(degree.program.value(), hardware, cost);
    return {price(compiled, workload), compiled.link, compiled.notes};
}

PlannedDegree plan_program(const LoweredDegree& degree, const HardwareProfile& hardware,
                           const CostOptions& cost, const Workload& workload,
                           const SearchGoal& goal) {
    PlannedDegree result{.program = {}, .feasibility = degree.feasibility};
    if (degree.space) {
        auto found = search_layout(*degree.space, hardware, cost, workload, goal);
        result.program = {.model = std::move(found.laid_out.model),
                          .plan = std::move(found.laid_out.plan),
                          .program = std::move(found.program),
                          .totals = found.totals,
                          .layout = std::move(found.layout),
                          .certificate = std::move(found.certificate)};
    } else if (degree.program) {
        result.program = {.model = *degree.model,
                          .plan = *degree.plan,
                          .program = *degree.program,
                          .totals = price(compile(*degree.program, hardware, cost), workload),
                          .layout = {},
                          .certificate = {}};
    }
    return result;
}

PlannedDegree plan_program(const ModelConfig& config, const Model& model,
                           const PlanOptions& options, const HardwareProfile& hardware,
                           const CostOptions& cost, const Workload& workload,
                           const SearchGoal& goal) {
    return plan_program(lower_degree(config, model, options, workload.dtype), hardware, cost,
                        workload, goal);
}

std::vector<std::string> differences(const Program& program, const Program& other) {
    std::vector<std::string> found;
    for (const auto& tensor : program.tensors) {
        const auto twin =
            std::find_if(other.tensors.begin(), other.tensors.end(),
                         [&](const ShardedTensor& t) { return t.name == tensor.name; });
        if (twin == other.tensors.end() || same_cut(tensor, *twin)) continue;
        auto line =
            fmt::format("{}: {}, there {}", tensor.name, cut_in_words(tensor), cut_in_words(*twin));
        if (std::find(found.begin(), found.end(), line) == found.end())
            found.push_back(std::move(line));
    }
    const auto own = collectives_in_words(program), theirs = collectives_in_words(other);
    if (own != theirs)
        found.push_back(fmt::format("collectives of all layers: {}, there {}", own, theirs));
    return found;
}

}  // namespace tplan
