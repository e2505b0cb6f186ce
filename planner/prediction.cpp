#include "planner/prediction.h"

#include "core/text.h"
#include "planner/assumptions.h"

namespace tplan {
namespace {

void note_assumed(Estimate& estimate, const Program& program, const HardwareProfile& hardware) {
    const auto assumed =
        assumptions_of(program, hardware, estimate.options, estimate.workload, estimate.link);
    if (assumed.empty()) return;
    estimate.notes.push_back(fmt::format(
        "assumed rather than measured or published: {}; `tplan hardware {}` has the reasons",
        join(assumed, ", "), hardware.name));
}

void add_notes(Estimate& estimate, const Program& program, const HardwareProfile& hardware) {
    auto& notes = estimate.notes;
    if (!estimate.training) {
        notes.emplace_back(
            "times are of an isolated step: queueing and mixed prefill/decode steps are not "
            "modelled yet");
    }
    const auto positions = program.max_positions;
    if (positions > 0 && estimate.workload.cached_tokens() > positions) {
        notes.push_back(fmt::format(
            "{} tokens are more than the {} positions that the model's configuration names",
            estimate.workload.cached_tokens(), positions));
    } else if (positions > 0 && estimate.memory.max_context == positions) {
        notes.push_back(fmt::format(
            "the longest context is the model's own max_position_embeddings: {}", positions));
    }
    if (!hardware.kinds) return note_assumed(estimate, program, hardware);
    for (const auto& kind : *hardware.kinds) note_assumed(estimate, program, kind);
    notes.emplace_back(
        "every op counts as long as the slower kind of GPU takes for it: an upper bound where one "
        "kind is faster at one op and the other at the next");
}

/// The share of the time of all ops that each kind of source stands behind, the strongest first.
Named<double> shares_of(const Estimate& estimate) {
    constexpr auto names = enum_names(Provenance{});
    std::array<Seconds, names.size()> times{};
    Seconds all;
    for (const auto& op : estimate.ops) {
        times[static_cast<std::size_t>(op.provenance)] += op.time;
        all += op.time;
    }
    Named<double> shares;
    for (std::size_t i = 0; i < names.size(); ++i) {
        if (times[i].value > 0) shares.emplace_back(std::string(names[i]), times[i] / all);
    }
    return shares;
}

}  // namespace

Estimate make_estimate(const std::string& model, const Program& program,
                       const HardwareProfile& hardware, const PlanOptions& options,
                       const CostOptions& cost, const Workload& workload,
                       const std::optional<Training>& training) {
    const auto compiled = compile(program, hardware, cost);
    Estimate estimate;
    Totals totals;
    if (training) {
        auto priced = price_training(compiled, training_memory(program, *training, hardware, cost),
                                     *training, workload);
        totals = priced.totals;
        estimate.training = training;
        estimate.parts = priced.parts;
    } else {
        totals = price(compiled, workload);
        (workload.phase == Phase::decode ? estimate.tpot_isolated : estimate.ttft_isolated).value =
            totals.step;
    }
    estimate.model = model;
    estimate.hardware = hardware.name;
    estimate.tp = program.tp;
    estimate.link = compiled.link;
    estimate.workload = workload;
    estimate.options = cost;
    estimate.options.collectives.value = collectives_of(hardware, cost);
    estimate.layout = options.layout;
    estimate.kernels = options.kernels;
    estimate.sampling = options.sampling;
    estimate.step = totals.step;
    estimate.interval_90 = totals.interval_90;
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
    estimate.provenance_shares = shares_of(estimate);
    if (hardware.kinds) {
        estimate.shares = options.shares;
        estimate.kinds = uses_by_kind(compiled, workload);
    }
    estimate.notes = compiled.notes;
    add_notes(estimate, program, hardware);
    return estimate;
}

Estimate make_estimate(const std::string& model, const PlannedProgram& planned,
                       const HardwareProfile& hardware, const PlanOptions& options,
                       const CostOptions& cost, const Workload& workload) {
    auto estimate = make_estimate(model, planned.program, hardware, options, cost, workload);
    estimate.memory = planned.totals.memory;
    return estimate;
}

}  // namespace tplan
