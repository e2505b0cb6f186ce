#include "planner/train_backward.h"

// Rumelhart, Hinton & Williams, Learning representations by back-propagating errors, 1986.
// Shoeybi et al., Megatron-LM, 2019: the conjugate operators f and g.
// Korthikanti et al., Reducing activation recomputation in large transformer models, 2022: their
// sequence-parallel forms, and which values to keep.

#include <algorithm>
#include <array>
#include <cassert>
#include <utility>

#include "core/text.h"
#include "planner/train_rules.h"

namespace tplan {
namespace {

std::size_t at(int i) {
    return static_cast<std::size_t>(i);
}

/// A collective of the transposed kind on gradients.
Step collective(OpKind kind, const std::string& name, const Step& like, std::int64_t columns) {
    Step step{.kind = kind,
              .name = name,
              .rows = like.rows,
              .n = columns,
              .dtype = like.dtype,
              .algorithm = kind == OpKind::slice ? "" : "auto",
              .stream = kind == OpKind::slice ? 0 : 1};
    step.pass = Pass::gradient;
    return step;
}

/// The transpose of what moved the value; of a whole gradient where each rank keeps a part, a
/// slice.
constexpr std::array kTransposed = {
    std::pair{OpKind::all_gather, OpKind::reduce_scatter},
    std::pair{OpKind::reduce_scatter, OpKind::all_gather},
    std::pair{OpKind::all_to_all, OpKind::all_to_all},
    std::pair{OpKind::slice, OpKind::all_gather},
};

}  // namespace

/// The step of the section that made the value as it stands before `step_`.
const Step* Backward::producer(int value) const {
    for (std::size_t i = position_; i-- > 0;) {
        if (contains(forward_.steps[i].outputs, value)) return &forward_.steps[i];
    }
    return nullptr;
}

/// Whether a value has its gradient there.
bool Backward::is_held(int gradient) const {
    return std::any_of(states_.begin(), states_.end(),
                       [&](const GradientState& s) { return s.buffer == gradient; });
}

/// A buffer for one more contribution to the gradient of a value, that nobody needs any more.
int Backward::fresh(int value) {
    for (int contribution = 0;; ++contribution) {
        const int buffer = gradient_buffer(program_, value, contribution);
        const bool read = std::any_of(outs_.begin(), outs_.end(),
                                      [&](const GradientState& s) { return s.buffer == buffer; });
        if (!read && !is_held(buffer)) return buffer;
    }
}

/// Where the sum of the value's gradients so far and one more may go: over that sum, unless another
/// value has it too.
int Backward::target(int value) {
    const auto own = std::exchange(state(value), {});
    const int buffer = fresh(value);
    state(value) = own;
    return buffer;
}

Step& Backward::append(const std::string& suffix, Pass pass) {
    auto& made = section_.steps.emplace_back();
    made.kind = step_->kind;
    made.name = step_->name + "." + suffix;
    made.rows = step_->rows;
    made.spec = step_->spec;
    made.weights = step_->weights;
    made.weight_bytes = step_->weight_bytes;
    made.weight_dtype = step_->weight_dtype;
    made.dtype = step_->dtype;
    made.n = step_->n;
    made.pass = pass;
    return made;
}

void Backward::reduce(int value, GradientState& gradient) {
    // Only the chosen experts' weights have a gradient, not all of the router's columns.
    const bool routed = step_->kind == OpKind::moe_experts && contains(step_->inputs, value) &&
                        value != step_->inputs[0];
    const auto columns = routed ? step_->spec.moe->top_k : buffer(value).width;
    auto sum = collective(OpKind::all_reduce,
                          step_->name + (routed ? ".scores" : "") + ".input_gradient.all_reduce",
                          *step_, columns);
    sum.rows = buffer(value).rows;
    sum.inputs = sum.outputs = {gradient.buffer};
    section_.steps.push_back(std::move(sum));
    gradient.partial = false;
}

/// One more contribution to the gradient of a value.
void Backward::add_to(int value, GradientState gradient) {
    auto& sum = state(value);
    const auto* made_by = producer(value);
    const bool gathered = made_by != nullptr && made_by->kind == OpKind::all_gather;
    if (gradient.partial && !gathered) reduce(value, gradient);
    if (sum.buffer < 0) {
        sum = gradient;
        return;
    }
    if (sum.partial != gradient.partial) reduce(value, sum.partial ? sum : gradient);
    const int into = target(value);
    Step add{.kind = OpKind::add,
             .name = buffer(value).name + ".gradient_sum." + step_->name,
             .inputs = {sum.buffer, gradient.buffer},
             .outputs = {into},
             .rows = buffer(value).rows,
             .n = largest_width(buffer(value).layout, buffer(value).width),
             .weight_dtype = step_->dtype,
             .dtype = step_->dtype};
    add.pass = Pass::gradient;
    section_.steps.push_back(std::move(add));
    sum = {into, gradient.partial};
}

void Backward::give(std::size_t input, GradientState gradient) {
    add_to(step_->inputs[input], gradient);
}

/// Whether the ranks read a whole input for parts of the output: what each makes of its gradient is
/// a part of a sum.
bool Backward::partial_from(std::size_t input) const {
    if (program_.tp == 1 || buffer(step_->inputs[input]).layout.kind == LayoutKind::split)
        return false;
    const auto cut = [&](const WeightRef& ref) {
        return ref.tensor >= 0 && program_.tensors[at(ref.tensor)].split.kind != SplitKind::whole;
    };
    if (step_->kind == OpKind::moe_experts)
        return std::any_of(step_->weights.begin(), step_->weights.end(), cut);
    if (step_->kind == OpKind::rope)  // q and k each on their own
        return buffer(step_->outputs[input]).layout.kind == LayoutKind::split;
    return std::any_of(step_->outputs.begin(), step_->outputs.end(),
                       [&](int b) { return buffer(b).layout.kind == LayoutKind::split; });
}

/// A value of the forward pass as the backward one reads it. Gathered rows are not kept: each rank
/// keeps its own and gathers again (Korthikanti et al. 2022, section 4.2.2).
int Backward::kept(int value) {
    const auto* made_by = producer(value);
    const bool rows = made_by != nullptr && made_by->kind == OpKind::all_gather &&
                      buffer(made_by->inputs[0]).layout.splits_rows();
    if (!rows || contains(again_, value) || recompute_ == Recompute::full) return value;
    auto gather = *made_by;
    gather.name += ".again";
    gather.pass = Pass::gradient;
    section_.steps.push_back(std::move(gather));
    again_.push_back(value);
    return value;
}

/// A collective adds all its biases to its one output.
void Backward::add_bias_gradients(bool of_collective) {
    for (std::size_t i = 0; i < step_->biases.size(); ++i) {
        const std::size_t output = of_collective ? 0 : i;
        if (step_->biases[i].tensor < 0 || outs_[output].buffer < 0) continue;
        auto& sum =
            append(step_->biases.size() > 1 ? fmt::format("bias_gradient.{}", i) : "bias_gradient",
                   Pass::gradient);
        sum.kind = OpKind::add;
        sum.weights = {step_->biases[i]};
        sum.weight_bytes = 0;
        sum.spec = {};
        sum.inputs = {outs_[output].buffer};
        sum.n = 0;
    }
}

/// Adds the step that multiplies the gradient of a sum by the factor of a summand.
void Backward::scale_gradient(std::size_t input, int gradient) {
    const int to = gradient_of(input);
    auto& made = append(fmt::format("gradient.{}", input), Pass::gradient);
    made.kind = OpKind::scale;
    made.spec = {};
    made.spec.factor = step_->spec.factor;
    made.weights.clear();
    made.weight_bytes = 0;
    made.inputs = {gradient};
    made.outputs = {to};
    made.n = largest_width(buffer(to).layout, buffer(to).width);
    give(input, {to, false});
}

/// A weight that every rank holds whole while it works on a part of the values gets a partial
/// gradient.
void Backward::reduce_whole_weights() {
    const auto split = [&](int b) { return buffer(b).layout.kind == LayoutKind::split; };
    const bool parts = std::any_of(step_->inputs.begin(), step_->inputs.end(), split) ||
                       std::any_of(step_->outputs.begin(), step_->outputs.end(), split);
    if (!parts || program_.tp == 1) return;
    double bytes = 0;
    std::vector<WeightRef> weights;
    for (const auto& ref : step_->weights) {
        const auto& tensor = program_.tensors[at(ref.tensor)];
        if (tensor.split.kind != SplitKind::whole) continue;
        double elements = 1;
        for (const auto extent : tensor.shape) elements *= static_cast<double>(extent);
        bytes += elements * bytes_of(tensor.dtype);
        weights.push_back(ref);
    }
    if (weights.empty()) return;
    auto sum =
        collective(OpKind::all_reduce, step_->name + ".weight_gradient.all_reduce", *step_, 0);
    sum.pass = Pass::parameters;
    sum.weights = std::move(weights);
    sum.weight_bytes = bytes;
    section_.steps.push_back(std::move(sum));
}

void Backward::run_collective() {
    add_bias_gradients(true);
    if (step_->kind == OpKind::all_reduce) {  // the sum's gradient is that of every part
        state(step_->inputs[0]) = outs_[0];
        return;
    }
    const auto* row = std::find_if(kTransposed.begin(), kTransposed.end(),
                                   [&](const auto& pair) { return pair.first == step_->kind; });
    assert(row != kTransposed.end());
    auto kind = row->second;
    if (kind == OpKind::reduce_scatter && !outs_[0].partial) kind = OpKind::slice;
    const int source = step_->inputs[0];
    auto made = collective(kind, fmt::format("{}.gradient.{}", step_->name, name_of(kind)), *step_,
                           buffer(source).width);
    if (kind == OpKind::slice) made.n = largest_width(buffer(source).layout, made.n);
    made.inputs = {outs_[0].buffer};
    made.outputs = {fresh(source)};
    const GradientState moved{made.outputs[0], false};
    section_.steps.push_back(std::move(made));
    add_to(source, moved);
}

/// Steps that run once more before anything is differentiated.
void Backward::recompute_values() {
    const bool layer = !section_.layers.empty() && section_.layers.front() >= 0;
    if (recompute_ == Recompute::none || !layer) return;
    for (const auto& step : forward_.steps) {
        const bool cheap = !is_collective(step.kind) && step.kind != OpKind::slice &&
                           backward_row(step.kind).cheap;
        if (recompute_ == Recompute::selective && !cheap) continue;
        auto again = step;
        again.name += ".recompute";
        again.pass = Pass::recompute;
        if (recompute_ == Recompute::selective && step.kind == OpKind::add_norm) {
            again.kind = OpKind::norm;  // of the sum, which is kept
            again.inputs = {step.outputs[0]};
            again.outputs = {step.outputs[1]};
            again.n = largest_width(buffer(step.outputs[1]).layout, buffer(step.outputs[1]).width);
        }
        section_.steps.push_back(std::move(again));
    }
}

Section Backward::run(const std::vector<int>& outgoing) {
    states_.resize(program_.buffers.size());
    recompute_values();
    for (const int value : outgoing) state(value) = {gradient_buffer(program_, value), false};
    for (position_ = forward_.steps.size(); position_-- > 0;) {
        step_ = &forward_.steps[position_];
        outs_.clear();
        bool reached = false;
        for (const int output : step_->outputs) {
            outs_.push_back(state(output));
            reached |= outs_.back().buffer >= 0;
            state(output) = {};
        }
        if (!reached) continue;
        if (is_collective(step_->kind) || step_->kind == OpKind::slice) {
            run_collective();
        } else {
            backward_row(step_->kind).rule(*this);
        }
    }
    leave_gradients();
    return std::move(section_);
}

/// The section that runs next looks for the gradients of what came in where gradient_buffer() has
/// them.
void Backward::leave_gradients() {
    outs_.clear();
    for (std::size_t v = 0; v < states_.size(); ++v) {
        const int value = static_cast<int>(v), from = states_[v].buffer;
        if (from < 0) continue;
        const int to = gradient_buffer(program_, value);
        if (from == to) continue;
        assert(!is_held(to) && "two incoming values, each where the other's gradient belongs");
        auto& copy = section_.steps.emplace_back();
        copy.kind = OpKind::scale;
        copy.name = buffer(value).name + ".gradient_copy";
        copy.inputs = {from};
        copy.outputs = {to};
        copy.rows = buffer(value).rows;
        copy.n = largest_width(buffer(value).layout, buffer(value).width);
        copy.weight_dtype = copy.dtype = forward_.steps.front().dtype;
        copy.pass = Pass::gradient;
    }
}

int gradient_buffer(Program& program, int of, int contribution) {
    auto buffer = program.buffers[at(of)];
    buffer.name += ".gradient";
    if (contribution > 0) buffer.name += "." + std::to_string(contribution);
    const auto found = std::find(program.buffers.begin(), program.buffers.end(), buffer);
    if (found != program.buffers.end()) return static_cast<int>(found - program.buffers.begin());
    program.buffers.push_back(std::move(buffer));
    return static_cast<int>(program.buffers.size()) - 1;
}

Section backward_section(Program& program, const Section& forward, const std::vector<int>& outgoing,
                         Recompute recompute) {
    return Backward(program, forward, recompute).run(outgoing);
}

}  // namespace tplan
