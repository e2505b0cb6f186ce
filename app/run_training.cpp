#include "app/run_training.h"

#include <cmath>
#include <limits>

#include "executor/gradient_check.h"
#include "executor/optimizer.h"
#include "planner/train.h"

namespace tplan {
namespace {

/// The rest of the check follows from these: derive(). JSON has no infinity.
NumericsCheck check_of(std::string what, double apart, double length) {
    const bool finite = std::isfinite(apart) && std::isfinite(length);
    return {.what = std::move(what),
            .max_abs_diff = finite ? apart : std::numeric_limits<double>::max(),
            .largest = finite ? length : 1};
}

/// The worst of some comparisons: the largest apart / length.
struct Worst {
    std::string name;
    double apart = 0, length = 0;
    bool any = false;

    void add(const std::string& of, double a, double l) {
        // Written so that what is not a number is the worst.
        if (any && a * length <= apart * l) return;
        name = of;
        apart = a;
        length = l;
        any = true;
    }
};

}  // namespace

void require_one_batch(const PlanDocument& plan) {
    const auto& training = plan.request.training.value();
    if (training.accumulate == 1) return;
    throw Error("training/accumulate",
                fmt::format("a step of {} micro-batches is not run", training.accumulate),
                "plan with --accumulate 1: the others repeat the first");
}

Program training_program_of(const PlanDocument& plan, const Program& forward, int tp) {
    auto training = plan.request.training.value();
    training.mesh.tp = tp;
    return training_program(forward, training, plan.request.plan.kernels);
}

NumericsCheck against_slopes(const Program& small, const Model& model, const Workload& workload,
                             const RunOptions& options) {
    Runner runner(small, workload, options);
    runner.run();
    const auto worst =
        check_slopes(runner, model, workload, synthetic_weights(options.seed), options.seed);
    return check_of(
        fmt::format("gradients of a small copy against slopes of the scalar reference's loss, the "
                    "worst of {} ({})",
                    runner.parameters(), worst.name),
        worst.apart, worst.length);
}

std::vector<NumericsCheck> training_checks(const PlanDocument& plan, const Runner& runner,
                                           const Runner* one) {
    const auto optimizer = plan.request.training.value().optimizer;
    std::vector<NumericsCheck> checks;
    if (one != nullptr) {
        checks.push_back(check_of(fmt::format("loss of TP {} against TP 1", plan.tp),
                                  std::abs(runner.loss() - one->loss()), one->loss()));
    }
    Worst gradients, updates;
    for (std::size_t i = 0; i < runner.parameters(); ++i) {
        const auto got = runner.parameter(i);
        const auto update =
            update_distance(optimizer, runner.initial_parameter(i), got.gradient, got.value);
        updates.add(got.name, update.apart, update.moved);
        if (one == nullptr) continue;
        const auto apart = distance(got.gradient, one->parameter(i).gradient);
        gradients.add(got.name, got.agree ? apart.apart : std::numeric_limits<double>::infinity(),
                      apart.reference);
    }
    const auto count = runner.parameters();
    if (one != nullptr) {
        checks.push_back(check_of(fmt::format("gradients of TP {} against TP 1, the worst of {} "
                                              "({})",
                                              plan.tp, count, gradients.name),
                                  gradients.apart, gradients.length));
    }
    checks.push_back(check_of(fmt::format("update against {} in doubles, the worst of {} ({})",
                                          name_of(optimizer), count, updates.name),
                              updates.apart, updates.length));
    return checks;
}

}  // namespace tplan
