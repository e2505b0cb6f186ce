#pragma once
#include <cstdint>
#include <vector>

#include "core/units.h"
#include "models/program.h"

/// Memory of the fullest rank as a function of the workload, folded so that asking again costs a
/// few multiplications. Everything that grows with the workload grows in proportion to the batch,
/// so the largest batch is one division; in the context it is piecewise linear.

namespace tplan {

/// KV cache of the layers that keep the same number of tokens.
struct KvGroup {
    double columns = 0;  // local columns of K and V (or latent), summed over those layers
    double window = 0;   // tokens kept; 0 = all
};

/// Activations alive at one step: columns of [tokens, ..] and of [sequences, ..] buffers.
struct LiveColumns {
    double tokens = 0, sequences = 0;
};

struct MemoryTerms {
    double weights = 0;                                    // bytes
    std::vector<KvGroup> kv;                               // ascending window, "all" last
    std::vector<LiveColumns> live;                         // the steps that can be the peak
    double activation = 2;                                 // bytes per element
    double logits_per_sequence = 0, logits_per_token = 0;  // bytes
    double workspace = 0, communication = 0;               // bytes
    double capacity = 0;                                   // bytes
    std::int64_t max_positions = 0;                        // of the model; 0: not said
};

/// Largest batch and context reported where memory sets no limit.
constexpr std::int64_t kMaxCount = (std::int64_t{1} << 31) - 1;

/// Bytes of the weights of the fullest rank (of the view, if it is one). Every layer's instance of
/// a tensor counts once, tied ones only with their owner. Tensors that no step reads (scales of
/// quantised weights) have as many instances as the weight of the same module.
double weight_bytes_per_rank(const Program& program);

/// The workload-free terms of a program; `workspace`, `communication` and `capacity` stay 0.
MemoryTerms memory_terms(const Program& program);

/// Bytes of the cache of `batch` sequences of `cached` tokens, `kv_element` bytes an element;
/// layers with a window keep no more tokens than that.
double kv_cache_bytes(const MemoryTerms& terms, double batch, double cached, double kv_element);

/// Bytes of the activations alive at the fullest step, with `query` new tokens of each of `batch`
/// sequences.
double activation_bytes(const MemoryTerms& terms, double batch, double query);

/// Bytes of the head's output for `batch` sequences with `query` new tokens each.
double logits_bytes(const MemoryTerms& terms, double batch, double query);

/// Bytes of everything the fullest rank holds: weights, workspace, communication buffers and the
/// three above.
double total_bytes(const MemoryTerms& terms, double batch, double query, double cached,
                   double kv_element);

/// Largest batch that fits at the workload's input and context; 0 when not even one does.
std::int64_t largest_batch(const MemoryTerms& terms, const Workload& workload);

/// Largest number of cached tokens (decode) or prompt tokens (prefill) that fits at the workload's
/// batch, up to the model's own positions; 0 when not even one does.
std::int64_t largest_context(const MemoryTerms& terms, const Workload& workload);

}  // namespace tplan
