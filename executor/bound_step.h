#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "executor/matrix.h"
#include "models/layout.h"
#include "models/program.h"

namespace tplan {

/// Keys and values that attention reads besides those of the step's own tokens. Both
/// [batch, local kv heads, tokens, head_dim or v_head_dim], contiguous; the step's own tokens are
/// the last `query tokens` of them and are written by the step. Latent attention keeps them per
/// head, expanded, as the step gets them.
struct KvCache {
    Matrix keys;    // rows = batch * kv heads * tokens
    Matrix values;  // likewise
    std::int64_t tokens = 0;
};

/// A linear's weights in the form the backend asked for; opaque outside of it.
struct PackedWeights {
    std::shared_ptr<void> data;
    double bytes = 0;
};

/// A parameter as a training step works on it, [out, in]; a vector is one row.
struct TrainedWeight {
    Matrix value, gradient;
    Matrix mean, variance;  // AdamW's moments of the gradient; no data where the optimizer has none
    /// The step is the first of a repetition to write the gradient: over what is there.
    bool first = false;
};

/// One executed step of one rank: the step of the program joined with the memory it works on.
/// Local shapes, bound once, launched many times.
struct BoundStep {
    const Step* step = nullptr;
    std::string id;          // step_id()
    std::int64_t index = 0;  // in the executed order
    int layer = -1;

    std::vector<Matrix> inputs;   // local views
    std::vector<Matrix> outputs;  // local views; may alias an input
    std::vector<Matrix> weights;  // local parts, those of `linear` excepted; a vector is one row
    PackedWeights linear;         // linear: [sum of out, in]
    Matrix bias;  // linear, collectives: [1, all output columns], zero where a part has none; data
                  // is null without biases

    std::int64_t batch = 1;           // sequences
    std::int64_t query_tokens = 1;    // per sequence; rows = batch * query_tokens for Rows::tokens
    std::int64_t first_position = 0;  // of the first query token of each sequence
    std::int64_t first_row = 0;       // of the output: above 0 where ranks have their own rows
    const std::int32_t* token_ids = nullptr;  // embedding: [rows], on the device
    std::int64_t first_vocab_row = 0;         // embedding: table row 0 is this token

    std::int64_t first_expert = 0;  // moe_experts: number of the rank's first expert

    KvCache cache;                         // attention
    std::vector<std::int32_t> kv_of_head;  // attention: local KV head of each local query head
    std::shared_ptr<void> prepared;        // whatever else the backend keeps for the step

    Split from, to;              // collectives and slice: how input and output are cut
    std::int64_t width = 0;      // their full columns
    std::vector<Slice> columns;  // slice, largest, loss: those of the whole that are kept, or held

    // Of a training program, whose linears have plain weights and no `linear`.
    std::vector<Matrix> biases;          // one per output, collectives: all of the one output
    std::vector<TrainedWeight> trained;  // of the step's weights; of an update: all of the rank
    int rank = 0;
};

}  // namespace tplan
