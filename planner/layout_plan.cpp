#include "planner/layout_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "planner/cut.h"

namespace tplan {
namespace {

std::size_t at(int i) {
    return static_cast<std::size_t>(i);
}

[[noreturn]] void refuse(const std::string& where, const std::string& what) {
    throw Error("layout/" + where, what, "make the plan again with `tplan plan`");
}

const OpChoice& find_choice(const std::vector<OpChoice>& choices, const std::string& op,
                            const std::string& name, int tp) {
    const auto found = std::find_if(choices.begin(), choices.end(),
                                    [&](const OpChoice& choice) { return choice.name == name; });
    if (found == choices.end())
        refuse(op, fmt::format("\"{}\" is not possible at TP {}", name, tp));
    return *found;
}

/// Appends the cuts and flows of one block under its choices.
void plan_block(const Block& block, const BlockLayout& layout, Plan& plan) {
    const int tp = plan.options.tp;
    const auto& shares = plan.options.shares;
    const auto lies = [&](int activation, LayoutState state) {
        return layout_of(block, activation, state, tp, shares);
    };
    auto& cuts = plan.tensors.emplace_back(block.tensors.size());
    auto& flow = plan.flows.emplace_back();
    plan.op_styles.emplace_back(block.ops.size(), -1);
    if (layout.ops.size() != block.ops.size())
        refuse(fmt::format("block {}", layout.block),
               fmt::format("{} choices for {} ops", layout.ops.size(), block.ops.size()));
    for (std::size_t i = 0; i < block.ops.size(); ++i) {
        const auto& op = block.ops[i];
        const auto& [name, chosen] = layout.ops[i];
        if (name != op.name) refuse(name, fmt::format("expected a choice for {}", op.name));
        const auto choice = find_choice(op_choices(block, op, tp, shares), name, chosen, tp);
        for (std::size_t slot = 0; slot < op.weights.size(); ++slot)
            cuts[at(op.weights[slot])] = choice.weights[slot];
        auto& layouts = flow.ops.emplace_back();
        for (std::size_t in = 0; in < op.inputs.size(); ++in)
            layouts.inputs.push_back(lies(op.inputs[in], choice.inputs[in]));
        for (std::size_t out = 0; out < op.outputs.size(); ++out)
            layouts.outputs.push_back(lies(op.outputs[out], choice.outputs[out]));
    }
    cut_scales(block, cuts);
    if (block.input >= 0) flow.input = lies(block.input, layout.input);
    flow.output = lies(block.output, layout.output);
}

/// Index of the entry for a place of the sequence.
int entry_for(const std::vector<BlockLayout>& layout, const BlockUse& use) {
    for (std::size_t i = 0; i < layout.size(); ++i) {
        const auto& layers = layout[i].layers;
        if (layout[i].block == use.block &&
            std::find(layers.begin(), layers.end(), use.layer) != layers.end())
            return static_cast<int>(i);
    }
    refuse(fmt::format("layer {}", use.layer), "no entry says how it lies");
}

}  // namespace

LaidOut apply_layout(const Model& model, const PlanOptions& options,
                     const std::vector<BlockLayout>& layout) {
    std::optional<Model> kept;
    const auto& sampled = with_sampling(model, options, kept);
    LaidOut laid_out{.model = sampled, .plan = {}};
    laid_out.plan.options = options;
    laid_out.plan.styles = shared_styles();
    laid_out.model.blocks.clear();
    for (const auto& entry : layout) {
        if (entry.block < 0 || at(entry.block) >= sampled.blocks.size())
            refuse(fmt::format("block {}", entry.block), "there is no such block");
        const auto& block = sampled.blocks[at(entry.block)];
        plan_block(block, entry, laid_out.plan);
        laid_out.model.blocks.push_back(block);
    }
    auto stream = LayoutState::replicated;
    for (auto& use : laid_out.model.sequence) {
        use.block = entry_for(layout, use);
        const auto& entry = layout[at(use.block)];
        const bool first = &use == &laid_out.model.sequence.front();
        if (!first && entry.input != stream) {
            refuse(fmt::format("layer {}", use.layer),
                   fmt::format("takes the stream {}, but gets it {}", name_of(entry.input),
                               name_of(stream)));
        }
        stream = entry.output;
    }
    return laid_out;
}

}  // namespace tplan
