#pragma once
#include "cost_model/gemm.h"
#include "models/graph.h"

/// What the steps of a training program cost beside those of serving. Derivation:
/// cost_model/derivation.md, section 8.

namespace tplan {

/// The gradient of a weight [n, k] is a product that sums over the tokens: [k, tokens] by [tokens,
/// n]. How deep it is depends on the workload, so it is folded with the workload.
struct GradientProduct {
    GemmDevice device;
    GemmParameters parameters;
    GemmElements elements;
};

/// The product over `tokens` tokens: `columns` outputs n, `rows` inputs k.
GemmTime gradient_product_time(const GradientProduct& product, double columns, double rows,
                               double tokens);

/// Arithmetic, traffic and time of the backward of a fused kind over those of its forward pass; 1
/// for kinds whose backward is counted by its own reads and writes.
double backward_factor(OpKind kind);

/// No row of a backward pass was measured: half widths are this many times as wide.
constexpr double kBackwardWidening = 2;

}  // namespace tplan
