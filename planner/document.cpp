#include "planner/document.h"

#include <algorithm>
#include <cmath>

#include "cost_model/collectives.h"
#include "planner/requirements.h"
#include "planner/train_plan.h"

namespace tplan {
namespace {

/// Names in every collective step the algorithm that its price assumes.
void name_algorithms(Program& program, const CompiledProgram& compiled, const Workload& workload) {
    for (std::size_t s = 0; s < program.sections.size(); ++s) {
        auto& steps = program.sections[s].steps;
        for (std::size_t i = 0; i < steps.size(); ++i) {
            const auto name =
                collective_algorithm(compiled, static_cast<int>(s), static_cast<int>(i), workload);
            if (!name.empty()) steps[i].algorithm = name;
        }
    }
}

std::vector<int> degrees_to_weigh(const PlanRequest& request, const HardwareProfile& hardware) {
    const int most = hardware.devices * request.cost.nodes;
    const int asked = request.gpus.value.value_or(request.plan.tp);
    require_devices(hardware, asked, request.cost.nodes, request.gpus.value ? "--gpus" : "--tp");
    if (hardware.kinds) return {asked};
    std::vector<int> degrees;
    for (int tp = 1; tp <= (request.gpus.value ? asked : std::max(asked, std::min(most, 8)));
         ++tp) {
        degrees.push_back(tp);
    }
    return degrees;
}

std::string describe(const HfComparison& hf, Seconds step) {
    if (!hf.feasible) return "; transformers' own plan does not work here: " + hf.reason;
    if (!*hf.fits.value) return "; transformers' own plan " + hf.reason;
    if (hf.differences.empty()) return "; transformers' own plan is the same";
    return fmt::format("; transformers' own plan takes {} a step ({:+.1f} %)",
                       format_time(*hf.step.value), 100 * (*hf.step.value / step - 1));
}

/// Why this degree; that it does not fit comes first.
std::string reason_of(const Candidate& chosen, const PlanRequest& request) {
    if (request.gpus.value)
        return fmt::format("TP {} {} of the degrees 1..{} that fit: {}", chosen.tp,
                           is_best(request.objective), *request.gpus.value,
                           describe(chosen, request.objective));
    const auto fault = refusal(chosen.totals(), request);
    return fmt::format("TP {} was asked for{}: {}", chosen.tp, fault.empty() ? "" : " and " + fault,
                       describe(chosen, request.objective));
}

/// Is no parameter and no work cut anywhere?
bool replicates_all(const std::vector<BlockLayout>& layout) {
    return std::ranges::all_of(layout, [](const BlockLayout& entry) {
        return std::ranges::all_of(entry.ops,
                                   [](const auto& op) { return op.second == "replicated"; });
    });
}

void fill_document(PlanResult& result, const ModelConfig& config, const Model& model,
                   const HardwareProfile& hardware, const PlanRequest& request,
                   const Candidate& chosen) {
    auto options = request.plan;
    options.tp = chosen.tp;
    const auto& planned = chosen.planned;
    options.shares = planned.plan.options.shares;
    auto& document =
        result.document.emplace(document_of(config, hardware, request, {.tp = chosen.tp}, planned));
    document.predicted =
        make_estimate(config.source, planned, hardware, options, request.cost, request.workload);
    document.why = reason_of(chosen, request);
    if (planned.certificate) {
        document.layout = planned.layout;
        document.certificate = planned.certificate;
        options.layout = LayoutChoice::hf;
        const auto hf = lower_degree(config, model, options, request.workload.dtype);
        document.hf = compare_with_hf(planned.program, hf.program, hf.feasibility, hardware,
                                      request.cost, request.workload);
        if (chosen.tp > 1 && replicates_all(planned.layout))
            document.why +=
                "; nothing is cut: at this size an all-reduce costs more than cutting the work "
                "saves, so that every rank does all of it";
        if (chosen.tp > 1) document.why += describe(*document.hf, planned.totals.step);
    }
    document.alternatives = result.alternatives;
    if (const auto fault = refusal(chosen.totals(), request); !fault.empty())
        document.diagnostics.push_back(fmt::format("TP {} {}", chosen.tp, fault));
    append_notes(document, config, planned);
}

}  // namespace

PlanDocument document_of(const ModelConfig& config, const HardwareProfile& hardware,
                         const PlanRequest& request, const Mesh& mesh,
                         const PlannedProgram& planned) {
    PlanDocument document;
    document.model_source = config.source;
    document.model = config.document;
    document.hardware_source = hardware.origin;
    document.hardware = hardware;
    document.request = request;
    document.request.plan.tp = mesh.tp;  // chosen, where it was not asked for
    document.request.plan.shares = planned.plan.options.shares;
    document.workload = request.workload;
    document.tp = mesh.tp;
    document.mesh = mesh;
    document.tensors = shard_tensors(planned.model, planned.plan);
    document.program = planned.program;
    name_algorithms(document.program, compile(planned.program, hardware, request.cost),
                    request.workload);
    return document;
}

void append_notes(PlanDocument& document, const ModelConfig& config,
                  const PlannedProgram& planned) {
    auto& all = document.diagnostics;
    for (const auto* notes : {&planned.plan.notes, &config.notes, &planned.model.notes})
        all.insert(all.end(), notes->begin(), notes->end());
}

HfComparison compare_with_hf(const Program& own, const std::optional<Program>& hf,
                             const Feasibility& feasibility, const HardwareProfile& hardware,
                             const CostOptions& cost, const Workload& workload) {
    HfComparison comparison;
    if (!hf) {
        comparison.reason = first_message(feasibility);
        return comparison;
    }
    const auto totals = price(compile(*hf, hardware, cost), workload);
    comparison.feasible = true;
    comparison.step.value = totals.step;
    comparison.fits.value = totals.memory.fits;
    if (!totals.memory.fits) comparison.reason = does_not_fit(totals.memory);
    comparison.differences = differences(own, *hf);
    return comparison;
}

namespace {

Candidate make_candidate(int tp, PlannedDegree planned, const PlanRequest& request) {
    Candidate candidate{tp, replicas_of(tp, request), std::move(*planned.program),
                        std::move(planned.feasibility)};
    candidate.tokens_per_s_per_gpu = tokens_per_s_per_gpu(candidate.totals(), tp, request);
    return candidate;
}

/// The comparison with pipeline stages: each works on a batch of its own, so that a token passes
/// all of them and the hops between, while the weights of a stage are a share of all.
std::vector<Alternative> pipelines(const std::vector<Candidate>& candidates, const Model& model,
                                   const HardwareProfile& hardware, const PlanRequest& request) {
    std::vector<Alternative> rows;
    const int gpus = *request.gpus.value;
    if (gpus < 2) return rows;
    const auto layers = static_cast<int>(model.sequence.size()) - 2;
    const auto& embedding = model.blocks.front();
    const auto hidden = embedding.activations[static_cast<std::size_t>(embedding.output)].width;
    const auto pair = make_group(hardware, 2, 1, request.cost.link);
    const auto send = collective_lines(OpKind::all_to_all, CollectiveImpl::nccl, pair, "");
    for (const auto& candidate : candidates) {
        for (int stages = 2; candidate.tp * stages <= gpus && stages <= layers; stages *= 2) {
            const auto& totals = candidate.totals();
            const double bytes = static_cast<double>(request.workload.rows(Rows::tokens)) *
                                 static_cast<double>(hidden) * bytes_of(request.workload.dtype);
            // Of an all-to-all between two ranks each sends a quarter.
            const auto* line = cheapest_line(send, 4 * bytes);
            const auto hop = Seconds(line_time(*line, 4 * bytes)) +
                             (line->fitted ? Seconds(0) : hardware.launch);
            const auto step = totals.step + hop * (stages - 1);
            // The fullest stage has the odd layers.
            const double share = std::ceil(static_cast<double>(layers) / stages) / layers;
            const auto& memory = totals.memory;
            const bool fits = memory.total - memory.weights * (1 - share) <= memory.capacity;
            const int replicas = gpus / (candidate.tp * stages);
            const double rate = totals.tokens_per_s * (totals.step / step) / share * replicas;
            rows.push_back(
                {.tp = candidate.tp,
                 .replicas = replicas,
                 .stages = stages,
                 .feasible = true,
                 .fits = fits,
                 .step = {step},
                 .tokens_per_s_per_gpu = {rate / gpus},
                 .reason = fmt::format("pipeline of {} stages, for comparison: {} a {}, "
                                       "{:.0f} tokens/s per GPU",
                                       stages, format_time(step),
                                       request.workload.phase == Phase::decode ? "token" : "step",
                                       rate / gpus)});
        }
    }
    return rows;
}

/// Says what keeps every degree that was weighed, or the one asked for, from being the answer:
/// the one that needs least memory, or of those that fit the fastest.
void refuse_all(PlanResult& result, const ModelConfig& config,
                const std::vector<Candidate>& candidates, const PlanRequest& request) {
    auto& violations = result.feasibility.violations;
    const Candidate *smallest = nullptr, *fastest = nullptr;
    for (const auto& candidate : candidates) {
        if (!request.gpus.value && candidate.tp != request.plan.tp) continue;
        const auto& totals = candidate.totals();
        if (!smallest || totals.memory.total < smallest->totals().memory.total)
            smallest = &candidate;
        if (totals.memory.fits && (!fastest || totals.step < fastest->totals().step))
            fastest = &candidate;
    }
    if (!smallest) return;  // the violations are there
    result.feasibility.feasible = false;
    const bool bound = fastest != nullptr;
    const auto& nearest = bound ? *fastest : *smallest;
    violations = {{bound ? "bound_not_met" : "does_not_fit", config.model_type,
                   bound ? "a step within the bound" : "memory of a GPU",
                   fmt::format("TP {}: {}", nearest.tp, refusal(nearest.totals(), request)),
                   bound ? "no step is short enough; raise the bound, or use faster GPUs, more of "
                           "them or a smaller batch"
                         : "use more GPUs, a smaller batch or context, or quantised weights"}};
}

/// A degree that was asked for is planned even where it does not fit, as `estimate` prices it; one
/// that is chosen must fit.
bool is_in(const Candidate& candidate, const PlanRequest& request) {
    if (request.gpus.value) return refusal(candidate.totals(), request).empty();
    return candidate.tp == request.plan.tp && meets_bound(candidate.totals(), request);
}

const Candidate* choose(const std::vector<Candidate>& candidates, const PlanRequest& request) {
    const Candidate* chosen = nullptr;
    for (const auto& candidate : candidates) {
        if (!is_in(candidate, request)) continue;
        if (!chosen || score(candidate.totals(), candidate.tp, request) <
                           score(chosen->totals(), chosen->tp, request))
            chosen = &candidate;
    }
    return chosen;
}

void list_alternatives(PlanResult& result, const std::vector<Candidate>& candidates,
                       const Candidate* chosen, const PlanRequest& request) {
    for (const auto& candidate : candidates) {
        if (&candidate == chosen) continue;
        auto reason = refusal(candidate.totals(), request);
        if (reason.empty() && chosen) {
            reason = fmt::format("{} against {} at TP {}", describe(candidate, request.objective),
                                 describe(*chosen, request.objective), chosen->tp);
        }
        result.alternatives.push_back({.tp = candidate.tp,
                                       .replicas = candidate.replicas,
                                       .feasible = true,
                                       .fits = candidate.totals().memory.fits,
                                       .step = {candidate.totals().step},
                                       .tokens_per_s_per_gpu = {candidate.tokens_per_s_per_gpu},
                                       .reason = reason});
    }
}

}  // namespace

PlanResult make_plan_document(const ModelConfig& config, const HardwareProfile& hardware,
                              const PlanRequest& request) {
    require_no_device_map(config);
    require_graph(config);
    require_ranges(request, "");
    if (hardware.kinds) require_mixed(request, hardware, "");
    if (request.training) return make_training_document(config, hardware, request);
    PlanResult result;
    const auto model = build_model(config);
    std::optional<SharesDecision> shares;
    std::vector<Candidate> candidates;
    LoweredDegrees degrees;
    const bool weigh = request.gpus.value.has_value();
    for (const int tp : degrees_to_weigh(request, hardware)) {
        auto options = request.plan;
        options.tp = tp;
        PlannedDegree planned;
        if (hardware.kinds) {
            auto mixed = plan_mixed(config, model, options, hardware, request.cost,
                                    request.workload, goal_of(request));
            planned = std::move(mixed.planned);
            shares = std::move(mixed.decision);
        } else {
            degrees.emplace_back(tp, lower_degree(config, model, options, request.workload.dtype));
            planned = plan_program(degrees.back().second, hardware, request.cost, request.workload,
                                   goal_of(request));
        }
        if (tp == request.plan.tp || weigh) result.feasibility = planned.feasibility;
        if (planned.program) {
            candidates.push_back(make_candidate(tp, std::move(planned), request));
        } else {
            auto& row = result.alternatives.emplace_back();
            row.tp = tp;
            row.reason = first_message(planned.feasibility);
        }
    }

    const auto* chosen = choose(candidates, request);
    // No ratio was asked for: where none fits there is no answer.
    if (shares && chosen && !chosen->totals().memory.fits) chosen = nullptr;
    list_alternatives(result, candidates, chosen, request);
    if (weigh) {
        for (auto& row : pipelines(candidates, model, hardware, request))
            result.alternatives.push_back(std::move(row));
    }
    std::ranges::stable_sort(result.alternatives, [](const auto& a, const auto& b) {
        return std::pair(a.stages, a.tp) < std::pair(b.stages, b.tp);
    });
    if (!chosen) {
        refuse_all(result, config, candidates, request);
        return result;
    }
    result.feasibility = chosen->feasibility;
    fill_document(result, config, model, hardware, request, *chosen);
    if (shares) {
        // In place of "TP 4 was asked for": the counts of --hw say so.
        auto& why = result.document->why;
        why.replace(0, why.find("; "), shares->sentence);
        result.document->shares = std::move(shares);
    }
    if (weigh) {
        auto& document = *result.document;
        document.decision = decide(candidates, *chosen, degrees, {hardware, request});
        document.mesh.dp_replicate = chosen->replicas;
    }
    return result;
}

}  // namespace tplan
