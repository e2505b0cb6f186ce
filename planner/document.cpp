#include "planner/document.h"

#include <algorithm>
#include <functional>

#include "planner/lower.h"

namespace tplan {
namespace {

std::vector<ShardPiece> pieces_of(const Tensor& tensor, const Split& split, int rank) {
    std::vector<ShardPiece> pieces;
    if (split.kind == SplitKind::whole) {
        return {{tensor.shape, std::vector<std::int64_t>(tensor.shape.size(), 0)}};
    }
    const auto dim = static_cast<std::size_t>(split.dim);
    for (const auto& slice : slices(split, tensor.shape[dim], rank)) {
        auto& piece = pieces.emplace_back();
        piece.shape = tensor.shape;
        piece.shape[dim] = slice.extent;
        piece.offset.assign(tensor.shape.size(), 0);
        piece.offset[dim] = slice.offset;
    }
    return pieces;
}

/// A degree that can be planned, priced.
struct Candidate {
    int tp = 1;
    Program program;
    Totals totals;
    std::vector<std::string> notes;
};

/// Smaller is better. Memory asks for the fewest bytes on the fullest rank, throughput for tokens/s
/// per GPU.
double cost_of(const Candidate& candidate, Objective objective) {
    switch (objective) {
        case Objective::latency:
            return candidate.totals.step.value;
        case Objective::throughput:
            return -candidate.totals.tokens_per_s / candidate.tp;
        case Objective::memory:
            return candidate.totals.memory.total.value;
    }
    return 0;
}

std::string describe(const Candidate& candidate, Objective objective) {
    switch (objective) {
        case Objective::latency:
            return format_time(candidate.totals.step) + " a step";
        case Objective::throughput:
            return fmt::format("{:.0f} tokens/s per GPU",
                               candidate.totals.tokens_per_s / candidate.tp);
        case Objective::memory:
            return format_bytes(candidate.totals.memory.total) + " per GPU";
    }
    return {};
}

/// Why a candidate is out before objectives are compared; empty when it is in.
std::string refusal(const Candidate& candidate, const PlanRequest& request) {
    const auto& totals = candidate.totals;
    if (!totals.memory.fits) {
        return fmt::format("does not fit: needs {} of {} per GPU",
                           format_bytes(totals.memory.total), format_bytes(totals.memory.capacity));
    }
    const bool decode = request.workload.phase == Phase::decode;
    const auto& bound = decode ? request.max_tpot : request.max_ttft;
    if (bound.value && totals.step > *bound.value) {
        return fmt::format("{} is above the bound of {}", format_time(totals.step),
                           format_time(*bound.value));
    }
    return {};
}

std::string first_message(const Feasibility& feasibility) {
    return feasibility.violations.empty() ? "infeasible" : feasibility.violations.front().message;
}

std::vector<int> degrees_to_weigh(const PlanRequest& request, const HardwareProfile& hardware) {
    const int most = hardware.devices * request.cost.nodes;
    const int asked = request.gpus.value.value_or(request.plan.tp);
    if (asked < 1 || asked > most) {
        throw Error("--tp", fmt::format("{} GPUs asked, {} has {}", asked, hardware.name, most),
                    fmt::format("give 1 to {}, or more nodes with --nodes", most));
    }
    std::vector<int> degrees;
    for (int tp = 1; tp <= (request.gpus.value ? asked : std::max(asked, std::min(most, 8)));
         ++tp) {
        degrees.push_back(tp);
    }
    return degrees;
}

void note_of(Estimate& estimate, const HardwareProfile& hardware) {
    estimate.notes.emplace_back(
        "times are of an isolated step: queueing and mixed prefill/decode steps are not modelled "
        "yet");
    std::vector<std::string> assumed;
    for (const auto& [key, source] : hardware.sources) {
        if (source.kind == SourceKind::assumed) assumed.push_back(key);
    }
    if (!assumed.empty()) {
        estimate.notes.push_back("assumed figures in the profile: " + join(assumed, ", "));
    }
}

}  // namespace

std::vector<TensorShards> shard_tensors(const Model& model, const Plan& plan) {
    std::vector<TensorShards> all;
    for (const auto& use : model.sequence) {
        const auto at = static_cast<std::size_t>(use.block);
        const auto& block = model.blocks[at];
        for (std::size_t t = 0; t < block.tensors.size(); ++t) {
            const auto& tensor = block.tensors[t];
            if (tensor.tied || tensor.buffer) continue;
            const auto& cut = plan.tensors[at][t];
            auto& entry = all.emplace_back();
            entry.name = full_name(block, tensor, use.layer);
            entry.shape = tensor.shape;
            entry.dtype = tensor.dtype;
            entry.style = cut.style;
            for (int rank = 0; rank < plan.options.tp; ++rank) {
                entry.shards.push_back({rank, pieces_of(tensor, cut.split, rank)});
            }
        }
    }
    return all;
}

double weight_bytes_per_rank(const Model& model, const Plan& plan) {
    double bytes = 0;
    for (const auto& use : model.sequence) {
        const auto at = static_cast<std::size_t>(use.block);
        const auto& tensors = model.blocks[at].tensors;
        for (std::size_t t = 0; t < tensors.size(); ++t) {
            if (tensors[t].tied || tensors[t].buffer) continue;
            const auto& split = plan.tensors[at][t].split;
            double share = 1;
            if (split.kind != SplitKind::whole) {
                const auto n = tensors[t].shape[static_cast<std::size_t>(split.dim)];
                share = static_cast<double>(largest_extent(split, n)) / static_cast<double>(n);
            }
            bytes +=
                static_cast<double>(tensors[t].elements()) * share * bytes_of(tensors[t].dtype);
        }
    }
    return bytes;
}

Estimate make_estimate(const std::string& model, const Program& program,
                       const HardwareProfile& hardware, const PlanOptions& options,
                       const CostOptions& cost, const Workload& workload) {
    const auto compiled = compile(program, hardware, cost);
    const auto totals = price(compiled, workload);
    Estimate estimate;
    estimate.model = model;
    estimate.hardware = hardware.name;
    estimate.tp = program.tp;
    estimate.link =
        cost.link.empty() ? std::string(name_of(hardware.links.front().kind)) : cost.link;
    estimate.workload = workload;
    estimate.options = cost;
    estimate.layout = options.layout;
    estimate.kernels = options.kernels;
    estimate.step = totals.step;
    estimate.interval_90 = totals.interval_90;
    (workload.phase == Phase::decode ? estimate.tpot_isolated : estimate.ttft_isolated).value =
        totals.step;
    estimate.layer = totals.layer;
    estimate.compute = totals.compute;
    estimate.collective = totals.collective;
    estimate.exposed_collective = totals.exposed_collective;
    estimate.launch = totals.launch;
    estimate.tokens_per_s = totals.tokens_per_s;
    estimate.provenance = totals.provenance;
    estimate.domain = totals.domain;
    estimate.ops = expand(compiled, program, workload);
    estimate.memory = totals.memory;
    note_of(estimate, hardware);
    return estimate;
}

PlanResult make_plan_document(const ModelConfig& config, const HardwareProfile& hardware,
                              const PlanRequest& request) {
    if (config.device_map) {
        throw Error(config.source + "/device_map",
                    "device_map and a TP plan conflict at weight loading",
                    "drop device_map from the configuration to use tensor parallelism");
    }
    if (config.family.empty()) {
        throw Error(config.source + "/model_type",
                    fmt::format("tplan has no op graph for \"{}\"", config.model_type));
    }
    PlanResult result;
    const auto model = build_model(config);
    std::vector<Candidate> candidates;
    const bool weigh = request.gpus.value.has_value();
    for (const int tp : degrees_to_weigh(request, hardware)) {
        auto options = request.plan;
        options.tp = tp;
        auto planned = make_plan(config, model, options);
        if (tp == request.plan.tp || weigh) result.feasibility = planned.feasibility;
        if (!planned.plan) {
            result.alternatives.push_back(
                {tp, false, false, {}, first_message(planned.feasibility)});
            continue;
        }
        auto& candidate = candidates.emplace_back();
        candidate.tp = tp;
        candidate.program = lower(model, *planned.plan, request.workload.dtype);
        candidate.totals =
            price(compile(candidate.program, hardware, request.cost), request.workload);
        candidate.notes = planned.plan->notes;
    }

    const Candidate* chosen = nullptr;
    for (const auto& candidate : candidates) {
        if (weigh ? !refusal(candidate, request).empty() : candidate.tp != request.plan.tp)
            continue;
        if (!chosen ||
            cost_of(candidate, request.objective) < cost_of(*chosen, request.objective)) {
            chosen = &candidate;
        }
    }
    for (const auto& candidate : candidates) {
        if (&candidate == chosen) continue;
        auto reason = refusal(candidate, request);
        if (reason.empty() && chosen) {
            reason = fmt::format("{} against {} at TP {}", describe(candidate, request.objective),
                                 describe(*chosen, request.objective), chosen->tp);
        }
        result.alternatives.push_back(
            {candidate.tp, true, candidate.totals.memory.fits, {candidate.totals.step}, reason});
    }
    std::ranges::sort(result.alternatives, {}, &Alternative::tp);
    if (!chosen) {
        if (weigh && result.feasibility.violations.empty()) {
            result.feasibility.feasible = false;
            result.feasibility.violations.push_back(
                {"does_not_fit", config.model_type, "a degree that fits and meets the bounds",
                 fmt::format("none of 1..{}", *request.gpus.value),
                 "no degree fits in memory within the bounds; use more GPUs, a smaller batch or "
                 "context, or quantised weights"});
        }
        return result;
    }

    auto options = request.plan;
    options.tp = chosen->tp;
    const auto planned = make_plan(config, model, options);
    result.feasibility = planned.feasibility;
    auto& document = result.document.emplace();
    document.model_source = config.source;
    document.model = config.document;
    document.hardware = hardware;
    document.request = request;
    document.workload = request.workload;
    document.tp = chosen->tp;
    document.mesh.tp = chosen->tp;
    document.tensors = shard_tensors(model, *planned.plan);
    document.program = chosen->program;
    document.predicted = make_estimate(config.source, chosen->program, hardware, options,
                                       request.cost, request.workload);
    document.why = weigh ? fmt::format("TP {} has the best {} of the degrees 1..{} that fit: {}",
                                       chosen->tp, name_of(request.objective), *request.gpus.value,
                                       describe(*chosen, request.objective))
                         : fmt::format("TP {} was asked for: {}", chosen->tp,
                                       describe(*chosen, request.objective));
    document.alternatives = result.alternatives;
    document.diagnostics = chosen->notes;
    document.diagnostics.insert(document.diagnostics.end(), config.notes.begin(),
                                config.notes.end());
    document.diagnostics.insert(document.diagnostics.end(), model.notes.begin(), model.notes.end());
    return result;
}

}  // namespace tplan
