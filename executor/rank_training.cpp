#include "executor/rank_training.h"

#include <algorithm>

#include "core/error.h"
#include "core/json_io.h"
#include "core/text.h"
#include "executor/device_memory.h"

namespace tplan {
namespace {

std::size_t at(int i) {
    return static_cast<std::size_t>(i);
}

/// Why a step of a training program is not run; empty when it is.
std::string fault_of(const Step& step) {
    if (step.pass == Pass::recompute) return "recomputation is not run; plan with --recompute none";
    if (step.over) return "parameters are not moved between data-parallel ranks; plan with --tp";
    if (step.spec.attention && step.spec.attention->latent_width > 0)
        return "latent attention has no backward kernel";
    if (step.spec.attention && step.spec.attention->sinks)
        return "attention sinks have no backward kernel";
    return {};
}

}  // namespace

void require_trainable(const Program& program, const Workload& workload, DType dtype) {
    const auto mesh = program.mesh.value_or(Mesh{.tp = program.tp});
    if (mesh.data_parallel() > 1) {
        throw Error("training/mesh", "the executor trains one TP group, this is " + mesh_text(mesh),
                    "plan with --tp alone");
    }
    if (dtype != DType::fp32) {
        throw Error("workload/dtype",
                    fmt::format("training steps are run in fp32, this is {}", name_of(dtype)),
                    "plan with --dtype fp32");
    }
    if (workload.input < 2) {
        throw Error("workload/input", "a sequence of one token has no token to predict",
                    "plan with --seq 2 or more");
    }
    for (const auto& section : program.sections) {
        for (const auto& step : section.steps) {
            const auto fault = fault_of(step);
            if (!fault.empty()) throw Error(section.name + "/" + step.name, fault);
        }
    }
}

RankTraining::RankTraining(Backend& backend, int rank, const Program& program,
                           const Workload& workload, const std::vector<ExecutedStep>& steps,
                           RankWeights& weights)
    : rank_(rank),
      program_(program),
      places_(place_values(program, steps, rank)),
      last_(program.buffers.size()),
      parameters_(backend, rank, program, steps, weights) {
    for (const int allocation : places_.allocations) {
        const auto& like = program.buffers[at(places_.buffers.first[at(allocation)])];
        const auto width = places_.buffers.widths[at(allocation)];
        Matrix m{nullptr, owned_rows(like, workload, rank).extent, width, width, DType::fp32};
        memory_.push_back(device_memory(backend, rank, static_cast<std::size_t>(m.bytes()),
                                        MemoryKind::exchanged));
        m.data = memory_.back().get();
        memories_.push_back(m);
    }
    for (std::size_t i = 0; i < steps.size(); ++i) {
        const auto& step = program.sections[at(steps[i].section)].steps[at(steps[i].step)];
        for (std::size_t k = 0; k < step.outputs.size(); ++k)
            last_[at(step.outputs[k])] = view(places_.steps[i].outputs[k], step.outputs[k]);
    }
}

Matrix RankTraining::view(int memory, int buffer) const {
    auto m = memories_[at(memory)];
    m.data = m.place(0, places_.buffers.places[at(buffer)].column);
    m.columns = local_width(program_.buffers[at(buffer)], rank_);
    return m;
}

void RankTraining::bind_values(BoundStep& bound, std::size_t executed) const {
    const auto& step = *bound.step;
    const auto& own = places_.steps[executed];
    bound.rank = rank_;
    for (std::size_t i = 0; i < step.inputs.size(); ++i)
        bound.inputs.push_back(view(own.inputs[i], step.inputs[i]));
    for (std::size_t i = 0; i < step.outputs.size(); ++i)
        bound.outputs.push_back(view(own.outputs[i], step.outputs[i]));
    if (step.loss) {
        const int logits = step.loss == LossPart::downcast ? step.outputs[0] : step.inputs[0];
        bound.columns = owned_columns(program_.buffers[at(logits)], rank_);
    }
}

void RankTraining::bind_weights(BoundStep& bound, const ExecutedStep& where) {
    if (bound.step->optimizer) {
        bound.trained = parameters_.all();
    } else if (bound.step->pass) {
        bind_backward(bound, where);
    } else {
        bind_forward(bound, where);
    }
}

void RankTraining::bind_forward(BoundStep& bound, const ExecutedStep& where) {
    const auto& step = *bound.step;
    for (const auto& ref : step.weights)
        bound.weights.push_back(parameters_.named(parameter_name(program_, ref, where)).value);
    for (const auto& ref : step.biases) {
        bound.biases.push_back(ref.tensor < 0
                                   ? Matrix{}
                                   : parameters_.named(parameter_name(program_, ref, where)).value);
    }
    if (step.kind == OpKind::embedding) {
        const auto& shard = parameters_.shard(parameter_name(program_, step.weights[0], where));
        const auto& rows = shard.use.local.rows;
        bound.first_vocab_row = rows.empty() ? 0 : rows.front().offset;
    }
}

void RankTraining::bind_backward(BoundStep& bound, const ExecutedStep& where) {
    const auto& step = *bound.step;
    const bool moves = step.pass == Pass::parameters;
    const bool writes = !moves && step.pass != Pass::input_gradient;
    for (const auto& ref : step.weights) {
        const auto name = parameter_name(program_, ref, where);
        auto weight = parameters_.named(name);
        if (writes) weight.first = written_.insert(name).second;
        if (moves) {
            bound.inputs.push_back(weight.gradient);
            bound.outputs.push_back(weight.gradient);
        }
        bound.trained.push_back(weight);
    }
    if (step.kind == OpKind::embedding) {
        const auto& shard = parameters_.shard(parameter_name(program_, step.weights[0], where));
        const auto& rows = shard.use.local.rows;
        bound.first_vocab_row = rows.empty() ? 0 : rows.front().offset;
    }
}

}  // namespace tplan
