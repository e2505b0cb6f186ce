#include "executor/cpu/linear.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "executor/cpu/onednn.h"
#include "executor/cpu/simd.h"

namespace tplan::cpu {

/// Weights of a linear in the form its engine wants: one of the two.
struct LinearWeights {
    Matrix plain;
    std::shared_ptr<void> owner;  // of plain
    std::shared_ptr<OneDnnWeights> packed;
};

namespace {

bool by_onednn(const LinearShape& shape) {
    if (onednn_version().empty() || shape.m == 0 || shape.n == 0 || shape.k == 0) return false;
    return shape.m > 1 || shape.weights == DType::bf16;
}

/// All outputs of a linear as the one matrix they lie in.
Matrix joined_outputs(const BoundStep& step) {
    Matrix all = step.outputs.front();
    for (std::size_t i = 1; i < step.outputs.size(); ++i) {
        assert(step.outputs[i].f32() == all.f32() + all.columns);
        all.columns += step.outputs[i].columns;
    }
    return all;
}

void fill_zero(const Matrix& y) {
    for (std::int64_t r = 0; r < y.rows; ++r) std::fill_n(y.row(r), y.columns, 0.0F);
}

void run_eigen(const Matrix& x, const Matrix& w, const Matrix& y, const float* bias) {
    if (w.columns == 0) {
        fill_zero(y);
    } else if (x.rows == 1) {
        simd().gemv(w.rows, w.columns, x.f32(), w.f32(), w.stride, y.f32());
    } else {
        simd().gemm(x.rows, w.rows, w.columns, x.f32(), x.stride, w.f32(), w.stride, y.f32(),
                    y.stride);
    }
    if (bias == nullptr) return;
    for (std::int64_t r = 0; r < y.rows; ++r) {
        simd().add(y.row(r), bias, 1.0F, y.row(r), y.columns);
    }
}

}  // namespace

std::string linear_refusal(DType weights) {
    if (weights == DType::fp32) return {};
    if (weights == DType::bf16) {
        if (onednn_version().empty()) return "bf16 weights need a build with oneDNN";
        if (!onednn_has_bf16()) return "bf16 weights need a processor with AVX512_BF16 or AMX";
        return {};
    }
    return "the cpu backend multiplies fp32 and bf16 weights only";
}

std::string linear_engine(const LinearShape& shape) {
    if (by_onednn(shape)) return "oneDNN " + onednn_version();
    return "Eigen, " + std::string(simd().name);
}

double linear_packed_bytes(const LinearShape& shape) {
    if (!by_onednn(shape)) return 0;
    return static_cast<double>(shape.n * shape.k) * bytes_of(shape.weights);
}

PackedWeights pack_linear(const LinearShape& shape, const Matrix& plain,
                          std::shared_ptr<void> owner) {
    auto weights = std::make_shared<LinearWeights>();
    if (by_onednn(shape)) {
        weights->packed = onednn_pack(shape, plain);
        const double bytes = onednn_bytes(*weights->packed);
        return {std::move(weights), bytes};
    }
    weights->plain = plain;
    weights->owner = std::move(owner);
    return {std::move(weights), 0};
}

std::shared_ptr<void> prepare_linear(const BoundStep& step) {
    const auto& weights = *static_cast<const LinearWeights*>(step.linear.data.get());
    if (!weights.packed) return nullptr;
    return onednn_bind(weights.packed, step.inputs.front(), joined_outputs(step),
                       static_cast<const float*>(step.bias.data));
}

void run_linear(const BoundStep& step) {
    if (step.prepared) {
        onednn_run(*static_cast<const OneDnnProduct*>(step.prepared.get()));
        return;
    }
    const auto& weights = *static_cast<const LinearWeights*>(step.linear.data.get());
    const auto y = joined_outputs(step);
    if (y.columns == 0 || y.rows == 0) return;
    run_eigen(step.inputs.front(), weights.plain, y, static_cast<const float*>(step.bias.data));
}

void use_one_thread() {
    onednn_use_one_thread();
}

}  // namespace tplan::cpu
