#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "executor/local.h"
#include "executor/memory_needs.h"
#include "executor/trail.h"
#include "executor/trained_tensor.h"
#include "executor/weights.h"
#include "models/program.h"

/// Runs a program: every rank executes the step list with real numbers and real collectives.

namespace tplan {

struct World;
class Backend;

struct RunOptions {
    std::string backend = "auto";
    const World* world = nullptr;  // the processes of the run, which outlives it; null: this one
    std::uint64_t seed = 1;        // of the synthetic weights, the tokens and the cache
    WeightSource weights = {};     // empty: synthetic_weights(seed)
    std::vector<std::int32_t> tokens = {};  // one per row; empty: synthetic_tokens(seed)
    DType dtype = DType::fp32;  // of the linears' weights; activations are fp32 on the cpu backend
    double deadline_s = 10;     // a rank that waits longer for another one gives up
    bool force = false;         // run even when the memory needed is more than there is
    std::function<void(double fraction)> progress = {};  // of loading; called on a rank's thread
    std::stop_token stop = {};  // looked at while loading and before every repetition
    /// Called on the rank's thread before each step; tests inject faults here.
    std::function<void(int rank, std::size_t step)> before_step = {};
};

/// What a run takes, after refusing what it could not do: throws Error for a step of `program` that
/// the backend refuses (naming it and the reason) and, unless options.force, for memory that does
/// not suffice (with the table of needs) for it and, where there is one, for a second program
/// `beside` it, loaded at the same time on one rank. Allocates nothing on the devices.
MemoryNeeds require_runnable(const Program& program, const Workload& workload,
                             const RunOptions& options, const Backend& backend,
                             const Program* beside = nullptr);

/// One executed step on one rank in one repetition.
struct StepTime {
    double seconds = 0;  // wait included
    double wait_s = 0;   // for the last rank to arrive; collectives only
    bool clean = true;   // not preempted
};

/// One repetition.
struct RepSample {
    double seconds = 0;                        // of the slowest rank
    bool replayed = false;                     // `seconds` is of the steps as one recorded whole
    bool clean = true;                         // no rank was preempted
    std::vector<std::vector<StepTime>> ranks;  // [rank][executed step]
};

/// What the program leaves: the last step's output, joined over the ranks where it is cut.
struct Outputs {
    std::int64_t rows = 0, width = 0;
    std::vector<float> values;         // [rows, width]; logits in a language model
    std::vector<std::int32_t> greedy;  // per row: column of the largest value, the first of equals
    /// The program itself chose `greedy`; `values` are the logits of those alone, width 1.
    bool chosen = false;
    /// Of 16-bit activations: logits are often equal, and another order of summation may make
    /// another token the first of them.
    bool rounded = false;
};

/// Outputs of a program that ends in OpKind::largest from its (value, index) pairs: the first of
/// every row. Requires an even width above 0.
Outputs chosen_tokens(const Outputs& pairs);

/// What a repetition with checks found.
struct RankChecks {
    bool ranks_agree = true;        // replicated results are bitwise equal on all ranks
    std::string disagreement = {};  // id of the first step after which they differ
    bool finite = true;
    std::string not_finite = {};  // "rank 1, layers.3.mlp.down_proj": the first NaN or infinity
};

/// A program loaded on its ranks. Repetitions do not change its state: a decode step writes the
/// same place of the cache every time. Those of a training program do: each is one more update. In
/// a run of several processes each makes the same Runner and the same calls, and each gets the
/// results of all ranks.
class Runner {
  public:
    /// Makes the ranks and loads everything. Throws Error for a training step that the executor
    /// does not run (require_trainable()), a step the backend refuses (naming it and the reason),
    /// memory that does not suffice (with the table of needs), shapes that do not fit, a stop
    /// request, and what the weight source throws.
    Runner(const Program& program, const Workload& workload, const RunOptions& options);
    ~Runner();
    Runner(Runner&&) noexcept;

    int ranks() const;
    const std::vector<ExecutedStep>& steps() const;
    const MemoryNeeds& memory() const;

    /// Name of the backend, the device of each rank, and what else a reader must know.
    std::string backend() const;
    std::vector<std::string> devices() const;
    std::vector<std::string> notes() const;

    /// One timed repetition on all ranks. Throws Error naming rank, step and collective when a rank
    /// fails, hangs past the deadline or disagrees; the runner is then of no further use.
    RepSample run();

    /// One untimed repetition that looks at every result.
    RankChecks check();

    /// The result of the last repetition as `rank` sees it (in another process: as the own one
    /// does); all ranks together where it is cut.
    Outputs outputs(int rank = 0) const;

    /// Of a training program, after a repetition: the mean loss of a token, before the update.
    double loss() const;

    /// How many parameters are trained, and one of them joined over the ranks: the gradient of the
    /// last repetition and the updated value. The order is the same at every degree. These four
    /// require a training program whose ranks are all of this process, and an index below
    /// parameters().
    std::size_t parameters() const;
    TrainedTensor parameter(std::size_t index) const;

    /// The same parameter as it was loaded, whole; from the weight source.
    std::vector<float> initial_parameter(std::size_t index) const;

    /// The last steps of the ranks: what to look at when one has failed.
    std::vector<RankTrail> trails() const;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace tplan
