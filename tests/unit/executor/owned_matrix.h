#pragma once
#include <cstdint>
#include <vector>

#include "executor/matrix.h"

namespace tplan::test {

/// [rows, columns] in an allocation whose rows are `padding` longer; -7 everywhere.
struct Owned {
    Owned(std::int64_t rows, std::int64_t columns, std::int64_t padding = 0)
        : data(static_cast<std::size_t>(rows * (columns + padding)), -7.0F),
          view{data.data(), rows, columns, columns + padding, DType::fp32} {}
    Owned(Owned&&) = default;  // the elements stay where they are
    float& at(std::int64_t r, std::int64_t c) { return view.row(r)[c]; }
    std::vector<float> data;
    Matrix view;
};

}  // namespace tplan::test
