#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "executor/backend.h"
#include "executor/local.h"
#include "executor/rank_training.h"
#include "executor/rank_weights.h"

namespace tplan {

/// What a rank needs to know besides the program to hold it ready.
struct RankSetup {
    const Program& program;
    const Workload& workload;
    const std::vector<ExecutedStep>& steps;
    const WeightSource& weights;
    const std::vector<std::int32_t>& tokens;  // empty: synthetic
    std::uint64_t seed = 0;                   // of tokens and cache
    DType dtype = DType::fp32;
};

/// One rank's side of a run: its buffers, weights and cache on the device, and the steps bound to
/// them. Made on the rank's thread; what `setup` refers to and the backend must outlive it.
class RankProgram {
  public:
    /// Calls `after_step` after each loaded step. Throws Error naming the step where the program's
    /// shapes do not fit together, and what Backend::allocate, the weight source and `after_step`
    /// throw.
    RankProgram(Backend& backend, int rank, const RankSetup& setup,
                const std::function<void(int rank)>& after_step);

    const std::vector<BoundStep>& steps() const { return steps_; }

    /// The rank's view of a buffer.
    Matrix buffer(int index) const {
        return training_ ? training_->buffer(index) : buffers_[static_cast<std::size_t>(index)];
    }

    /// Null where the program does not train. Its parameters are those of all its steps.
    const RankTraining* training() const { return training_.get(); }

  private:
    void place();
    void place_tokens();
    void bind_buffers(BoundStep& bound);
    void bind(const ExecutedStep& at);
    void bind_weights(BoundStep& bound, const ExecutedStep& at);
    void bind_experts(BoundStep& bound, const std::vector<WeightUse>& uses);
    void bind_attention(BoundStep& bound);
    void bind_reshard(BoundStep& bound);
    Matrix make_cache(const std::vector<std::int64_t>& heads, std::int64_t dim,
                      const BoundStep& bound, bool values);

    Backend& backend_;
    int rank_;
    const RankSetup setup_;
    RankWeights weights_;
    std::unique_ptr<RankTraining> training_;
    std::vector<std::shared_ptr<void>> memory_;  // buffers, caches, plain weights
    std::vector<Matrix> buffers_;
    std::int32_t* token_ids_ = nullptr;
    std::vector<BoundStep> steps_;
};

}  // namespace tplan
