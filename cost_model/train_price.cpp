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
    KindSums all;
    KindSums in_the_way;  // what nothing can hide
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
        const double times = runs * cost.time.value;
        sums.all.add(step.kind, times, cost.half_width, cost.shared);
        if (!beside) sums.in_the_way.add(step.kind, times, cost.half_width, cost.shared);
        sums.provenance = std::max(sums.provenance, cost.provenance);
        sums.domain = std::max(sums.domain, cost.domain);
    }
    return time;
}

/// Seconds of the whole step, summed over its sections.
struct StepTime {
    double compute = 0, tensor = 0, parameters = 0;
    double exposed = 0;  // of parameters' collectives, section by section
    double layers = 0, n_layers = 0;
    double backward_compute = 0;                  // of the layers of one micro-batch
    double reduced_layers = 0, reduced_rest = 0;  // gradients that replicas reduce once a step
    std::array<double, 2> hidden{};  // the most that a layer hides: of a gather, of a reduction
    TrainingParts parts;
};

void add_section(StepTime& step, const CompiledSection& section, const SectionTime& time,
                 double micro_batches) {
    const double runs = section.repeats * (time.once ? 1 : micro_batches);
    step.compute += runs * time.compute;
    step.tensor += runs * time.tensor;
    step.parameters += runs * time.parameters;
    auto& parts = step.parts;
    auto& part = time.update     ? parts.update
                 : time.loss     ? parts.loss
                 : time.backward ? parts.backward
                                 : parts.forward;
    part += Seconds(runs * (time.compute + time.tensor));
    if (time.once) {
        (section.layer ? step.reduced_layers : step.reduced_rest) += runs * time.parameters;
        return;
    }
    step.exposed += runs * time.exposed();
    if (!section.layer) return;
    step.layers += runs * (time.compute + time.tensor + time.exposed());
    auto& most = step.hidden[time.backward ? 1 : 0];
    most = std::max(most, std::min(time.parameters, time.compute));
    (time.backward ? step.backward_compute : step.n_layers) +=
        section.repeats * (time.backward ? time.compute : 1);
}

/// What the step waits for: nothing runs beside the first gather of a micro-batch and its last
/// reduction. Replicas without shards reduce behind the last micro-batch's backward pass; what lies
/// outside the layers comes last.
double exposed_parameters(const StepTime& step, double micro_batches) {
    const double ends = micro_batches * (step.hidden[0] + step.hidden[1]);
    return std::min(step.parameters, step.exposed + ends) +
           std::max(0.0, step.reduced_layers - step.backward_compute) + step.reduced_rest;
}

}  // namespace

TrainingPrice price_training(const CompiledProgram& program, const TrainingMemory& memory,
                             const Training& training, const Workload& workload) {
    const auto batches = static_cast<double>(training.accumulate);
    Sums sums;
    StepTime time;
    for (std::size_t s = 0; s < program.sections.size(); ++s) {
        const auto one = price_section(program, static_cast<int>(s), workload, batches, sums);
        add_section(time, program.sections[s], one, batches);
    }
    const double exposed = exposed_parameters(time, batches);
    const double alone = time.compute + time.tensor, step = alone + exposed;
    const auto least = sums.in_the_way.interval(Seconds(alone))[0];
    const auto around = sums.all.interval(Seconds(step));
    TrainingPrice price;
    auto& parts = price.parts = time.parts;
    parts.parameters = Seconds(time.parameters);
    parts.exposed_parameters = Seconds(exposed);
    auto& totals = price.totals;
    totals.step = Seconds(step);
    totals.kinds = sums.all;
    const double left_out = program.own_kernels ? 0 : (kSlowestPublished - 1) * step;
    totals.interval_90 = {std::max(around[0], least), around[1] + Seconds(left_out)};
    totals.layer = Seconds(time.n_layers > 0 ? time.layers / time.n_layers : 0);
    totals.compute = Seconds(time.compute);
    totals.collective = Seconds(time.tensor + time.parameters);
    totals.exposed_collective = Seconds(time.tensor + exposed);
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
