#include "planner/fuse.h"

#include <algorithm>
#include <span>

namespace tplan {
namespace {

bool contains(std::span<const int> numbers, int number) {
    return std::find(numbers.begin(), numbers.end(), number) != numbers.end();
}

bool goes_to_collective(const Section& section, int buffer) {
    return std::any_of(section.steps.begin(), section.steps.end(), [&](const Step& step) {
        return is_collective(step.kind) && contains(step.inputs, buffer);
    });
}

bool fits(const Section& section, const Step& first, const Step& other) {
    return other.kind == OpKind::linear && other.inputs == first.inputs && other.k == first.k &&
           other.spec == first.spec && other.weight_dtype == first.weight_dtype &&
           other.outputs.size() == 1 && !goes_to_collective(section, other.outputs[0]);
}

/// Appends `other`, which computes from the same input, to `step`.
void join_linear(Step& step, Step& other) {
    const auto biases = [](Step& of) {
        if (of.biases.empty()) of.biases.resize(of.weights.size());
    };
    if (!step.biases.empty() || !other.biases.empty()) {
        biases(step);
        biases(other);
    }
    step.outputs.insert(step.outputs.end(), other.outputs.begin(), other.outputs.end());
    step.weights.insert(step.weights.end(), other.weights.begin(), other.weights.end());
    step.biases.insert(step.biases.end(), other.biases.begin(), other.biases.end());
    step.n += other.n;
    step.weight_bytes += other.weight_bytes;
}

/// Index of the step named `name`, or the number of steps.
std::size_t find_step(const Section& section, const std::string& name) {
    const auto found = std::find_if(section.steps.begin(), section.steps.end(),
                                    [&](const Step& step) { return step.name == name; });
    return static_cast<std::size_t>(found - section.steps.begin());
}

/// The first part found takes the place of all: nothing but their common input comes before it.
void fuse_group(Section& section, const std::string& parent, const FusedModules& names) {
    std::vector<std::size_t> found;
    for (const auto& part : names.parts) {
        const auto at = find_step(section, parent + part);
        if (at == section.steps.size()) return;
        found.push_back(at);
    }
    auto& steps = section.steps;
    for (const auto at : found) {
        if (at < found[0] || !fits(section, steps[found[0]], steps[at])) return;
    }
    auto& fused = steps[found[0]];
    for (std::size_t i = 1; i < found.size(); ++i) join_linear(fused, steps[found[i]]);
    fused.name = parent + names.whole;
    for (auto at = found.rbegin(); at + 1 != found.rend(); ++at)
        steps.erase(steps.begin() + static_cast<std::ptrdiff_t>(*at));
}

/// out = in[0] + factor * in[1], over in[0].
bool is_residual_add(const Step& step) {
    return step.kind == OpKind::add && step.inputs.size() == 2 &&
           step.outputs == std::vector<int>{step.inputs[0]};
}

/// `add` followed by `norm` of its result.
Step add_then_norm(const Step& add, const Step& norm, const std::string& name) {
    Step step = norm;
    step.kind = OpKind::add_norm;
    step.name = name;
    step.inputs = add.inputs;
    step.outputs = {add.outputs[0], norm.outputs[0]};
    step.spec.factor = add.spec.factor;
    step.n = add.n + norm.n;
    return step;
}

void replace_input(Section& section, int from, int to) {
    for (auto& step : section.steps) std::replace(step.inputs.begin(), step.inputs.end(), from, to);
}

bool is_layer(const Section& section) {
    return section.layers.empty() || section.layers.front() >= 0;
}

/// Does the norm at the start of `section` stand in for `norm`, but for its weights?
bool begins_like(const Section& section, const Step& norm) {
    if (section.steps.empty()) return false;
    const auto& first = section.steps.front();
    return first.kind == OpKind::norm && first.inputs == norm.inputs && first.spec == norm.spec &&
           first.weights.size() == norm.weights.size();
}

/// What the fusion needs: the layers' common first norm, or none.
const Step* common_first_norm(const Program& program) {
    const Step* norm = nullptr;
    for (const auto& section : program.sections) {
        if (!is_layer(section)) continue;
        if (section.steps.size() < 2 || section.steps.front().kind != OpKind::norm) return nullptr;
        if (!norm) norm = &section.steps.front();
        const auto& last = section.steps.back();
        const bool same = begins_like(section, *norm) && section.steps.front() == *norm;
        if (!same || !is_residual_add(last) || last.outputs[0] != norm->inputs[0]) return nullptr;
    }
    if (!norm || !begins_like(program.sections.back(), *norm)) return nullptr;
    return norm;
}

}  // namespace

void fuse_projections(Section& section, const std::vector<FusedModules>& groups) {
    for (std::size_t i = 0; i < section.steps.size(); ++i) {
        for (const auto& names : groups) {
            const auto name = section.steps[i].name;
            if (!name.ends_with(names.parts[0])) continue;
            const auto parent = name.substr(0, name.size() - names.parts[0].size());
            if (parent.empty() || parent.back() == '.') fuse_group(section, parent, names);
        }
    }
}

void fuse_residual_norms(Section& section) {
    for (std::size_t i = 0; i + 1 < section.steps.size(); ++i) {
        const auto& add = section.steps[i];
        const auto& norm = section.steps[i + 1];
        if (!is_residual_add(add) || norm.kind != OpKind::norm || norm.inputs != add.outputs)
            continue;
        section.steps[i] = add_then_norm(add, norm, norm.name);
        section.steps.erase(section.steps.begin() + static_cast<std::ptrdiff_t>(i) + 1);
    }
}

void fuse_across_layers(Program& program) {
    const auto* found = common_first_norm(program);
    if (!found) return;
    const Step norm = *found;  // the steps move below
    auto& head = program.sections.back();
    const auto final_norm = head.steps.front();
    for (auto& section : program.sections) {
        if (!is_layer(section)) continue;
        auto& last = section.steps.back();
        last = add_then_norm(last, norm, "next." + norm.name);
        for (std::size_t i = 0; i < norm.weights.size(); ++i) {
            last.weights[i].next_layer = true;
            last.weights[i].last = final_norm.weights[i].tensor;
        }
        section.steps.erase(section.steps.begin());
    }
    auto first = norm;
    first.name = "layers.0." + norm.name;
    for (auto& weight : first.weights) weight.next_layer = true;
    program.sections.front().steps.push_back(std::move(first));
    head.steps.erase(head.steps.begin());
    replace_input(head, final_norm.outputs[0], norm.outputs[0]);
}

void drop_unused_buffers(Program& program) {
    std::vector<int> moved(program.buffers.size(), -1);
    for (const auto& section : program.sections) {
        for (const auto& step : section.steps) {
            for (const int buffer : step.inputs) moved[static_cast<std::size_t>(buffer)] = 0;
            for (const int buffer : step.outputs) moved[static_cast<std::size_t>(buffer)] = 0;
        }
    }
    std::vector<Buffer> kept;
    for (std::size_t i = 0; i < moved.size(); ++i) {
        if (moved[i] < 0) continue;
        moved[i] = static_cast<int>(kept.size());
        kept.push_back(std::move(program.buffers[i]));
    }
    program.buffers = std::move(kept);
    for (auto& section : program.sections) {
        for (auto& step : section.steps) {
            for (auto& buffer : step.inputs) buffer = moved[static_cast<std::size_t>(buffer)];
            for (auto& buffer : step.outputs) buffer = moved[static_cast<std::size_t>(buffer)];
        }
    }
}

}  // namespace tplan
