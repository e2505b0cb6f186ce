#pragma once
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "executor/rank_parameters.h"
#include "executor/value_places.h"

namespace tplan {

/// What RankProgram holds of a training program beside that of serving: memory for the values that
/// the backward pass reads, and the parameters. Made on the rank's thread.
class RankTraining {
  public:
    /// Arguments as RankProgram's; throws what place_values() and RankParameters throw.
    RankTraining(Backend& backend, int rank, const Program& program, const Workload& workload,
                 const std::vector<ExecutedStep>& steps, RankWeights& weights);

    /// Sets the views of an executed step; of a reduction of parameters those are the gradients.
    void bind_values(BoundStep& bound, std::size_t executed) const;

    /// Sets weights, biases and gradients. Called for the executed steps in their order.
    void bind_weights(BoundStep& bound, const ExecutedStep& at);

    const RankParameters& parameters() const { return parameters_; }

    /// The view of a buffer in the memory that was made for it last; no data where none was.
    Matrix buffer(int index) const { return last_[static_cast<std::size_t>(index)]; }

  private:
    Matrix view(int memory, int buffer) const;
    void bind_forward(BoundStep& bound, const ExecutedStep& at);
    void bind_backward(BoundStep& bound, const ExecutedStep& at);

    int rank_;
    const Program& program_;
    ValuePlaces places_;
    std::vector<std::shared_ptr<void>> memory_;
    std::vector<Matrix> memories_;  // as places_.allocations
    std::vector<Matrix> last_;      // per buffer
    RankParameters parameters_;
    std::set<std::string> written_;  // gradients that an earlier step writes
};

/// Throws Error for a training program that the executor does not run, whatever the backend: says
/// what, and what to plan instead. Allocates nothing.
void require_trainable(const Program& program, const Workload& workload, DType dtype);

}  // namespace tplan
