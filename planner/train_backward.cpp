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

namespace tplan {
namespace {

std::size_t at(int i) {
    return static_cast<std::size_t>(i);
}

class Backward {
  public:
    Backward(Program& program, const Section& forward, Recompute recompute)
        : program_(program), forward_(forward), recompute_(recompute) {
        section_.name = forward.name + " backward";
        section_.layers.assign(forward.layers.rbegin(), forward.layers.rend());
    }

    Section run(const std::vector<int>& outgoing);

    // What rules are made of.
    const Step& step() const { return *step_; }
    const Buffer& buffer(int i) const { return program_.buffers[at(i)]; }
    GradientState out(std::size_t output) { return outs_[output]; }
    Step& append(const std::string& suffix, Pass pass);
    void give(std::size_t input, GradientState gradient);
    int gradient_of(std::size_t input) { return gradient_buffer(program_, step_->inputs[input]); }
    bool partial_from(std::size_t input) const;
    int kept(int value);
    void add_bias_gradients();
    void reduce_whole_weights();

  private:
    GradientState& state(int value) {
        if (at(value) >= states_.size()) states_.resize(at(value) + 1);
        return states_[at(value)];
    }
    const Step* producer(int value) const;
    void recompute_values();
    void reduce(int value, GradientState& gradient);
    void add_to(int value, GradientState gradient);
    void run_collective();

    Program& program_;
    const Section& forward_;
    Recompute recompute_;
    Section section_;
    std::vector<GradientState> states_;  // by buffer of the value
    const Step* step_ = nullptr;
    std::size_t position_ = 0;
    std::vector<GradientState> outs_;  // of the outputs of `step_`
    std::vector<int> again_;           // gathered values that were gathered again
};

/// The step of the section that made the value as it stands before `step_`.
const Step* Backward::producer(int value) const {
    for (std::size_t i = position_; i-- > 0;) {
        if (contains(forward_.steps[i].outputs, value)) return &forward_.steps[i];
    }
    return nullptr;
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
    const int into = gradient_buffer(program_, value);
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

void Backward::add_bias_gradients() {
    for (std::size_t i = 0; i < step_->biases.size() && i < outs_.size(); ++i) {
        if (step_->biases[i].tensor < 0 || outs_[i].buffer < 0) continue;
        auto& sum =
            append(step_->biases.size() > 1 ? fmt::format("bias_gradient.{}", i) : "bias_gradient",
                   Pass::gradient);
        sum.kind = OpKind::add;
        sum.weights = {step_->biases[i]};
        sum.weight_bytes = 0;
        sum.inputs = {outs_[i].buffer};
        sum.n = 0;
    }
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

// -- rules ----------------------------------------------------------------------------------------

/// The gradient of a sum is that of its parts.
void pass_on(Backward& b) {
    for (std::size_t i = 0; i < b.step().inputs.size(); ++i) b.give(i, b.out(0));
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
    b.add_bias_gradients();
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
    const int to = b.out(0).buffer >= 0 ? b.out(0).buffer : b.gradient_of(0);
    if (b.out(1).buffer >= 0) {
        auto& made = b.append("gradient", Pass::gradient);
        made.kind = OpKind::norm;
        made.inputs = {sum, b.out(1).buffer};
        if (b.out(0).buffer >= 0) made.inputs.push_back(to);
        made.outputs = {to};
        made.n = largest_width(b.buffer(sum).layout, b.buffer(sum).width);
        b.reduce_whole_weights();
    }
    for (std::size_t i = 0; i < step.inputs.size(); ++i) b.give(i, {to, false});
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

struct BackwardRow {
    OpKind kind;
    void (*rule)(Backward&);
    bool cheap;  // a pass over memory whose result `selective` makes again
};
constexpr std::array kBackward = {
    BackwardRow{OpKind::embedding, differentiate_table, false},
    BackwardRow{OpKind::position_embedding, differentiate_table, false},
    BackwardRow{OpKind::linear, differentiate_linear, false},
    BackwardRow{OpKind::norm, from_inputs, true},
    BackwardRow{OpKind::add, pass_on, false},
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

/// The transpose of what moved the value; of a whole gradient where each rank keeps a part, a
/// slice.
constexpr std::array kTransposed = {
    std::pair{OpKind::all_gather, OpKind::reduce_scatter},
    std::pair{OpKind::reduce_scatter, OpKind::all_gather},
    std::pair{OpKind::all_to_all, OpKind::all_to_all},
    std::pair{OpKind::slice, OpKind::all_gather},
};

void Backward::run_collective() {
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
    made.outputs = {gradient_buffer(program_, source)};
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
                           kBackward[static_cast<std::size_t>(step.kind)].cheap;
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
            kBackward[static_cast<std::size_t>(step_->kind)].rule(*this);
        }
    }
    return std::move(section_);
}

}  // namespace

int gradient_buffer(Program& program, int of) {
    auto buffer = program.buffers[at(of)];
    buffer.name += ".gradient";
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
