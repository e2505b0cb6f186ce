#include "cost_model/train_cost.h"

// Dao, FlashAttention-2: faster attention with better parallelism and work partitioning, 2023: five
// products backward for two forward.

#include <algorithm>
#include <array>

namespace tplan {
namespace {

struct BackwardFactor {
    OpKind kind;
    double factor;
};
constexpr std::array kFactors = {
    BackwardFactor{OpKind::attention, 2.5},   // scores again, then dV, dP, dQ, dK
    BackwardFactor{OpKind::moe_experts, 2}};  // gradients of tokens and of weights

}  // namespace

GemmTime gradient_product_time(const GradientProduct& product, double columns, double rows,
                               double tokens) {
    return gemm_time(
        gemm_kernel(product.device, product.parameters, columns, tokens, product.elements), rows);
}

double backward_factor(OpKind kind) {
    const auto* row = std::find_if(kFactors.begin(), kFactors.end(),
                                   [&](const BackwardFactor& f) { return f.kind == kind; });
    return row == kFactors.end() ? 1 : row->factor;
}

}  // namespace tplan
