#include "planner/op_choice.h"

#include <algorithm>
#include <cassert>

#include "planner/column_cut.h"
#include "planner/cut.h"

namespace tplan {
namespace {

using State = LayoutState;

std::size_t at(int i) {
    return static_cast<std::size_t>(i);
}

struct Scene {
    const Block& block;
    const Op& op;
    int tp;
    std::optional<Shares> shares;  // unequal ones

    const Activation& activation(int i) const { return block.activations[at(i)]; }
    const Tensor& weight(std::size_t slot) const { return block.tensors[at(op.weights[slot])]; }
    std::optional<Split> cut(int of) const { return column_cut(block, of, tp, shares); }

    /// Every rank's own rows need rows that are tokens.
    bool has_tokens() const {
        const auto tokens = [&](int i) { return activation(i).rows == Rows::tokens; };
        return std::all_of(op.inputs.begin(), op.inputs.end(), tokens) &&
               std::all_of(op.outputs.begin(), op.outputs.end(), tokens);
    }

    /// All inputs in one state, all outputs in another, weights whole.
    OpChoice uniform(std::string name, State in, State out) const {
        return {std::move(name), std::vector(op.inputs.size(), in),
                std::vector(op.outputs.size(), out), std::vector<TensorPlan>(op.weights.size())};
    }
};

using Choices = std::vector<OpChoice>;

void add_tokens(const Scene& scene, Choices& choices) {
    if (!scene.has_tokens()) return;
    choices.push_back(scene.uniform("tokens", State::tokens, State::tokens));
}

TensorPlan weight_plan(const char* style, Split split, int dim) {
    split.dim = dim;
    return {style, split};
}

void choose_embedding(const Scene& scene, Choices& choices) {
    const auto& table = scene.weight(0);
    const auto vocabulary = scene.uniform("vocabulary", State::replicated, State::partial);
    const auto rows = table.shape[0];
    const auto cut = [&](std::int64_t n, int dim) {
        const bool even = !scene.shares && n % scene.tp == 0;
        const auto kind = even ? SplitKind::chunk : SplitKind::balanced;
        return Split{.kind = kind,
                     .dim = dim,
                     .parts = scene.tp,
                     .blocks = 2,
                     .unit = kind == SplitKind::chunk ? 1 : 16,
                     .shares = scene.shares};
    };
    choices.push_back(vocabulary);
    choices.back().weights[0] = {"embedding_rowwise", cut(rows, 0)};
    if (const auto columns = scene.cut(scene.op.outputs[0])) {
        choices.push_back(scene.uniform("hidden", State::replicated, State::columns));
        choices.back().weights[0] = weight_plan("embedding_colwise", *columns, 1);
    }
    add_tokens(scene, choices);
}

void choose_linear(const Scene& scene, Choices& choices) {
    const int out_dim = scene.op.spec.transposed ? 1 : 0;
    const bool bias = scene.op.weights.size() > 1;
    const bool packed = scene.weight(0).packed_halves == 2;
    if (const auto columns = scene.cut(scene.op.outputs[0])) {
        const auto* style = packed ? "packed_colwise" : "colwise";
        choices.push_back(scene.uniform("out", State::replicated, State::columns));
        choices.back().weights[0] = weight_plan(style, *columns, out_dim);
        if (bias) choices.back().weights[1] = weight_plan(style, *columns, 0);
    }
    if (const auto columns = scene.cut(scene.op.inputs[0])) {
        choices.push_back(scene.uniform("in", State::columns, State::partial));
        choices.back().weights[0] = weight_plan("rowwise", *columns, 1 - out_dim);
        if (bias) choices.back().weights[1].style = "rowwise";
    }
    add_tokens(scene, choices);
}

void choose_norm(const Scene& scene, Choices& choices) {
    const auto& norm = *scene.op.spec.norm;
    const bool own = norm.group > 0 && !norm.weight_per_group && scene.cut(scene.op.inputs[0]);
    if (own) choices.push_back(scene.uniform("columns", State::columns, State::columns));
    add_tokens(scene, choices);
}

void choose_add(const Scene& scene, Choices& choices) {
    if (scene.op.spec.factor == 1)
        choices.push_back(scene.uniform("partial", State::partial, State::partial));
    if (scene.op.inputs.size() == 3) {
        for (const auto state : {State::replicated, State::tokens}) {
            const bool rows = state == State::tokens;
            choices.push_back(
                scene.uniform(rows ? "summed tokens" : "summed", State::partial, state));
            choices.back().inputs[0] = state;
        }
    }
    add_tokens(scene, choices);
}

/// Every input by its heads, if it has any that can be cut.
void choose_rope(const Scene& scene, Choices& choices) {
    auto choice = scene.uniform("heads", State::replicated, State::replicated);
    for (std::size_t i = 0; i < scene.op.inputs.size(); ++i) {
        if (scene.cut(scene.op.inputs[i])) choice.inputs[i] = choice.outputs[i] = State::columns;
    }
    if (choice.inputs[0] == State::columns) choices.push_back(std::move(choice));
}

void choose_unpack(const Scene& scene, Choices& choices) {
    const auto cuttable = [&](int of) { return scene.cut(of).has_value(); };
    const auto& outputs = scene.op.outputs;
    if (cuttable(scene.op.inputs[0]) && std::all_of(outputs.begin(), outputs.end(), cuttable))
        choices.push_back(scene.uniform("heads", State::columns, State::columns));
}

void choose_attention(const Scene& scene, Choices& choices) {
    const auto& spec = *scene.op.spec.attention;
    const bool latent = spec.latent_width > 0;
    auto choice = scene.uniform("heads", State::columns, State::columns);
    if (latent) choice.inputs[1] = State::replicated;  // the rotated key all heads share
    for (std::size_t i = 0; i < 3; ++i) {
        if (choice.inputs[i] == State::columns && !scene.cut(scene.op.inputs[i])) return;
    }
    const auto out = scene.cut(scene.op.outputs[0]);
    if (!out) return;
    if (!choice.weights.empty()) {  // sinks, one per head
        auto sinks = *out;
        sinks.unit = sinks.kind == SplitKind::balanced ? 1 : sinks.unit;
        choice.weights[0] = weight_plan("colwise", sinks, 0);
    }
    choices.push_back(std::move(choice));
}

void choose_columnwise(const Scene& scene, Choices& choices) {
    if (scene.cut(scene.op.inputs[0]) && scene.cut(scene.op.outputs[0]))
        choices.push_back(scene.uniform("columns", State::columns, State::columns));
    add_tokens(scene, choices);
}

void choose_multiply(const Scene& scene, Choices& choices) {
    for (const auto state : {State::columns, State::partial}) {
        if (state == State::columns && !scene.cut(scene.op.inputs[0])) continue;
        choices.push_back(scene.uniform(std::string(name_of(state)), state, state));
        choices.back().inputs[1] = State::replicated;  // the gate: one column per row
    }
    add_tokens(scene, choices);
}

/// Of its own columns every rank leaves its own candidates.
void choose_largest(const Scene& scene, Choices& choices) {
    if (!scene.op.spec.largest->of_pairs && scene.cut(scene.op.inputs[0]))
        choices.push_back(scene.uniform("columns", State::columns, State::columns));
}

void choose_select(const Scene& scene, Choices& choices) {
    choices.push_back(scene.uniform("partial", State::partial, State::partial));
}

void choose_experts(const Scene& scene, Choices& choices) {
    const auto& gate_up = scene.weight(0);
    const auto& spec = *scene.op.spec.moe;
    const bool even = !scene.shares && spec.experts % scene.tp == 0;
    if (spec.experts >= scene.tp) {
        const Split by_expert{.kind = even ? SplitKind::chunk : SplitKind::balanced,
                              .dim = 0,
                              .parts = scene.tp,
                              .shares = scene.shares};
        choices.push_back(scene.uniform("experts", State::replicated, State::partial));
        for (auto& weight : choices.back().weights) weight = {"grouped_gemm", by_expert};
    }
    const auto shard = spec.ffn / scene.tp;
    const auto& down = scene.weight(1);
    const auto block = std::max({std::int64_t{1}, gate_up.quant_block[0], down.quant_block[1]});
    const bool inner = spec.ffn % scene.tp == 0 && shard % block == 0;
    // The bias of the down projection would be added once per rank.
    if (inner && scene.op.weights.size() == 2) {
        choices.push_back(scene.uniform("ffn", State::replicated, State::partial));
        for (std::size_t slot = 0; slot < 2; ++slot) {
            const auto& tensor = scene.weight(slot);
            const auto axis = std::find(tensor.axes.begin(), tensor.axes.end(), Axis::ffn);
            const bool packed = tensor.packed_halves == 2;
            choices.back().weights[slot] = {packed ? "packed_colwise" : "rowwise",
                                            {.kind = packed ? SplitKind::packed : SplitKind::chunk,
                                             .dim = static_cast<int>(axis - tensor.axes.begin()),
                                             .parts = scene.tp}};
        }
    }
    add_tokens(scene, choices);
}

struct ChoiceRow {
    OpKind kind;
    void (*add)(const Scene&, Choices&);
};
constexpr std::array kRows = {
    ChoiceRow{OpKind::embedding, choose_embedding},
    ChoiceRow{OpKind::position_embedding, add_tokens},
    ChoiceRow{OpKind::linear, choose_linear},
    ChoiceRow{OpKind::norm, choose_norm},
    ChoiceRow{OpKind::add, choose_add},
    ChoiceRow{OpKind::add_norm, add_tokens},
    ChoiceRow{OpKind::rope, choose_rope},
    ChoiceRow{OpKind::unpack_qkv, choose_unpack},
    ChoiceRow{OpKind::attention, choose_attention},
    ChoiceRow{OpKind::activation, choose_columnwise},
    ChoiceRow{OpKind::multiply, choose_multiply},
    ChoiceRow{OpKind::select_last, choose_select},
    ChoiceRow{OpKind::scale, choose_columnwise},
    ChoiceRow{OpKind::split_columns, add_tokens},
    ChoiceRow{OpKind::moe_router, add_tokens},
    ChoiceRow{OpKind::moe_experts, choose_experts},
    ChoiceRow{OpKind::largest, choose_largest},
};
static_assert(kRows.size() == static_cast<std::size_t>(OpKind::all_reduce),
              "one row per compute kind, in the order of the enumerators");

}  // namespace

Layout layout_of(const Block& block, int activation, LayoutState state, int tp,
                 const std::optional<Shares>& shares) {
    switch (state) {
        case State::replicated:
            return Layout::replicated();
        case State::partial:
            return Layout::partial();
        case State::columns:
            return Layout::columns(column_cut(block, activation, tp, shares).value());
        case State::tokens:
            return Layout::tokens(tp);
    }
    return {};
}

std::vector<OpChoice> op_choices(const Block& block, const Op& op, int tp,
                                 const std::optional<Shares>& shares) {
    const Scene scene{block, op, tp, unequal(shares)};
    Choices choices{scene.uniform("replicated", State::replicated, State::replicated)};
    if (tp == 1) return choices;
    const auto& row = kRows[static_cast<std::size_t>(op.kind)];
    assert(row.kind == op.kind);
    row.add(scene, choices);
    return choices;
}

}  // namespace tplan
