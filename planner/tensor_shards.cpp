#include "planner/tensor_shards.h"

#include <algorithm>

#include "core/json_io.h"

namespace tplan {
namespace {

std::vector<ShardPiece> pieces_of(const Tensor& tensor, const Split& split, int rank) {
    std::vector<ShardPiece> pieces;
    if (split.kind == SplitKind::whole) {
        return {{tensor.shape, std::vector<std::int64_t>(tensor.shape.size(), 0)}};
    }
    const auto dim = static_cast<std::size_t>(split.dim);
    for (const auto& slice : slices(split, tensor.shape[dim], rank)) {
        auto& piece = pieces.emplace_back();
        piece.shape = tensor.shape;
        piece.shape[dim] = slice.extent;
        piece.offset.assign(tensor.shape.size(), 0);
        piece.offset[dim] = slice.offset;
    }
    return pieces;
}

}  // namespace

std::vector<TensorShards> shard_tensors(const Model& model, const Plan& plan) {
    std::vector<TensorShards> all;
    for (const auto& use : model.sequence) {
        const auto at = static_cast<std::size_t>(use.block);
        const auto& block = model.blocks[at];
        for (std::size_t t = 0; t < block.tensors.size(); ++t) {
            const auto& tensor = block.tensors[t];
            if (tensor.tied || (tensor.buffer && !tensor.scales_of)) continue;
            const auto& cut = plan.tensors[at][t];
            auto& entry = all.emplace_back();
            entry.name = full_name(block, tensor, use.layer);
            if (!tensor.checkpoint_names.empty()) {
                auto& names = entry.checkpoint_names.emplace();
                for (const auto& name : tensor.checkpoint_names)
                    names.push_back(of_layer(name, use.layer));
            }
            entry.shape = tensor.shape;
            entry.dtype = tensor.dtype;
            entry.style = cut.style;
            for (int rank = 0; rank < plan.options.tp; ++rank) {
                entry.shards.push_back({rank, pieces_of(tensor, cut.split, rank)});
            }
        }
    }
    return all;
}

double weight_bytes_per_rank(const Model& model, const Plan& plan) {
    std::vector<double> bytes(static_cast<std::size_t>(plan.options.tp));
    for (const auto& use : model.sequence) {
        const auto at = static_cast<std::size_t>(use.block);
        const auto& tensors = model.blocks[at].tensors;
        for (std::size_t t = 0; t < tensors.size(); ++t) {
            if (tensors[t].tied || (tensors[t].buffer && !tensors[t].scales_of)) continue;
            const auto& split = plan.tensors[at][t].split;
            const auto whole =
                static_cast<double>(tensors[t].elements()) * bytes_of(tensors[t].dtype);
            for (std::size_t rank = 0; rank < bytes.size(); ++rank) {
                double share = 1;
                if (split.kind != SplitKind::whole) {
                    const auto n = tensors[t].shape[static_cast<std::size_t>(split.dim)];
                    share = static_cast<double>(local_extent(split, n, static_cast<int>(rank))) /
                            static_cast<double>(n);
                }
                bytes[rank] += whole * share;
            }
        }
    }
    return *std::ranges::max_element(bytes);
}

}  // namespace tplan
