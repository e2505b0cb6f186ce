#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "models/graph.h"
#include "models/layout.h"

/// Where the numbers of a run come from: parameters, tokens and the cache of a decode step.

namespace tplan {

/// What a parameter does: synthetic values are chosen by it.
enum class WeightRole { matrix, norm, norm_with_unit_offset, bias, sinks };

/// Role of the weight in `slot` of an op of the graph.
WeightRole weight_role(OpKind kind, const OpSpec& spec, std::size_t slot);

/// Inputs that each output of a parameter of this shape sums: [out, in], [experts, out, in], with
/// the last two the other way round when `transposed`. 1 for a vector.
std::int64_t fan_in_of(const std::vector<std::int64_t>& shape, bool transposed);

/// A request for part of a parameter, seen as a matrix: [product of the rest, last dimension], a
/// vector being one row, experts lying below one another.
struct WeightPart {
    std::string name;  // transformers' name; a tied tensor goes by the name of its owner
    std::vector<std::int64_t> shape;  // of the whole parameter
    WeightRole role = WeightRole::matrix;
    std::int64_t fan_in = 1;  // inputs that each output sums; an embedding's columns
    Slice rows, columns;      // the part
    std::int64_t stride = 0;  // elements from one row of `out` to the next
};

/// Writes the part to out [rows.extent, columns.extent]. Must give the same element for the same
/// place however the parameter is cut, and be callable from several threads at once.
using WeightSource = std::function<void(const WeightPart& part, float* out)>;

/// Numbers from a counter-based generator keyed by seed, name, row and column: every rank makes its
/// slice alone, and every degree sees the same model. Matrices are uniform with variance 1 /
/// fan_in, so that activations keep their size through any depth; norms are near the identity,
/// biases small.
WeightSource synthetic_weights(std::uint64_t seed);

/// Whole numbers in [-limit, limit] from the same generator: sums of products are exact in any
/// order while they stay below 2^24.
WeightSource whole_number_weights(std::uint64_t seed, std::int32_t limit);

/// `count` token ids below `vocab`, the same for every degree.
std::vector<std::int32_t> synthetic_tokens(std::uint64_t seed, std::int64_t count,
                                           std::int64_t vocab);

/// One head's run of cached keys (or values): positions [first, first + tokens) of a sequence, to
/// out [tokens, dim]. Keys are as after their rotation.
struct CachePart {
    int layer = 0;
    bool values = false;
    std::int64_t sequence = 0, kv_head = 0;  // kv_head of the whole model
    std::int64_t first = 0, tokens = 0, dim = 0;
};
void synthetic_cache(std::uint64_t seed, const CachePart& part, float* out);

}  // namespace tplan
