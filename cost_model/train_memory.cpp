#include "cost_model/train_memory.h"

// Korthikanti et al., Reducing activation recomputation in large transformer models, 2022.
// Micikevicius et al., Mixed precision training, 2018 (fp32 master weights).

#include <algorithm>
#include <cmath>
#include <set>

#include "cost_model/memory.h"
#include "cost_model/op_cost.h"

namespace tplan {
namespace {

constexpr double kFp32 = 4;
constexpr double kGathered = 2;  // layers whole at a time: the one at work and the next
constexpr double kStateWidth = 0.01, kOtherWidth = 0.5;  // as in serving

std::size_t index(int i) {
    return static_cast<std::size_t>(i);
}

double local_columns(const Program& program, int b) {
    const auto& buffer = program.buffers[index(b)];
    const auto width = static_cast<double>(largest_width(buffer.layout, buffer.width));
    return buffer.layout.splits_rows() ? width / buffer.layout.split.parts : width;
}

bool is_gradient(const Program& program, int b) {
    return program.buffers[index(b)].name.find(".gradient") != std::string::npos;
}

bool is_backward(const Section& section) {
    return std::any_of(section.steps.begin(), section.steps.end(), [](const Step& step) {
        return step.pass == Pass::input_gradient || step.pass == Pass::weight_gradient ||
               step.pass == Pass::gradient;
    });
}

bool is_layer(const Section& section) {
    return !section.layers.empty() && section.layers.front() >= 0;
}

/// Buffers that hold logits or their gradients: a term of their own.
std::set<int> logits_buffers(const Program& program) {
    std::set<int> found;
    for (const auto& section : program.sections) {
        for (const auto& step : section.steps) {
            if (step.pass != Pass::loss) continue;
            found.insert(step.inputs.begin(), step.inputs.end());
            found.insert(step.outputs.begin(), step.outputs.end());
        }
    }
    // What was gathered into them, and the gradient of that.
    for (const auto& section : program.sections) {
        for (const auto& step : section.steps) {
            const bool moves = is_collective(step.kind) || step.kind == OpKind::slice;
            if (!moves || step.inputs.empty()) continue;
            if (found.contains(step.outputs[0])) found.insert(step.inputs[0]);
            if (found.contains(step.inputs[0])) found.insert(step.outputs[0]);
        }
    }
    return found;
}

/// What a section reads before it makes it, gradients apart.
std::set<int> kept_values(const Program& program, const Section& section,
                          const std::set<int>& logits) {
    std::set<int> made, kept;
    for (const auto& step : section.steps) {
        for (const int b : step.inputs) {
            if (!made.contains(b) && !is_gradient(program, b) && !logits.contains(b))
                kept.insert(b);
        }
        made.insert(step.outputs.begin(), step.outputs.end());
    }
    return kept;
}

/// Bytes a token of what fused kernels keep beside their inputs and outputs: the logarithms of the
/// sums of scores, in fp32; what experts work on.
double inner_bytes(const Program& program, const Section& section, double activation) {
    double bytes = 0;
    for (const auto& step : section.steps) {
        if (step.pass != Pass::gradient) continue;
        const auto shape = step_shape(step, program);
        if (step.kind == OpKind::attention) bytes += shape.heads * kFp32;
        if (step.kind == OpKind::moe_experts && shape.all_experts > 0) {
            const double routed = shape.top_k * shape.experts / shape.all_experts;
            bytes += routed * (shape.hidden + shape.expert_columns + shape.ffn) * activation;
        }
    }
    return bytes;
}

/// Columns at the widest moment of a section beside what is kept anyway: a value is there from
/// where it is made, an incoming one from the start, to where it is read last.
double working_columns(const Program& program, const Section& section, const std::set<int>& kept,
                       const std::set<int>& logits) {
    std::set<int> alive;
    double most = 0;
    for (auto step = section.steps.rbegin(); step != section.steps.rend(); ++step) {
        for (const auto* list : {&step->inputs, &step->outputs})
            alive.insert(list->begin(), list->end());
        double columns = 0;
        for (const int b : alive) {
            if (!kept.contains(b) && !logits.contains(b)) columns += local_columns(program, b);
        }
        most = std::max(most, columns);
        for (const int b : step->outputs) {
            if (std::find(step->inputs.begin(), step->inputs.end(), b) == step->inputs.end())
                alive.erase(b);
        }
    }
    return most;
}

double activation_bytes(const Program& program, const Training& training,
                        const std::set<int>& logits, double element) {
    double kept_bytes = 0, working = 0;
    for (const auto& section : program.sections) {
        if (!is_backward(section)) continue;
        const bool again = training.recompute == Recompute::full && is_layer(section);
        const auto kept = kept_values(program, section, logits);
        double columns = 0;
        for (const int b : kept) {
            const double own = local_columns(program, b);
            // A layer that runs again needs its input alone; a fused norm hands on two of them.
            columns = again ? std::max(columns, own) : columns + own;
        }
        const double inner = inner_bytes(program, section, element);
        const auto runs = static_cast<double>(section.layers.size());
        kept_bytes += runs * (columns * element + (again ? 0 : inner));
        working = std::max(working, working_columns(program, section, kept, logits) * element +
                                        (again ? inner : 0));
    }
    return kept_bytes + working;
}

/// In the model's dtype, and in fp32 with either their logarithms or their gradient beside them.
double logits_bytes(const Program& program, const std::set<int>& logits, double element) {
    double bytes = 0, whole = 0;
    for (const int b : logits) {
        if (is_gradient(program, b)) continue;
        const auto& buffer = program.buffers[index(b)];
        if (buffer.width <= program.tp) continue;  // of a row, not of its columns
        if (buffer.name == "logits.fp32") {
            whole = local_columns(program, b);
        } else {
            bytes += local_columns(program, b) * element;
        }
    }
    return bytes + whole * 2 * kFp32;
}

/// Bytes that are gathered together: {the largest of a layer, of all else}.
std::array<double, 2> gathered_units(const Program& program) {
    std::array<double, 2> units{};
    for (const auto& section : program.sections) {
        for (const auto& step : section.steps) {
            if (step.pass != Pass::parameters || step.over != MeshAxis::dp_shard) continue;
            auto& unit = units[is_layer(section) ? 0 : 1];
            unit = std::max(unit, step.weight_bytes);
        }
    }
    return units;
}

}  // namespace

TrainingMemory training_memory(const Program& program, const Training& training,
                               const HardwareProfile& hardware, const CostOptions& options) {
    TrainingMemory terms;
    double element = 2;
    for (const auto& section : program.sections) {
        if (!section.steps.empty() && !section.steps.front().pass)
            element = bytes_of(stored_dtype(section.steps.front().dtype));
    }
    const double whole = weight_bytes_per_rank(program), elements = whole / element;
    const double shard = elements / training.mesh.dp_shard;
    const auto units = gathered_units(program);
    const bool narrow = element < kFp32;
    terms.weights = whole;
    if (training.mesh.dp_shard > 1) {
        terms.weights = units[1] + kGathered * units[0] + (narrow ? 0 : shard * kFp32);
        terms.communication += std::max(units[0], units[1]);  // a unit's gradients, to be scattered
    }
    terms.gradients = shard * kFp32;
    terms.optimizer =
        shard * kFp32 * ((narrow ? 1 : 0) + (training.optimizer == Optimizer::adamw ? 2 : 0));
    if (training.mesh.ranks() > 1) terms.communication += hardware.communication_buffers.value;
    terms.workspace = hardware.workspace.value;
    terms.capacity =
        std::max(0.0, hardware.memory.value * options.memory_fraction - options.reserve.value);
    terms.max_positions = program.max_positions;
    const auto logits = logits_buffers(program);
    terms.activations_per_token = activation_bytes(program, training, logits, element);
    terms.logits_per_token = logits_bytes(program, logits, element);
    return terms;
}

MemoryUse memory_use(const TrainingMemory& terms, const Workload& workload) {
    const auto tokens = static_cast<double>(workload.rows(Rows::tokens));
    MemoryUse use;
    use.weights = Bytes(terms.weights);
    use.gradients = Bytes(terms.gradients);
    use.optimizer = Bytes(terms.optimizer);
    use.communication = Bytes(terms.communication);
    use.workspace = Bytes(terms.workspace);
    use.activations = Bytes(terms.activations_per_token * tokens);
    use.logits = Bytes(terms.logits_per_token * tokens);
    use.total = Bytes(terms.fixed() + terms.per_token() * tokens);
    const double state = terms.weights + terms.gradients + terms.optimizer;
    const double half = state * kStateWidth + (use.total.value - state) * kOtherWidth;
    use.interval_90 = {use.total - Bytes(half), use.total + Bytes(half)};
    use.capacity = Bytes(terms.capacity);
    use.fits = use.total <= use.capacity;
    const double room = terms.capacity - terms.fixed();
    const auto most = [&](std::int64_t each) {
        const double count = room / (terms.per_token() * static_cast<double>(each));
        return static_cast<std::int64_t>(
            std::clamp(std::floor(count), 0.0, static_cast<double>(kMaxCount)));
    };
    use.max_batch = most(workload.input);
    use.max_context = most(workload.batch);
    if (terms.max_positions > 0) use.max_context = std::min(use.max_context, terms.max_positions);
    return use;
}

}  // namespace tplan
