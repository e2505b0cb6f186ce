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

void replace_input(Section& section, int from, int to) {
    for (auto& step : section.steps) std::replace(step.inputs.begin(), step.inputs.end(), from, to);
}

bool is_layer(const Section& section) {
    return section.layers.empty() || section.layers.front() >= 0;
}

/// The norm that a layer or the head begins with; null when it begins with something else.
const Step* first_norm(const Section& section) {
    const bool norm = !section.steps.empty() && section.steps.front().kind == OpKind::norm;
    return norm ? &section.steps.front() : nullptr;
}

/// Do two norms differ in nothing but the buffers they work on?
bool alike(const Step& a, const Step& b) {
    return a.spec == b.spec && a.rows == b.rows && a.n == b.n && a.dtype == b.dtype &&
           a.weight_bytes == b.weight_bytes && a.weights.size() == b.weights.size();
}

/// The norm that reads what `section` leaves last: a layer's, or else the head's.
const Step* norm_after(const Program& program, const Section& section) {
    const auto& left = section.steps.back().outputs;
    for (const auto& next : program.sections) {
        const auto* norm = first_norm(next);
        const bool candidate = is_layer(next) || &next == &program.sections.back();
        if (candidate && norm && norm->inputs == std::vector<int>{left[0]}) return norm;
    }
    return nullptr;
}

/// Does every layer begin with one norm and end with the addition that the next one reads, and the
/// head with a norm of that kind?
bool norms_cross(const Program& program) {
    const Step* norm = nullptr;
    for (const auto& section : program.sections) {
        if (!is_layer(section)) continue;
        const auto* own = first_norm(section);
        if (!own || section.steps.size() < 2 || section.steps.back().kind != OpKind::add)
            return false;
        if (!norm) norm = own;
        if (!alike(*own, *norm) || own->weights != norm->weights || !norm_after(program, section))
            return false;
    }
    const auto* last = first_norm(program.sections.back());
    if (!norm || !last || !alike(*last, *norm)) return false;
    const auto& first = program.sections.front().steps.back().outputs;
    const auto& entered = program.sections[static_cast<std::size_t>(program.order[1])];
    return first_norm(entered)->inputs == std::vector<int>{first.back()};
}

/// Index of the op with that name, or -1.
int find_op(const Block& block, const std::string& name) {
    for (std::size_t i = 0; i < block.ops.size(); ++i) {
        if (block.ops[i].name == name) return static_cast<int>(i);
    }
    return -1;
}

/// The linears named as `names` that read what `first` reads; empty unless all are there.
std::vector<std::size_t> joined_linears(const Block& block, std::size_t first,
                                        const FusedModules& names) {
    const auto& op = block.ops[first];
    if (op.kind != OpKind::linear || !op.name.ends_with(names.parts[0])) return {};
    const auto parent = op.name.substr(0, op.name.size() - names.parts[0].size());
    if (!parent.empty() && parent.back() != '.') return {};
    std::vector<std::size_t> group;
    for (const auto& part : names.parts) {
        const int found = find_op(block, parent + part);
        if (found < 0) return {};
        const auto& other = block.ops[static_cast<std::size_t>(found)];
        if (other.kind != OpKind::linear || other.inputs != op.inputs) return {};
        group.push_back(static_cast<std::size_t>(found));
    }
    return group;
}

}  // namespace

std::vector<std::vector<std::size_t>> fused_groups(const Model& model, const Block& block,
                                                   Kernels kernels) {
    std::vector<std::vector<std::size_t>> groups;
    std::vector<bool> taken(block.ops.size(), false);
    for (std::size_t i = 0; i < block.ops.size(); ++i) {
        if (taken[i]) continue;
        std::vector<std::size_t> group;
        for (const auto& names : model.fused) {
            if (group.empty() && kernels == Kernels::served)
                group = joined_linears(block, i, names);
        }
        const bool add_and_norm = kernels == Kernels::served && i + 1 < block.ops.size() &&
                                  block.ops[i].kind == OpKind::add &&
                                  block.ops[i + 1].kind == OpKind::norm &&
                                  block.ops[i + 1].inputs == block.ops[i].outputs;
        if (add_and_norm) group = {i, i + 1};
        if (group.empty()) group = {i};
        for (const auto op : group) taken[op] = true;
        groups.push_back(std::move(group));
    }
    return groups;
}

