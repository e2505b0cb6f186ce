#include "models/sampling.h"

#include <fmt/format.h>

#include "core/error.h"

namespace tplan {
namespace {

/// Whole numbers are exact in fp32 up to here.
constexpr auto kMostIndices = static_cast<std::int64_t>(kNoIndex);

/// Appends the op that keeps the `count` largest of the block's result, and makes them its result.
void keep_largest(Block& block, std::string_view name, std::int64_t count) {
    const auto& from = block.activations[static_cast<std::size_t>(block.output)];
    OpSpec spec;
    spec.largest = LargestSpec{.of_pairs = from.axis == Axis::pairs};
    block.ops.push_back({.kind = OpKind::largest,
                         .name = std::string(name),
                         .inputs = {block.output},
                         .outputs = {static_cast<int>(block.activations.size())},
                         .weights = {},
                         .spec = spec});
    block.output = block.ops.back().outputs[0];
    block.activations.push_back({.name = std::string(name),
                                 .rows = from.rows,
                                 .width = 2 * count,
                                 .axis = Axis::pairs,
                                 .unit = 2,
                                 .dtype = DType::fp32});
}

}  // namespace

const Model& with_sampling(const Model& model, Sampling sampling, int tp,
                           std::optional<Model>& kept) {
    if (sampling != Sampling::greedy) return model;
    const auto& head = model.blocks.back();
    if (!head.ops.empty() && head.ops.back().kind == OpKind::largest) return model;
    const auto vocab = head.activations[static_cast<std::size_t>(head.output)].width;
    if (vocab > kMostIndices) {
        throw Error("--sampling",
                    fmt::format("greedy over {} logits: an index above {} is not exact in fp32",
                                vocab, kMostIndices),
                    "use --sampling logits");
    }
    kept = model;
    auto& block = kept->blocks.back();
    if (tp > 1) keep_largest(block, kCandidates, tp);
    keep_largest(block, kChoice, 1);
    return *kept;
}

}  // namespace tplan
