#pragma once
#include <memory>
#include <string>

#include "executor/backend.h"
#include "executor/cpu/simd.h"

namespace tplan::cpu {

/// Matrix products by oneDNN. In a build without it, onednn_version() is empty and nothing else may
/// be called.
std::string onednn_version();

/// Whether the processor multiplies bf16 natively (AVX512_BF16 or AMX).
bool onednn_has_bf16();

/// Weights [n, k] in the layout oneDNN chose for `shape`, converted to shape.weights.
struct OneDnnWeights;
std::shared_ptr<OneDnnWeights> onednn_pack(const LinearShape& shape, const Matrix& plain);
double onednn_bytes(const OneDnnWeights& weights);

/// y = x W^T + bias bound to its memory: x [m, k] and y [m, n] fp32 with row strides, bias [n] or
/// null. With bf16 weights x is rounded to bf16 first and sums are fp32.
struct OneDnnProduct;
std::shared_ptr<OneDnnProduct> onednn_bind(std::shared_ptr<OneDnnWeights> weights, const Matrix& x,
                                           const Matrix& y, const float* bias);
void onednn_run(const OneDnnProduct& product);

/// A product of plain fp32 matrices bound to its memory. Requires sizes above 0.
struct OneDnnPlain;
std::shared_ptr<OneDnnPlain> onednn_bind_plain(const ProductCall& call);
void onednn_run_plain(const OneDnnPlain& product);

void onednn_use_one_thread();

}  // namespace tplan::cpu
