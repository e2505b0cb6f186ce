#include "executor/cpu/product.h"

#include <algorithm>
#include <cassert>

#include "executor/cpu/onednn.h"
#include "executor/cpu/simd.h"

namespace tplan::cpu {

struct MatrixProduct {
    ProductCall call;
    std::shared_ptr<OneDnnPlain> onednn;  // none: by Eigen
};

std::shared_ptr<MatrixProduct> bind_product(const Operand& a, const Operand& b, const Matrix& c,
                                            bool accumulate) {
    auto product = std::make_shared<MatrixProduct>();
    auto& call = product->call;
    call.m = c.rows;
    call.n = c.columns;
    call.k = a.transposed ? a.matrix.rows : a.matrix.columns;
    assert((b.transposed ? b.matrix.columns : b.matrix.rows) == call.k);
    call.a = a.matrix.f32();
    call.a_stride = a.matrix.stride;
    call.a_transposed = a.transposed;
    call.b = b.matrix.f32();
    call.b_stride = b.matrix.stride;
    call.b_transposed = b.transposed;
    call.c = c.f32();
    call.c_stride = c.stride;
    call.accumulate = accumulate;
    const bool empty = call.m == 0 || call.n == 0 || call.k == 0;
    if (!empty && !onednn_version().empty()) product->onednn = onednn_bind_plain(call);
    return product;
}

void run_product(const MatrixProduct& product) {
    const auto& call = product.call;
    if (product.onednn) return onednn_run_plain(*product.onednn);
    if (call.k > 0 && call.m > 0 && call.n > 0) return simd().product(call);
    for (std::int64_t r = 0; r < call.m && !call.accumulate; ++r)
        std::fill_n(call.c + r * call.c_stride, call.n, 0.0F);
}

}  // namespace tplan::cpu
