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
    if (is_searched(options)) {
        degree.space = make_layout_space(model, options, dtype);
        return degree;
    }
    auto planned = make_plan(config, model, options);
    degree.feasibility = std::move(planned.feasibility);
    if (planned.plan) degree.program = lower(model, *planned.plan, dtype);
    return degree;
}

PricedDegree price_degree(const LoweredDegree& degree, const HardwareProfile& hardware,
                          const CostOptions& cost, const Workload& workload, Effort effort) {
    if (degree.space) {
        const auto found = search_layout(*degree.space, hardware, cost, workload, effort);
        return {found.totals, found.link, found.notes};
    }
    const auto compiled = compile(degree.program.value(), hardware, cost);
    return {price(compiled, workload), compiled.link, compiled.notes};
}

PlannedDegree plan_program(const ModelConfig& config, const Model& model,
                           const PlanOptions& options, const HardwareProfile& hardware,
                           const CostOptions& cost, const Workload& workload) {
    PlannedDegree result;
    if (is_searched(options)) {
        auto found = search_layout(model, options, hardware, cost, workload);
        result.program = {.model = std::move(found.laid_out.model),
                          .plan = std::move(found.laid_out.plan),
                          .program = std::move(found.program),
                          .totals = found.totals,
                          .layout = std::move(found.layout),
                          .certificate = std::move(found.certificate)};
        return result;
    }
    auto planned = make_plan(config, model, options);
    result.feasibility = std::move(planned.feasibility);
    if (!planned.plan) return result;
    auto& program = result.program.emplace();
    program.model = model;
    program.plan = std::move(*planned.plan);
    program.program = lower(model, program.plan, workload.dtype);
    program.totals = price(compile(program.program, hardware, cost), workload);
    return result;
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
