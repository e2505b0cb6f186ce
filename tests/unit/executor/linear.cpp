#include "executor/cpu/linear.h"

#include <cmath>
#include <memory>
#include <vector>

#include "core/error.h"
#include "executor/cpu/onednn.h"
#include "executor/weights.h"
#include "tests/support/catch.h"

using namespace tplan;
using namespace tplan::cpu;

namespace {

std::size_t at(std::int64_t i) {
    return static_cast<std::size_t>(i);
}

/// [rows, columns] of numbers whose first `exact_bits` bits matter, rows `gap` apart.
struct Numbers {
    Numbers(std::int64_t rows, std::int64_t columns, std::int64_t gap, std::uint64_t seed)
        : data(at(rows * (columns + gap)), 7.0F),
          view{data.data(), rows, columns, columns + gap, DType::fp32} {
        WeightPart part;
        part.name = "numbers";
        part.fan_in = 3;
        part.rows = {0, rows};
        part.columns = {0, columns};
        part.stride = columns + gap;
        synthetic_weights(seed)(part, data.data());
    }
    std::vector<float> data;
    Matrix view;
};

/// Runs one linear with two outputs side by side; the largest error against plain sums.
double error_of(std::int64_t m, std::int64_t n, std::int64_t k, DType dtype, bool bias) {
    const Numbers x(m, k, 3, 1), w(n, k, 0, 2), b(1, n, 0, 3);
    Numbers y(m, n, 5, 4);
    Step step;
    BoundStep bound;
    bound.step = &step;
    bound.inputs = {x.view};
    auto left = y.view, right = y.view;
    left.columns = n / 3;
    right.columns = n - n / 3;
    right.data = left.f32() + left.columns;
    bound.outputs = {left, right};
    if (bias) bound.bias = b.view;
    auto owner = std::make_shared<int>(0);
    bound.linear = pack_linear({m, n, k, dtype}, w.view, owner);
    bound.prepared = prepare_linear(bound);
    run_linear(bound);
    run_linear(bound);  // a product does not add to what is there
    double largest = 0;
    for (std::int64_t i = 0; i < m; ++i) {
        for (std::int64_t j = 0; j < n; ++j) {
            double sum = bias ? static_cast<double>(b.data[at(j)]) : 0;
            for (std::int64_t l = 0; l < k; ++l) {
                sum +=
                    static_cast<double>(x.view.row(i)[l]) * static_cast<double>(w.view.row(j)[l]);
            }
            largest = std::max(largest, std::abs(sum - static_cast<double>(y.view.row(i)[j])));
        }
        CHECK(y.view.row(i)[n] == 7.0F);  // the gap is left alone
    }
    return largest;
}

}  // namespace

TEST_CASE("a linear multiplies odd shapes into outputs side by side, with and without bias",
          "[executor]") {
    for (const std::int64_t m : {1, 2, 3, 17, 128}) {
        for (const std::int64_t n : {3, 16, 100}) {
            for (const std::int64_t k : {1, 5, 64, 129}) {
                for (const bool bias : {false, true}) {
                    INFO(m << " " << n << " " << k << " by "
                           << linear_engine({m, n, k, DType::fp32}));
                    CHECK(error_of(m, n, k, DType::fp32, bias) < 1e-5);
                }
            }
        }
    }
}

TEST_CASE("bf16 weights round both sides to eight bits and sum in float", "[executor]") {
    if (const auto reason = linear_refusal(DType::bf16); !reason.empty()) {
        WARN("skipped: " << reason);
        return;
    }
    for (const std::int64_t m : {1, 16}) {
        for (const bool bias : {false, true}) {
            // 64 products of numbers up to 1, each rounded by 2^-9 at most
            const double error = error_of(m, 48, 64, DType::bf16, bias);
            CHECK(error < 64 * 0x1p-8);
            CHECK(error > 1e-5);  // it is not fp32
        }
    }
}

TEST_CASE("a linear of a rank without columns does nothing, one without inputs gives its bias",
          "[executor]") {
    Numbers y(2, 3, 0, 1), b(1, 3, 0, 2);
    Step step;
    BoundStep bound;
    bound.step = &step;
    bound.inputs = {{nullptr, 2, 0, 0, DType::fp32}};
    bound.outputs = {y.view};
    bound.bias = b.view;
    bound.linear = pack_linear({2, 3, 0, DType::fp32}, {nullptr, 3, 0, 0, DType::fp32}, nullptr);
    bound.prepared = prepare_linear(bound);
    run_linear(bound);
    CHECK(std::vector(y.data.begin(), y.data.begin() + 3) == b.data);

    bound.outputs[0].columns = 0;
    bound.linear = pack_linear({2, 0, 4, DType::fp32}, {nullptr, 0, 4, 4, DType::fp32}, nullptr);
    bound.prepared = prepare_linear(bound);
    run_linear(bound);
    CHECK(std::vector(y.data.begin(), y.data.begin() + 3) == b.data);
}

TEST_CASE("types that no engine multiplies are refused in words", "[executor]") {
    CHECK(linear_refusal(DType::fp32).empty());
    CHECK(linear_refusal(DType::fp8).find("fp32 and bf16") != std::string::npos);
}
