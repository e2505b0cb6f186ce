#include "planner/train_rules.h"

#include <array>
#include <cassert>

#include "core/text.h"

namespace tplan {
namespace {

/// The gradient of a sum is that of its parts, but for their factor; the first has none.
void pass_on(Backward& b, GradientState sum) {
    for (std::size_t i = 0; i < b.step().inputs.size(); ++i) {
        if (i > 0 && b.step().spec.factor != 1) {
            b.scale_gradient(i, sum.buffer);
        } else {
            b.give(i, sum);
        }
    }
}

void differentiate_add(Backward& b) {
    pass_on(b, b.out(0));
}

void differentiate_linear(Backward& b) {
    const auto& step = b.step();
    std::vector<int> gradients;
    for (std::size_t i = 0; i < step.outputs.size(); ++i) {
        if (b.out(i).buffer >= 0) gradients.push_back(b.out(i).buffer);
    }
    const bool router = step.kind == OpKind::moe_router;
    const auto in = step.k > 0 || !router ? step.k : step.spec.moe->hidden;
    const auto columns = step.n > 0 || !router ? step.n : step.spec.moe->experts;
    const int x = b.kept(step.inputs[0]);
    auto& weight = b.append("weight_gradient", Pass::weight_gradient);
    weight.n = columns;
    weight.k = in;
    weight.inputs = {x};
    weight.inputs.insert(weight.inputs.end(), gradients.begin(), gradients.end());
    b.add_bias_gradients(false);
    b.reduce_whole_weights();

    const int to = b.gradient_of(0);
    auto& input = b.append("input_gradient", Pass::input_gradient);
    input.n = in;
    input.k = columns;
    input.inputs = gradients;
    input.outputs = {to};
    b.give(0, {to, b.partial_from(0)});
}

/// One kernel that reads what `reads_inputs` and `reads_outputs` say besides the gradients of the
/// outputs, and leaves those of the inputs.
void differentiate(Backward& b, bool reads_inputs, bool reads_outputs) {
    const auto& step = b.step();
    std::vector<int> inputs, outputs;
    if (reads_inputs) {
        for (const int value : step.inputs) inputs.push_back(b.kept(value));
    }
    if (reads_outputs) inputs.insert(inputs.end(), step.outputs.begin(), step.outputs.end());
    for (std::size_t i = 0; i < step.outputs.size(); ++i) {
        if (b.out(i).buffer >= 0) inputs.push_back(b.out(i).buffer);
    }
    for (std::size_t i = 0; i < step.inputs.size(); ++i) outputs.push_back(b.gradient_of(i));
    auto& made = b.append("gradient", Pass::gradient);
    made.k = step.k;
    made.inputs = std::move(inputs);
    made.outputs = outputs;
    made.n = 0;
    for (const int gradient : outputs)
        made.n += largest_width(b.buffer(gradient).layout, b.buffer(gradient).width);
    if (step.kind == OpKind::attention || step.kind == OpKind::moe_experts) made.n = step.n;
    b.reduce_whole_weights();
    for (std::size_t i = 0; i < step.inputs.size(); ++i) b.give(i, {outputs[i], b.partial_from(i)});
}

void from_inputs(Backward& b) {
    differentiate(b, true, false);
}
void from_gradients(Backward& b) {
    differentiate(b, false, false);
}
void from_all(Backward& b) {
    differentiate(b, true, true);
}

/// The norm's gradient is added to that of the sum it reads; both summands get it.
void differentiate_add_norm(Backward& b) {
    const auto& step = b.step();
    const int sum = step.outputs[0];
    const bool in_place = b.out(0).buffer >= 0 && !b.is_held(b.out(0).buffer);
    const int to = in_place ? b.out(0).buffer : b.gradient_of(0);
    if (b.out(1).buffer >= 0) {
        auto& made = b.append("gradient", Pass::gradient);
        made.kind = OpKind::norm;
        made.inputs = {sum, b.out(1).buffer};
        if (b.out(0).buffer >= 0) made.inputs.push_back(b.out(0).buffer);
        made.outputs = {to};
        made.n = largest_width(b.buffer(sum).layout, b.buffer(sum).width);
        b.reduce_whole_weights();
    }
    pass_on(b, {b.out(1).buffer >= 0 ? to : b.out(0).buffer, false});
}

/// Rows of the table get the gradients of the tokens that looked them up.
void differentiate_table(Backward& b) {
    const auto& step = b.step();
    auto& made = b.append("weight_gradient", Pass::gradient);
    made.inputs = {b.out(0).buffer};
    made.n = step.n;
    b.reduce_whole_weights();
    for (std::size_t i = 0; i < step.inputs.size(); ++i) b.give(i, b.out(0));
}

/// require_training() refuses what would choose tokens.
void refuse_choice(Backward&) {
    assert(false && "a choice has no gradient");
}

constexpr std::array kBackward = {
    BackwardRow{OpKind::embedding, differentiate_table, false},
    BackwardRow{OpKind::position_embedding, differentiate_table, false},
    BackwardRow{OpKind::linear, differentiate_linear, false},
    BackwardRow{OpKind::norm, from_inputs, true},
    BackwardRow{OpKind::add, differentiate_add, false},
    BackwardRow{OpKind::add_norm, differentiate_add_norm, true},
    BackwardRow{OpKind::rope, from_gradients, false},
    BackwardRow{OpKind::unpack_qkv, from_gradients, false},
    BackwardRow{OpKind::attention, from_all, false},
    BackwardRow{OpKind::activation, from_inputs, true},
    BackwardRow{OpKind::multiply, from_inputs, true},
    BackwardRow{OpKind::select_last, from_gradients, false},
    BackwardRow{OpKind::scale, from_inputs, false},
    BackwardRow{OpKind::split_columns, from_gradients, false},
    BackwardRow{OpKind::moe_router, differentiate_linear, false},
    BackwardRow{OpKind::moe_experts, from_inputs, false},
    BackwardRow{OpKind::largest, refuse_choice, false},
};
static_assert(kBackward.size() == static_cast<std::size_t>(OpKind::all_reduce),
              "one row per compute kind, in the order of the enumerators");

}  // namespace

const BackwardRow& backward_row(OpKind kind) {
    const auto at = static_cast<std::size_t>(kind);
    assert(at < kBackward.size());
    return kBackward[at];
}

}  // namespace tplan
