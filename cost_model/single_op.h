#pragma once
#include <cstdint>
#include <string>
#include <unordered_map>
#include <variant>

#include "cost_model/estimate.h"

/// One op alone: what `predict` and `accuracy` price, and what a table of measured rows holds. Each
/// becomes a program of one step, priced by the functions that price a model.

namespace tplan {

/// C[m,n] = A[m,k] B[k,n] with weights and activations of one dtype; fp8 quantises its activations.
struct ProductSize {
    DType dtype = DType::bf16;
    std::int64_t m = 1, n = 1, k = 1;
    Residency residency = Residency::cold;
};

/// `bytes` of the whole tensor over `ranks`, for an all-to-all of one rank's part, as nccl-tests
/// counts.
struct CollectiveSize {
    OpKind op = OpKind::all_reduce;
    int ranks = 2;
    double bytes = 1;
    CollectiveImpl implementation = CollectiveImpl::nccl;
    Nullable<CollectiveMode> mode{};  // null: as served
    bool one_byte = false;            // elements of one byte: reductions of them differ
};

/// An attention core without its projections.
struct AttentionSize {
    bool decode = true;
    DType kv_dtype = DType::bf16;
    std::int64_t batch = 1, q_len = 1, kv_len = 1, heads = 1, kv_heads = 1, head_dim = 64;
    Residency residency = Residency::cold;
};

/// The gated experts of one layer on one of `tp` ranks, all experts on each; `inter` before the
/// cut. As measured rows are: tokens spread over the experts evenly, the op repeated (warm).
struct ExpertsSize {
    DType dtype = DType::bf16;
    std::int64_t tokens = 1, hidden = 1, inter = 1, top_k = 1, experts = 1, tp = 1;
};

/// A pass over memory: `in` columns read, `out` written, `weights` elements read once. For norms,
/// activations, RoPE, additions and the embedding.
struct PassSize {
    OpKind op = OpKind::norm;
    DType dtype = DType::bf16;
    std::int64_t rows = 1, in = 1, out = 1, weights = 0;
};

using OpSize = std::variant<ProductSize, CollectiveSize, AttentionSize, ExpertsSize, PassSize>;

/// Its price on one device, or for a collective over its group on the profile's fastest link.
/// Throws Error as compile() does.
StepCost price_single(const HardwareProfile& hardware, const OpSize& size);

/// Many prices of one profile. Ops that differ in their counts alone (rows, batch, tokens, bytes)
/// are compiled once: with tables in the profile that is what takes long.
class SingleOpPricer {
  public:
    /// `hardware` must outlive the pricer.
    explicit SingleOpPricer(const HardwareProfile& hardware) : hardware_(hardware) {}
    StepCost price(const OpSize& size);

  private:
    const HardwareProfile& hardware_;
    std::unordered_map<std::string, CompiledProgram> compiled_;
};

}  // namespace tplan
