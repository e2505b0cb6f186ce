#include "planner/lower.h"

#include <fmt/format.h>

#include <algorithm>

#include "planner/fuse.h"
#include "planner/lower_block.h"

namespace tplan {
namespace {

struct LayerKind {
    bool sliding = false, moe = false;
    explicit LayerKind(const Block& block) {
        for (const auto& op : block.ops) {
            if (op.kind == OpKind::attention) sliding = op.spec.attention->window > 0;
            if (op.kind == OpKind::moe_experts) moe = true;
        }
    }
};

/// "layer", or with several kinds what tells them apart: "layer (sliding)", "layer (full, moe)".
std::string layer_name(const Model& model, const std::vector<std::size_t>& kinds,
                       std::size_t self) {
    if (kinds.size() == 1) return "layer";
    const LayerKind own(model.blocks[self]);
    bool sliding_differs = false, moe_differs = false, alone = true;
    for (const auto other : kinds) {
        const LayerKind kind(model.blocks[other]);
        sliding_differs |= kind.sliding != own.sliding;
        moe_differs |= kind.moe != own.moe;
        alone &= other == self || kind.sliding != own.sliding || kind.moe != own.moe;
    }
    std::vector<std::string> words;
    if (sliding_differs) words.emplace_back(own.sliding ? "sliding" : "full");
    if (moe_differs) words.emplace_back(own.moe ? "moe" : "dense");
    if (!alone) words.push_back(fmt::format("kind {}", self));
    return fmt::format("layer ({})", join(words, ", "));
}

/// One section per block that the sequence uses, in the order of the blocks, and the running order.
void lower_blocks(Lowering& lowering) {
    const auto& model = lowering.model;
    std::vector<int> section_of(model.blocks.size(), -1);
    std::vector<std::size_t> kinds;
    for (const auto& use : model.sequence) section_of[static_cast<std::size_t>(use.block)] = 0;
    for (std::size_t i = 0; i < model.blocks.size(); ++i) {
        const bool layer = model.blocks[i].prefix.find('*') != std::string::npos;
        if (section_of[i] == 0 && layer) kinds.push_back(i);
    }
    auto& program = lowering.program;
    for (std::size_t i = 0; i < model.blocks.size(); ++i) {
        if (section_of[i] < 0) continue;
        auto section = BlockLowering(lowering, i).run();
        const bool layer = std::find(kinds.begin(), kinds.end(), i) != kinds.end();
        section.name = layer                       ? layer_name(model, kinds, i)
                       : model.blocks[i].input < 0 ? "embedding"
                                                   : "head";
        section_of[i] = static_cast<int>(program.sections.size());
        program.sections.push_back(std::move(section));
    }
    for (const auto& use : model.sequence) {
        const int section = section_of[static_cast<std::size_t>(use.block)];
        program.sections[static_cast<std::size_t>(section)].layers.push_back(use.layer);
        program.order.push_back(section);
        program.order_layer.push_back(use.layer);
    }
}

}  // namespace

Program lower(const Model& model, const Plan& plan, DType dtype) {
    std::optional<Model> kept;
    Lowering lowering{.model = with_sampling(model, plan.options, kept),
                      .plan = plan,
                      .dtype = dtype,
                      .program = {},
                      .tensor_of_name = {}};
    auto& program = lowering.program;
    program.tp = plan.options.tp;
    program.max_positions = model.max_positions;
    lower_blocks(lowering);
    if (plan.options.kernels == Kernels::served) {
        for (auto& section : program.sections) fuse_projections(section, lowering.model.fused);
        fuse_across_layers(program);
        for (auto& section : program.sections) fuse_residual_norms(section);
        part_outputs(program);
    }
    drop_unused_buffers(program);
    return std::move(program);
}

}  // namespace tplan
