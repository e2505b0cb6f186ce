#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace tplan {

struct ParameterShard;
struct Program;

/// A parameter after a training step, joined over the ranks, as the checkpoint stores it: [product
/// of the rest, last dimension], a vector being one row.
struct TrainedTensor {
    std::string name;
    std::int64_t rows = 0, columns = 0;
    std::vector<float> gradient, value;
    bool agree = true;  // ranks that hold the same elements hold the same bits

    TrainedTensor(std::string name, const std::vector<std::int64_t>& shape);

    /// Puts a rank's part in its place, dense as it lies on the device.
    void join(const ParameterShard& shard, const std::vector<float>& part_gradient,
              const std::vector<float>& part_value);

  private:
    std::vector<bool> held_;
};

/// How far a lies from b, and how long b is, in the Euclidean norm; NaN where either has one.
struct Distance {
    double apart = 0, reference = 0;
};
/// Requires equal sizes.
Distance distance(const std::vector<float>& a, const std::vector<float>& b);

/// The buffer with the loss of every row of a training program.
int loss_buffer(const Program& program);

}  // namespace tplan