bool norms_cross_layers(const Model& model) {
    const Op* norm = nullptr;
    std::vector<std::string> weights;
    const auto names = [](const Block& block, const Op& op) {
        std::vector<std::string> found;
        for (const int tensor : op.weights)
            found.push_back(block.tensors[static_cast<std::size_t>(tensor)].name);
        return found;
    };
    const auto begins = [](const Block& block) {
        const auto& first = block.ops.front();
        return first.kind == OpKind::norm && first.inputs == std::vector<int>{block.input};
    };
    for (const auto& block : model.blocks) {
        if (block.prefix.find('*') == std::string::npos) continue;
        const auto& last = block.ops.back();
        if (block.ops.size() < 2 || !begins(block) || last.kind != OpKind::add ||
            last.outputs != std::vector<int>{block.output})
            return false;
        const auto& first = block.ops.front();
        if (!norm) {
            norm = &first;
            weights = names(block, first);
        }
        if (first.spec != norm->spec || names(block, first) != weights) return false;
    }
    const auto& head = model.blocks.back();
    return norm && begins(head) && head.ops.front().spec == norm->spec &&
           head.ops.front().weights.size() == weights.size();
}

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

void fuse_residual_norms(Section& section) {
    for (std::size_t i = 0; i + 1 < section.steps.size(); ++i) {
        const auto& add = section.steps[i];
        const auto& norm = section.steps[i + 1];
        if (add.kind != OpKind::add || norm.kind != OpKind::norm || norm.inputs != add.outputs)
            continue;
        section.steps[i] = add_then_norm(add, norm, norm.name);
        section.steps.erase(section.steps.begin() + static_cast<std::ptrdiff_t>(i) + 1);
    }
}

void fuse_across_layers(Program& program) {
    if (program.order.size() < 2 || !norms_cross(program)) return;
    auto& head = program.sections.back();
    const auto final_norm = head.steps.front();
    std::vector<Step> norms;  // before the steps move
    for (const auto& section : program.sections)
        norms.push_back(is_layer(section) ? *norm_after(program, section) : Step{});
    const auto first_layer = static_cast<std::size_t>(program.order[1]);
    auto first = program.sections[first_layer].steps.front();
    const auto layer_weights = first.weights;
    for (std::size_t s = 0; s < program.sections.size(); ++s) {
        auto& section = program.sections[s];
        if (!is_layer(section)) continue;
        auto& last = section.steps.back();
        last = add_then_norm(last, norms[s], "next." + first.name);
        last.weights = layer_weights;
        for (std::size_t i = 0; i < layer_weights.size(); ++i) {
            last.weights[i].next_layer = true;
            last.weights[i].last = final_norm.weights[i].tensor;
        }
        section.steps.erase(section.steps.begin());
    }
    first.name = "layers.0." + first.name;
    for (auto& weight : first.weights) weight.next_layer = true;
    program.sections.front().steps.push_back(std::move(first));
    head.steps.erase(head.steps.begin());
    const auto before_head = static_cast<std::size_t>(program.order[program.order.size() - 2]);
    replace_input(head, final_norm.outputs[0], norms[before_head].outputs[0]);
}

void part_outputs(Program& program) {
    std::vector<std::vector<int>> groups;
    for (auto& section : program.sections) {
        for (std::size_t s = 0; s < section.steps.size(); ++s) {
            const auto outputs = section.steps[s].outputs;
            if (section.steps[s].kind != OpKind::linear || outputs.size() < 2) continue;
            if (std::find(groups.begin(), groups.end(), outputs) != groups.end()) continue;
            const bool taken = std::any_of(outputs.begin(), outputs.end(), [&](int buffer) {
                return std::any_of(groups.begin(), groups.end(),
                                   [&](const auto& group) { return contains(group, buffer); });
            });
            auto group = outputs;
            for (auto& buffer : group) {
                if (!taken) break;
                const auto copy = program.buffers[static_cast<std::size_t>(buffer)];
                program.buffers.push_back(copy);
                const int own = static_cast<int>(program.buffers.size()) - 1;
                for (auto& step : section.steps) {
                    std::replace(step.inputs.begin(), step.inputs.end(), buffer, own);
                    std::replace(step.outputs.begin(), step.outputs.end(), buffer, own);
                }
                buffer = own;
            }
            groups.push_back(std::move(group));
        }
    }
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
