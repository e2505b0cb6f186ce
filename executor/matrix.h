#pragma once
#include <cassert>
#include <cstddef>
#include <cstdint>

#include "models/graph.h"

namespace tplan {

/// A view of [rows, columns] numbers in a device's memory. Row r starts at data + r * stride
/// elements; stride >= columns, so that outputs lying side by side in one allocation are views of
/// it. Owns nothing.
struct Matrix {
    void* data = nullptr;
    std::int64_t rows = 0;
    std::int64_t columns = 0;
    std::int64_t stride = 0;
    DType dtype = DType::fp32;

    float* f32() const {
        assert(dtype == DType::fp32);
        return static_cast<float*>(data);
    }
    float* row(std::int64_t r) const { return f32() + r * stride; }

    /// Where an element lies, of any type of whole bytes.
    void* place(std::int64_t r, std::int64_t c) const {
        const double bytes = static_cast<double>(r * stride + c) * bytes_of(dtype);
        return static_cast<std::byte*>(data) + static_cast<std::size_t>(bytes);
    }
    std::int64_t elements() const { return rows * columns; }
    double bytes() const { return static_cast<double>(elements()) * bytes_of(dtype); }
    bool contiguous() const { return stride == columns || rows <= 1; }
};

}  // namespace tplan
