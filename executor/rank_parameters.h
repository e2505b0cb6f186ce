#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "executor/rank_weights.h"

namespace tplan {

/// A rank's part of a parameter that is trained.
struct ParameterShard {
    std::string name;  // transformers', of the owner of tied storage
    WeightUse use;     // `use.transposed`: trained the other way round than stored
};

/// The name of the parameter that a weight reference means at a place; the forward pass's layer for
/// steps that go backwards.
std::string parameter_name(const Program& program, const WeightRef& ref, const ExecutedStep& at);

/// Every parameter that the rank's steps read, each once, in the order of the forward pass: the
/// same order on every rank. Throws Error for one that is read in two different parts.
std::vector<ParameterShard> parameter_shards(const Program& program,
                                             const std::vector<ExecutedStep>& steps, int rank);

/// Elements of a shard as it lies in memory: [rows, columns] of a matrix as [out, in].
struct ShardExtent {
    std::int64_t rows = 0, columns = 0;
};
ShardExtent extent_of(const ParameterShard& shard);

/// What the update of a training program is; sgd without one.
Optimizer optimizer_of(const Program& program);

/// The parameters of a rank on its device, with gradients and the optimizer's state, zero at first.
/// Made on the rank's thread; the backend must outlive it.
class RankParameters {
  public:
    /// Throws what parameter_shards(), the weight source and Backend::allocate throw.
    RankParameters(Backend& backend, int rank, const Program& program,
                   const std::vector<ExecutedStep>& steps, RankWeights& weights);

    const std::vector<ParameterShard>& shards() const { return shards_; }
    const std::vector<TrainedWeight>& all() const { return weights_; }
    /// Requires the name of a shard.
    const TrainedWeight& named(const std::string& name) const;
    const ParameterShard& shard(const std::string& name) const;

  private:
    std::vector<ParameterShard> shards_;
    std::vector<TrainedWeight> weights_;  // in the order of the shards
    std::map<std::string, std::size_t> by_name_;
    std::vector<std::shared_ptr<void>> memory_;
};

}  // namespace tplan
