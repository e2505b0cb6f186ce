#pragma once
#include <optional>
#include <string>
#include <vector>

#include "models/graph.h"
#include "planner/plan.h"

/// What every rank holds of every parameter, under the names that transformers' modules have.

namespace tplan {

/// A contiguous box of a tensor.
struct ShardPiece {
    std::vector<std::int64_t> shape;
    std::vector<std::int64_t> offset;
    static void fields(auto& self, auto&& field) {
        field("shape", self.shape);
        field("offset", self.offset);
    }
    bool operator==(const ShardPiece&) const = default;
};

/// What one rank holds: one piece, two when packed, none when empty.
struct RankShard {
    int rank = 0;
    std::vector<ShardPiece> pieces;
    static void fields(auto& self, auto&& field) {
        field("rank", self.rank);
        field("pieces", self.pieces);
    }
    bool operator==(const RankShard&) const = default;
};

/// One parameter and its shards.
struct TensorShards {
    std::string name;
    std::optional<std::vector<std::string>> checkpoint_names;  // the pattern on disk, if another
    std::vector<std::int64_t> shape;
    DType dtype = DType::bf16;
    std::string style;
    std::vector<RankShard> shards;
    static void fields(auto& self, auto&& field) {
        field("name", self.name);
        field("checkpoint_names", self.checkpoint_names);
        field("shape", self.shape);
        field("dtype", self.dtype);
        field("style", self.style);
        field("shards", self.shards);
    }
    bool operator==(const TensorShards&) const = default;
};

/// Every parameter of the model, one entry per layer, with its shards; tied parameters stand once,
/// as the embedding.
std::vector<TensorShards> shard_tensors(const Model& model, const Plan& plan);

/// Bytes of weights on the fullest rank; tied parameters once.
double weight_bytes_per_rank(const Model& model, const Plan& plan);

}  // namespace tplan
