// Matrix products through Eigen. Part of a set (set.h).
#pragma once
namespace tplan::cpu::TPLAN_SIMD {

using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using MatrixView = Eigen::Map<RowMajor, 0, Eigen::OuterStride<>>;
using ConstMatrixView = Eigen::Map<const RowMajor, 0, Eigen::OuterStride<>>;
using VectorView = Eigen::Map<Eigen::VectorXf>;
using ConstVectorView = Eigen::Map<const Eigen::VectorXf>;

inline ConstMatrixView view(const float* data, std::int64_t rows, std::int64_t columns,
                            std::int64_t stride) {
    return {data, rows, columns, Eigen::OuterStride<>(stride)};
}
inline MatrixView view(float* data, std::int64_t rows, std::int64_t columns, std::int64_t stride) {
    return {data, rows, columns, Eigen::OuterStride<>(stride)};
}

inline void gemm(std::int64_t m, std::int64_t n, std::int64_t k, const float* x,
                 std::int64_t x_stride, const float* w, std::int64_t w_stride, float* y,
                 std::int64_t y_stride) {
    view(y, m, n, y_stride).noalias() =
        view(x, m, k, x_stride) * view(w, n, k, w_stride).transpose();
}

inline void gemv(std::int64_t n, std::int64_t k, const float* x, const float* w,
                 std::int64_t w_stride, float* y) {
    VectorView(y, n).noalias() = view(w, n, k, w_stride) * ConstVectorView(x, k);
}

}  // namespace tplan::cpu::TPLAN_SIMD
