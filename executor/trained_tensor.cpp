#include "executor/trained_tensor.h"

#include <cassert>
#include <cmath>
#include <cstring>
#include <functional>
#include <numeric>

#include "executor/rank_parameters.h"

namespace tplan {
namespace {

/// Numbers of the rows (or columns) of slices, in order.
std::vector<std::int64_t> numbers_of(const std::vector<Slice>& slices) {
    std::vector<std::int64_t> numbers;
    for (const auto& slice : slices) {
        for (std::int64_t i = 0; i < slice.extent; ++i) numbers.push_back(slice.offset + i);
    }
    return numbers;
}

bool same_bits(float a, float b) {
    return std::memcmp(&a, &b, sizeof a) == 0;
}

}  // namespace

TrainedTensor::TrainedTensor(std::string of, const std::vector<std::int64_t>& shape)
    : name(std::move(of)), columns(shape.back()) {
    rows = std::accumulate(shape.begin(), shape.end() - 1, std::int64_t{1}, std::multiplies<>());
    const auto elements = static_cast<std::size_t>(rows * columns);
    gradient.resize(elements);
    value.resize(elements);
    held_.resize(elements);
}

void TrainedTensor::join(const ParameterShard& shard, const std::vector<float>& part_gradient,
                         const std::vector<float>& part_value) {
    const auto& use = shard.use;
    const auto own_rows = numbers_of(use.local.rows), own_columns = numbers_of(use.local.columns);
    for (std::size_t r = 0; r < own_rows.size(); ++r) {
        for (std::size_t c = 0; c < own_columns.size(); ++c) {
            const auto from = use.transposed ? c * own_rows.size() + r : r * own_columns.size() + c;
            const auto to = static_cast<std::size_t>(own_rows[r] * columns + own_columns[c]);
            if (held_[to] && !(same_bits(gradient[to], part_gradient[from]) &&
                               same_bits(value[to], part_value[from])))
                agree = false;
            gradient[to] = part_gradient[from];
            value[to] = part_value[from];
            held_[to] = true;
        }
    }
}

Distance distance(const std::vector<float>& a, const std::vector<float>& b) {
    assert(a.size() == b.size());
    double apart = 0, reference = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const double difference = double{a[i]} - double{b[i]};
        apart += difference * difference;
        reference += double{b[i]} * double{b[i]};
    }
    return {std::sqrt(apart), std::sqrt(reference)};
}

int loss_buffer(const Program& program) {
    for (const auto& section : program.sections) {
        for (const auto& step : section.steps) {
            if (step.loss == LossPart::gradient) return step.outputs.back();
        }
    }
    assert(!"a training program without a loss");
    return -1;
}

}  // namespace tplan
