#pragma once
#include <memory>

#include "executor/matrix.h"

namespace tplan::cpu {

/// One side of a product: [rows, columns] as it lies, or turned.
struct Operand {
    Matrix matrix;
    bool transposed = false;
};

/// c = a b, or c += a b, of plain fp32 matrices with row strides, bound to their memory: what
/// training multiplies by, since its weights change with every step. oneDNN where it is built in,
/// else Eigen. An empty sum is 0.
struct MatrixProduct;
std::shared_ptr<MatrixProduct> bind_product(const Operand& a, const Operand& b, const Matrix& c,
                                            bool accumulate);
void run_product(const MatrixProduct& product);

}  // namespace tplan::cpu
