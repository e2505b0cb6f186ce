#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "models/program.h"

/// What one rank holds of a program: local widths, parts of weights, places of buffers. Pure
/// functions of the program; nothing is allocated here.

namespace tplan {

/// One step of the running order.
struct ExecutedStep {
    int section = 0;
    int step = 0;    // of the section
    int layer = -1;  // -1 outside the layers
    std::string id;  // step_id()
};

/// The program unrolled in running order: every layer's instance of every step of its section.
std::vector<ExecutedStep> executed_steps(const Program& program);

/// slices() for any split: a whole one is the same on every rank.
std::vector<Slice> owned(const Split& split, std::int64_t n, int rank);

/// The rows of a buffer that a rank holds: all of them unless they are cut.
Slice owned_rows(const Buffer& buffer, const Workload& workload, int rank);

/// The columns of a buffer that a rank holds, and how many.
std::vector<Slice> owned_columns(const Buffer& buffer, int rank);
std::int64_t local_width(const Buffer& buffer, int rank);

/// A rank's part of a parameter seen as a matrix (WeightPart): the cross product of some rows and
/// some columns, stored densely in that order.
/// Of a stack of matrices (experts) every one has as many entries in `rows`, in order.
struct LocalWeight {
    std::vector<Slice> rows, columns;
    std::int64_t stack = 1;  // matrices
    std::int64_t row_count() const;
    std::int64_t column_count() const;
    std::int64_t elements() const { return row_count() * column_count(); }
};
LocalWeight local_weight(const ShardedTensor& tensor, int rank);

/// A bias on the columns of `buffer`: one that every rank holds whole is cut as the buffer is.
LocalWeight local_bias(const ShardedTensor& tensor, const Buffer& buffer, int rank);

/// transformers' name of an instance, the owner's for a tied tensor.
std::string weight_name(const ShardedTensor& tensor, int layer);

/// Index into `tensors` and layer of the instance a weight reference means at `layer` of `section`.
struct WeightInstance {
    int tensor = -1;
    int layer = -1;
};
WeightInstance resolve(const WeightRef& ref, const Program& program, int section, int layer);

/// Where a buffer lies: outputs of one linear share an allocation, column after column.
struct BufferPlace {
    int allocation = -1;
    std::int64_t column = 0;
};
struct BufferPlaces {
    std::vector<BufferPlace> places;   // one per buffer
    std::vector<std::int64_t> widths;  // of the allocations, in elements per row
    std::vector<int> first;            // a buffer of each allocation: all have the same rows
};
/// Per buffer, whether it holds (value, index) pairs of OpKind::largest, here or moved from another
/// rank: an index of a token is exact in fp32, not in the 16 bits of activations.
std::vector<bool> pair_buffers(const Program& program);

/// Throws Error naming the step when two steps want the same buffers in different company.
BufferPlaces place_buffers(const Program& program, int rank);

/// Tokens per sequence that an attention step keeps in its cache.
std::int64_t cached_tokens(const AttentionSpec& spec, const Workload& workload);

/// Numbers of the heads of the whole model whose columns a rank holds of a buffer.
std::vector<std::int64_t> held_heads(const Buffer& buffer, std::int64_t head_dim, int rank);

/// Local KV head that serves each local query head, for an attention step's q and k buffers. Throws
/// Error when the rank lacks a KV head its queries need.
std::vector<std::int32_t> kv_of_heads(const Program& program, const Step& step, int rank);

}  // namespace tplan
