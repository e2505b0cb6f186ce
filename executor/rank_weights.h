#pragma once
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "executor/backend.h"
#include "executor/local.h"
#include "executor/weights.h"

namespace tplan {

/// What an instance of a weight is read as.
struct WeightUse {
    WeightInstance instance;
    LocalWeight local;
    WeightRole role = WeightRole::matrix;
    bool transposed = false;  // stored [in, out], or [experts, in, out]
};

/// The uses of a step's weights (not of its biases) on one rank.
std::vector<WeightUse> weight_uses(const Program& program, const ExecutedStep& at, int rank);

/// Identity of what a use holds: equal keys hold equal numbers.
std::string weight_key(const Program& program, const WeightUse& use);

/// Loads one rank's parts of the parameters onto its device, each once. Made and used on the rank's
/// thread.
class RankWeights {
  public:
    RankWeights(Backend& backend, int rank, const Program& program, const WeightSource& source)
        : backend_(backend), rank_(rank), program_(program), source_(source) {}

    struct Loaded {
        Matrix view;
        std::shared_ptr<void> owner;
    };

    /// [out, in] of a matrix, whatever way round it is stored; a vector is one row; experts lie
    /// below one another.
    Loaded load(const WeightUse& use, DType dtype = DType::fp32);

    /// The weights of a linear, below one another, in the backend's form for `rows` input rows.
    PackedWeights load_linear(const std::vector<WeightUse>& uses, std::int64_t rows, DType dtype);

    /// The biases on the columns of `outputs`, side by side; zero where one has none. Null view
    /// without any.
    Loaded load_bias(const ExecutedStep& at, const Step& step);

  private:
    void fill(const Matrix& to, const WeightUse& use);
    void fill_transposed(const Matrix& to, const WeightUse& use, std::span<const Slice> rows);
    Loaded allocate(std::int64_t rows, std::int64_t columns, DType dtype = DType::fp32);
    Loaded load_summed_biases(const ExecutedStep& at, const Step& step);

    Backend& backend_;
    int rank_;
    const Program& program_;
    const WeightSource& source_;
    std::vector<float> host_, turned_;
    struct Known {
        Matrix view;
        std::weak_ptr<void> owner;
    };
    std::map<std::string, Known> known_;
};

}  // namespace tplan
