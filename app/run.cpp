#include "app/run.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "app/detect.h"
#include "app/drift.h"
#include "app/first_layers.h"
#include "app/run_training.h"
#include "app/small_copy.h"
#include "executor/backend.h"
#include "executor/numerics.h"
#include "executor/reference.h"
#include "planner/lower.h"
#include "planner/train_plan.h"

namespace tplan {
namespace {

constexpr int kProbeReps = 3;
constexpr int kProbeVisits = 4;  // spread over the repetitions

}  // namespace

double deadline_of(const PlanDocument& plan, const RunRequest& request) {
    constexpr double kLeast = 10, kOfPredicted = 20;
    if (const auto& asked = request.deadline_s) {
        if (*asked > 0 && std::isfinite(*asked)) return *asked;
        throw Error("--deadline-s", fmt::format("{} is out of range", *asked),
                    "give a number of seconds above 0");
    }
    return std::max(kLeast, kOfPredicted * plan.predicted.step.value);
}

namespace {

RunOptions options_of(const PlanDocument& plan, const RunRequest& request, bool tampered) {
    RunOptions options;
    options.backend = request.backend;
    options.seed = request.seed;
    if (tampered) options.weights = request.weights;
    options.dtype = plan.workload.dtype;
    options.deadline_s = deadline_of(plan, request);
    options.stop = request.stop;
    options.world = request.world;
    options.before_step = request.before_step;
    return options;
}

/// For the same model on one rank of this process: no planted faults.
RunOptions options_of_one(const PlanDocument& plan, const RunRequest& request) {
    auto options = options_of(plan, request, false);
    options.world = nullptr;
    options.before_step = {};
    return options;
}

/// The same plan on one rank.
Program one_rank_program(const PlanDocument& plan) {
    const auto config = read_model_config(plan.model, "plan/model");
    const auto model = planned_model(config, plan.request);
    auto options = plan.request.plan;
    options.tp = 1;
    const auto planned = make_plan(config, model, options);
    if (!planned.plan) throw Error("plan", "one rank cannot run this plan");
    auto program = lower(model, *planned.plan, plan.workload.dtype);
    return plan.request.training ? training_program_of(plan, program, 1) : program;
}

/// The rest of the check follows from these: derive().
NumericsCheck check_of(std::string what, const Outputs& got, const Outputs& reference) {
    const auto apart = deviation(got, reference);
    // JSON has no infinity: a run that made NaN deviates by the largest number.
    if (!apart.finite)
        return {.what = std::move(what),
                .max_abs_diff = std::numeric_limits<double>::max(),
                .largest = 1};
    double largest = 0;
    for (const float value : reference.values) largest = std::max(largest, std::abs(double{value}));
    return {.what = std::move(what), .max_abs_diff = apart.max_abs, .largest = largest};
}

/// The small copy under the plan's own layout.
Program small_program(const PlanDocument& plan, const ModelConfig& small, const Model& model) {
    auto options = plan.request.plan;
    options.tp = plan.tp;
    if (plan.layout) {
        const auto laid_out = apply_layout(model, options, small_layout(model, *plan.layout));
        return lower(laid_out.model, laid_out.plan, DType::fp32);
    }
    const auto planned = make_plan(small, model, options);
    if (!planned.plan) {
        throw Error("numerics", "the small copy of the model has no plan at this degree: " +
                                    planned.feasibility.violations.front().message);
    }
    return lower(model, *planned.plan, DType::fp32);
}

/// The architecture in small, through planner and executor at this degree, against the scalar
/// reference.
NumericsCheck against_reference(const PlanDocument& plan, const RunRequest& request) {
    const auto small = small_copy(read_model_config(plan.model, "plan/model"), plan.tp);
    const auto model = planned_model(small, plan.request);
    auto program = small_program(plan, small, model);
    if (plan.request.training) program = training_program_of(plan, program, plan.tp);
    auto workload = plan.workload;
    workload.batch = std::min<std::int64_t>(workload.batch, 2);
    workload.input = std::min<std::int64_t>(workload.input, 12);
    workload.context = std::min<std::int64_t>(workload.context, 12);
    auto run = options_of(plan, request, true);
    run.dtype = DType::fp32;
    if (plan.request.training) return against_slopes(program, model, workload, run);
    Runner runner(program, workload, run);
    runner.run();
    const auto outputs = runner.outputs();
    const auto tokens = synthetic_tokens(request.seed, workload.rows(Rows::tokens), small.vocab);
    std::optional<Model> kept;
    const auto& whole = with_sampling(model, plan.request.plan.sampling, 1, kept);
    const auto expected =
        run_reference(whole, workload, synthetic_weights(request.seed), tokens, request.seed);
    return check_of("small copy of the model against the scalar reference", outputs, expected);
}

/// Adds a repetition to the samples of every executed step.
void record(const RepSample& rep, std::vector<OpSamples>& ops) {
    for (std::size_t s = 0; s < ops.size(); ++s) {
        // The slowest rank's own time; a collective lasts from the last arrival, what came before
        // is waiting.
        double time = 0, wait = 0;
        bool clean = true;
        for (const auto& rank : rep.ranks) {
            time = std::max(time, rank[s].seconds - rank[s].wait_s);
            wait = std::max(wait, rank[s].wait_s);
            clean = clean && rank[s].clean;
        }
        ops[s].times.emplace_back(time);
        ops[s].waits.emplace_back(wait);
        ops[s].clean += clean ? 'c' : 'p';
    }
}

/// Repetitions of the plan, of one rank and of the probe points, interleaved. Samples are kept as
/// they come, so that a run cut short leaves what it has.
void measure(const PlanDocument& plan, const RunRequest& request, Runner& runner, Runner* one,
             Measured& measured) {
    const auto points = drift_points(plan.hardware, plan.tp);
    for (const auto& point : points)
        measured.probes.push_back({point.probe.name, point.then, Seconds(0)});
    for (const auto& step : runner.steps()) measured.op_samples.push_back({.id = step.id});
    const int visit_every = std::max(1, request.reps / kProbeVisits);
    for (int rep = -request.warmup; rep < request.reps; ++rep) {
        if (request.stop.stop_requested()) throw Error("run", "stopped", "nothing was judged");
        const auto sample_of_plan = runner.run();
        std::optional<RepSample> sample_of_one;
        if (one) sample_of_one = one->run();
        if (rep < 0) continue;
        measured.step_samples.push_back({Seconds(sample_of_plan.seconds), sample_of_plan.clean});
        record(sample_of_plan, measured.op_samples);
        if (sample_of_one)
            measured.step_tp1_samples.push_back(
                {Seconds(sample_of_one->seconds), sample_of_one->clean});
        if (rep % visit_every == 0) {
            for (std::size_t i = 0; i < points.size(); ++i) {
                const auto more =
                    sample(points[i].probe, measured.backend, kProbeReps, request.world);
                auto& samples = measured.probes[i].samples;
                samples.insert(samples.end(), more.begin(), more.end());
            }
        }
        if (request.progress) {
            request.progress(0.1 + 0.9 * (rep + 1) / request.reps,
                             fmt::format("repetition {} of {}", rep + 1, request.reps));
        }
    }
}

Named<std::string> environment_of(const Runner& runner, const RunRequest& request) {
    const auto machine = detect_machine();
    Named<std::string> environment{{"cpu", machine.cpu},
                                   {"cores", std::to_string(machine.cores)},
                                   {"memory", format_bytes(machine.memory)},
                                   {"instructions", join(machine.instructions, " ")}};
    environment.emplace_back("launcher", std::string(name_of(request.launcher)));
    if (request.world && request.world->transport)
        environment.emplace_back("messages", request.world->transport->name);
    if (const auto notes = runner.notes(); !notes.empty())
        environment.emplace_back("notes", join(notes, "; "));
    return environment;
}

}  // namespace

Validation run_program(const PlanDocument& plan, const Program& program,
                       const RunRequest& request) {
    const auto tell = [&](double done, const std::string& what) {
        if (request.progress) request.progress(done, what);
    };
    const bool training = plan.request.training.has_value();
    if (training) require_one_batch(plan);
    const int all_layers = 1 + *std::ranges::max_element(plan.program.order_layer);
    const int layers = request.layers > 0 ? std::min(request.layers, all_layers) : all_layers;
    Validation result;
    auto& measured = result.measured;
    measured.layers = layers;

    const auto program_of_plan = first_layers(program, layers);
    std::optional<Program> program_of_one;
    if (plan.tp > 1) program_of_one = first_layers(one_rank_program(plan), layers);
    // A run of threads is refused now rather than after its first minutes; processes refuse on
    // their own when they start.
    if (!request.world) {
        const auto options = options_of(plan, request, true);
        require_runnable(program_of_plan, plan.workload, options,
                         *make_backend(options.backend, plan.tp),
                         program_of_one ? &*program_of_one : nullptr);
    }

    tell(0, "checking the small copy against the scalar reference");
    result.numerics.reference.push_back(against_reference(plan, request));
    tell(0.02, "making the weights");
    Runner runner(program_of_plan, plan.workload, options_of(plan, request, true));
    // The program of one rank is the first process's alone, the others wait for it meanwhile.
    std::optional<Runner> one;
    if (program_of_one && (!request.world || request.world->first()))
        one.emplace(*program_of_one, plan.workload, options_of_one(plan, request));
    measured.backend = runner.backend();
    measured.devices = runner.devices();
    measured.environment = environment_of(runner, request);

    try {
        tell(0.05, "comparing the numbers with one rank");
        const auto agreement = runner.check();
        auto& numerics = result.numerics;
        numerics.ranks_agree = agreement.ranks_agree && agreement.finite;
        if (!agreement.finite) {
            numerics.disagreement = "not a finite number: " + agreement.not_finite;
        } else if (!agreement.ranks_agree) {
            numerics.disagreement = "the ranks' results differ after " + agreement.disagreement;
        }
        if (one) one->run();
        if (training) {
            for (auto& check : training_checks(plan, runner, one ? &*one : nullptr))
                numerics.reference.push_back(std::move(check));
        } else if (one) {
            const auto outputs = runner.outputs();
            const auto* what = !outputs.chosen   ? "logits"
                               : outputs.rounded ? "logits of the tokens chosen"
                                                 : "tokens and their logits";
            result.numerics.reference.push_back(check_of(
                fmt::format("{} of TP {} against TP 1", what, plan.tp), outputs, one->outputs()));
        }
        measure(plan, request, runner, one ? &*one : nullptr, measured);
    } catch (const Error& failure) {
        derive(plan, result);
        result.verdict = RunVerdict::failed;
        result.reasons = {failure.what()};
        result.last_steps = runner.trails();
        throw RunFailure(failure, std::move(result));
    }
    derive(plan, result);
    return result;
}

std::optional<Validation> run_plan(const Json& document, const std::string& where,
                                   const RunRequest& request) {
    if (const auto differences = check_plan(document, where); !differences.empty()) {
        throw Error(where, "the plan does not recompute: " + first_of(differences),
                    "make the plan again with `tplan plan`");
    }
    return launch_plan(read_plan(document, where), request);
}

}  // namespace tplan
