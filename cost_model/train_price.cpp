#include "cost_model/train_price.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace tplan {
namespace {

/// How often the sum of its kernels a published step takes at most: torchtitan's notes on
/// performance, Llama 3 8B with FSDP2 on 64 A100 (1.4 times) and on 8 H100 (1.7 compiled, 2.0
/// eager), against this model.
constexpr double kSlowestPublished = 2;

std::size_t at(int i) {
    return static_cast<std::size_t>(i);
}

/// One run of a section.
struct SectionTime {
    double compute = 0, tensor = 0;  // seconds: ops, collectives of TP
    double parameters = 0;           // gathers and reductions of parameters
    bool backward = false, loss = false, update = false;
    bool once = true;  // a step, not a micro-batch
    double exposed() const { return std::max(0.0, parameters - compute); }
};

bool is_differentiating(const CompiledStep& step) {
    return step.role == Pass::input_gradient || step.role == Pass::weight_gradient ||
           step.role == Pass::gradient;
}

struct Sums {
    std::array<double, enum_names(CostKind{}).size()> half_widths{};
    double launch = 0;
    Provenance provenance = Provenance::measured;
    Domain domain = Domain::interpolated;
};

SectionTime price_section(const CompiledProgram& program, int index, const Workload& workload,
                          double micro_batches, Sums& sums) {
    const auto& section = program.sections[at(index)];
    SectionTime time;
    for (int s = 0; s < section.steps; ++s) {
        const auto& step = program.steps[at(section.first_step + s)];
        time.backward |= is_differentiating(step);
        time.loss |= step.role == Pass::loss;
        time.update |= step.role == Pass::update;
        const bool parameters = step.role == Pass::parameters;
        const bool reduces = parameters && step.over == MeshAxis::dp_replicate;
        time.once = time.once && (step.role == Pass::update || reduces);
    }
    const double runs = section.repeats * (time.once ? 1 : micro_batches);
    for (int s = 0; s < section.steps; ++s) {
        const auto& step = program.steps[at(section.first_step + s)];
        const auto cost = price_step(program, index, s, workload);
        const bool beside = step.role == Pass::parameters && step.over.has_value();
        (beside            ? time.parameters
         : step.collective ? time.tensor
                           : time.compute) += cost.time.value;
        sums.launch += runs * (beside ? 0 : cost.launch.value);
        sums.half_widths[at(static_cast<int>(step.kind))] +=
            runs * cost.time.value * cost.half_width;
        sums.provenance = std::max(sums.provenance, cost.provenance);
        sums.domain = std::max(sums.domain, cost.domain);
    }
    return time;
}

}  // namespace

TrainingPrice price_training(const CompiledProgram& program, const TrainingMemory& memory,
                             const Training& training, const Workload& workload) {
    const auto batches = static_cast<double>(training.accumulate);
    Sums sums;
    double compute = 0, tensor = 0, parameters = 0, exposed = 0, layers = 0;
    double backward_compute = 0, reduced_layers = 0, reduced_rest = 0, n_layers = 0;
    std::array<double, 2> hidden{};  // the most that a layer hides: of a gather, of a reduction
    TrainingPrice price;
    auto& parts = price.parts;
    for (std::size_t s = 0; s < program.sections.size(); ++s) {
        const auto& section = program.sections[s];
        const auto time = price_section(program, static_cast<int>(s), workload, batches, sums);
        const double runs = section.repeats * (time.once ? 1 : batches);
        compute += runs * time.compute;
        tensor += runs * time.tensor;
        parameters += runs * time.parameters;
        auto& part = time.update     ? parts.update
                     : time.loss     ? parts.loss
                     : time.backward ? parts.backward
                                     : parts.forward;
        part += Seconds(runs * (time.compute + time.tensor));
        if (time.once) {
            (section.layer ? reduced_layers : reduced_rest) += runs * time.parameters;
            continue;
        }
        exposed += runs * time.exposed();
        if (section.layer) {
            layers += runs * (time.compute + time.tensor + time.exposed());
            auto& most = hidden[time.backward ? 1 : 0];
            most = std::max(most, std::min(time.parameters, time.compute));
            (time.backward ? backward_compute : n_layers) +=
                section.repeats * (time.backward ? time.compute : 1);
        }
    }
    // Nothing runs beside the first gather of a micro-batch and its last reduction.
    exposed = std::min(parameters, exposed + batches * (hidden[0] + hidden[1]));
    // Replicas without shards reduce behind the last micro-batch's backward pass; what lies outside
    // the layers comes last.
    exposed += std::max(0.0, reduced_layers - backward_compute) + reduced_rest;

    double squares = 0;
    for (const double half : sums.half_widths) squares += half * half;
    const double step = compute + tensor + exposed, half = std::sqrt(squares);
    parts.parameters = Seconds(parameters);
    parts.exposed_parameters = Seconds(exposed);
    auto& totals = price.totals;
    totals.step = Seconds(step);
    totals.interval_90 = {Seconds(std::max(step - half, 0.0)),
                          Seconds(kSlowestPublished * step + half)};
    totals.layer = Seconds(n_layers > 0 ? layers / n_layers : 0);
    totals.compute = Seconds(compute);
    totals.collective = Seconds(tensor + parameters);
    totals.exposed_collective = Seconds(tensor + exposed);
    totals.launch = Seconds(sums.launch);
    const double tokens = static_cast<double>(workload.rows(Rows::tokens)) * batches *
                          static_cast<double>(training.mesh.data_parallel());
    totals.tokens_per_s = step > 0 ? tokens / step : 0;
    totals.provenance = sums.provenance;
    totals.domain = sums.domain;
    totals.memory = memory_use(memory, workload);
    return price;
}

}  // namespace tplan
