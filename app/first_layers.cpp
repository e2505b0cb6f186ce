#include "app/first_layers.h"

#include <algorithm>
#include <limits>

#include "app/carried_buffers.h"
#include "planner/train.h"

namespace tplan {
namespace {

/// Does `next` begin with what `section` leaves with its last step, or anywhere before the
/// layers?
bool hands_on(const Section& section, const Section& next, bool layer) {
    std::vector<int> left;
    for (const auto& step : section.steps) {
        if (layer) left.clear();
        left.insert(left.end(), step.outputs.begin(), step.outputs.end());
    }
    return std::ranges::all_of(carried_into(next),
                               [&](int buffer) { return std::ranges::count(left, buffer) > 0; });
}

/// Names of the parameters a section works with: layers of one kind have the same.
std::vector<std::string> parameters_of(const Program& program, const Section& section) {
    std::vector<std::string> names;
    for (const auto& step : section.steps) {
        for (const auto& weight : step.weights)
            names.push_back(program.tensors[static_cast<std::size_t>(weight.tensor)].name);
    }
    return names;
}

/// A training program cut short goes back through the layers it came through: its last layer must
/// hand on to the head as it is.
void end_training_as_the_head_begins(Program& program) {
    std::size_t head = 0;
    while (head + 1 < program.order.size() && program.order_layer[head] < 0) ++head;
    while (head + 1 < program.order.size() && program.order_layer[head] >= 0) ++head;
    const auto section = [&](std::size_t place) -> Section& {
        return program.sections[static_cast<std::size_t>(program.order[place])];
    };
    if (head == 0 || !hands_on(section(head - 1), section(head), true)) {
        throw Error("--layers", "the plan cannot be cut to this many layers",
                    "its last layer lies otherwise than the first ones: run all of them");
    }
    for (auto& step : section(program.order.size() - 1).steps) {
        if (step.optimizer) step.weight_bytes = updated_bytes(program, *step.optimizer);
    }
}

/// The last layer may lie otherwise than those before it (the head needs every row on every
/// rank): a program cut short ends with the layout of its kind that the head can begin with.
void end_as_the_head_begins(Program& program) {
    if (program.order.size() < 3) return;
    if (program.mesh) return end_training_as_the_head_begins(program);
    const auto section = [&](std::size_t place) -> const Section& {
        return program.sections[static_cast<std::size_t>(program.order[place])];
    };
    const auto last = program.order.size() - 2;
    const auto& head = section(last + 1);
    if (hands_on(section(last), head, true)) return;
    const auto kind = parameters_of(program, section(last));
    for (std::size_t s = 0; s < program.sections.size(); ++s) {
        const auto& other = program.sections[s];
        const auto place = static_cast<int>(s);
        const bool layer = place != program.order.front() && place != program.order.back();
        if (!layer || parameters_of(program, other) != kind || !hands_on(other, head, true) ||
            !hands_on(section(last - 1), other, last > 1))
            continue;
        program.order[last] = static_cast<int>(s);
        return;
    }
    throw Error("--layers", fmt::format("the plan cannot be cut to {} layers", last),
                "its last layer lies otherwise than the first ones: give more layers");
}

}  // namespace

Program first_layers(const Program& program, int layers) {
    auto cut = program;
    cut.order.clear();
    cut.order_layer.clear();
    for (std::size_t i = 0; i < program.order.size(); ++i) {
        if (program.order_layer[i] >= layers) continue;
        cut.order.push_back(program.order[i]);
        cut.order_layer.push_back(program.order_layer[i]);
    }
    end_as_the_head_begins(cut);
    for (auto& section : cut.sections) section.layers.clear();
    for (std::size_t i = 0; i < cut.order.size(); ++i)
        cut.sections[static_cast<std::size_t>(cut.order[i])].layers.push_back(cut.order_layer[i]);
    return cut;
}

Estimate estimate_of_layers(const PlanDocument& plan, int layers) {
    auto options = plan.request.plan;
    options.tp = plan.tp;
    return make_estimate(plan.model_source, first_layers(plan.program, layers), plan.hardware,
                         options, plan.request.cost, plan.workload, plan.request.training);
}

}  // namespace tplan
