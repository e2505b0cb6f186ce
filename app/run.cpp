#include "app/run.h"

#include <algorithm>
#include <limits>

#include "app/detect.h"
#include "app/small_copy.h"
#include "executor/numerics.h"
#include "executor/probe.h"
#include "executor/reference.h"
#include "planner/lower.h"

namespace tplan {
namespace {

constexpr int kProbePoints = 6;
constexpr int kProbeReps = 3;
constexpr int kProbeVisits = 4;  // spread over the repetitions
double tolerance_of(DType dtype) {
    return dtype == DType::fp32 ? kToleranceFp32 : kToleranceBf16;
}

}  // namespace

double deadline_of(const PlanDocument& plan, const RunRequest& request) {
    constexpr double kLeast = 10, kOfPredicted = 20;
    if (request.deadline_s > 0) return request.deadline_s;
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
    const auto model = build_model(config);
    auto options = plan.request.plan;
    options.tp = 1;
    const auto planned = make_plan(config, model, options);
    if (!planned.plan) throw Error("plan", "one rank cannot run this plan");
    return lower(model, *planned.plan, plan.workload.dtype);
}

NumericsCheck check_of(std::string what, const Deviation& deviation, double tolerance) {
    const bool pass = deviation.finite && deviation.max_rel <= tolerance;
    // JSON has no infinity: a run that made NaN deviates by the largest number.
    constexpr double kWorst = std::numeric_limits<double>::max();
    return {std::move(what), deviation.finite ? deviation.max_abs : kWorst,
            deviation.finite ? deviation.max_rel : kWorst, tolerance, pass};
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
    const auto model = build_model(small);
    const auto program = small_program(plan, small, model);
    auto workload = plan.workload;
    workload.batch = std::min<std::int64_t>(workload.batch, 2);
    workload.input = std::min<std::int64_t>(workload.input, 12);
    workload.context = std::min<std::int64_t>(workload.context, 12);
    auto run = options_of(plan, request, true);
    run.dtype = DType::fp32;
    Runner runner(program, workload, run);
    runner.run();
    const auto outputs = runner.outputs();
    const auto tokens = synthetic_tokens(request.seed, workload.rows(Rows::tokens), small.vocab);
    const auto expected =
        run_reference(model, workload, synthetic_weights(request.seed), tokens, request.seed);
    return check_of("small copy of the model against the scalar reference",
                    deviation(outputs, expected), kToleranceFp32);
}

/// A few of the profile's points, spread over its tables, and what they cost when it was
/// calibrated.
struct DriftPoint {
    Probe probe;
    Seconds then;
    std::vector<TimedSample> samples;
};

template <class Point>
void pick(const std::vector<Point>& points, int ranks, int count, std::vector<DriftPoint>& picked) {
    std::vector<const Point*> usable;
    for (const auto& point : points) {
        // Short points are mostly timer, long ones hold up the run.
        const bool sized = point.time > Seconds(20e-6) && point.time < Seconds(50e-3);
        if (point.ranks == ranks && sized) usable.push_back(&point);
    }
    const auto step = std::max<std::size_t>(1, usable.size() / static_cast<std::size_t>(count));
    for (std::size_t i = step / 2; i < usable.size() && count-- > 0; i += step) {
        picked.push_back({probe_of(*usable[i]), usable[i]->time, {}});
    }
}

std::vector<DriftPoint> drift_points(const HardwareProfile& hardware, int ranks) {
    std::vector<DriftPoint> points;
    if (hardware.backend != "cpu") return points;
    pick(hardware.tables.gemm, ranks, kProbePoints - 2, points);
    pick(hardware.tables.elementwise, ranks, 1, points);
    pick(hardware.tables.attention, ranks, 1, points);
    return points;
}

/// Clean times of every executed step, over the repetitions.
struct OpSamples {
    std::vector<TimedSample> time, wait;
};

void record(const RepSample& rep, std::vector<OpSamples>& ops) {
    for (std::size_t s = 0; s < ops.size(); ++s) {
        // The slowest rank's own time; a collective lasts from the last arrival, what came before
        // is waiting.
        TimedSample time, wait;
        for (const auto& rank : rep.ranks) {
            time.time = std::max(time.time, Seconds(rank[s].seconds - rank[s].wait_s));
            wait.time = std::max(wait.time, Seconds(rank[s].wait_s));
            time.clean = time.clean && rank[s].clean;
        }
        wait.clean = time.clean;
        ops[s].time.push_back(time);
        ops[s].wait.push_back(wait);
    }
}

/// Repetitions of the plan, of one rank and of the probe points, interleaved. Samples are kept as
/// they come, so that a run cut short leaves what it has.
void measure(const PlanDocument& plan, const RunRequest& request, Runner& runner, Runner* one,
             Measured& measured) {
    auto probes = drift_points(plan.hardware, plan.tp);
    std::vector<OpSamples> ops(runner.steps().size());
    std::vector<TimedSample> one_samples;
    const int visit_every = std::max(1, request.reps / kProbeVisits);
    for (int rep = -request.warmup; rep < request.reps; ++rep) {
        if (request.stop.stop_requested()) throw Error("run", "stopped", "nothing was judged");
        const auto sample_of_plan = runner.run();
        std::optional<RepSample> sample_of_one;
        if (one) sample_of_one = one->run();
        if (rep < 0) continue;
        measured.step_samples.push_back({Seconds(sample_of_plan.seconds), sample_of_plan.clean});
        record(sample_of_plan, ops);
        if (sample_of_one)
            one_samples.push_back({Seconds(sample_of_one->seconds), sample_of_one->clean});
        if (rep % visit_every == 0) {
            for (auto& point : probes) {
                const auto more = sample(point.probe, measured.backend, kProbeReps, request.world);
                point.samples.insert(point.samples.end(), more.begin(), more.end());
            }
        }
        if (request.progress) {
            request.progress(0.1 + 0.9 * (rep + 1) / request.reps,
                             fmt::format("repetition {} of {}", rep + 1, request.reps));
        }
    }

    measured.step_tp1 = spread_of(one ? one_samples : measured.step_samples);
    for (std::size_t s = 0; s < ops.size(); ++s) {
        measured.ops.push_back(
            {runner.steps()[s].id, spread_of(ops[s].time).median, spread_of(ops[s].wait).median});
    }
    for (const auto& point : probes)
        measured.probes.push_back({point.probe.name, point.then, spread_of(point.samples).median});
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
    if (plan.workload.phase == Phase::train) {
        throw Error("workload/phase", "the executor does not run training steps",
                    "run a plan of --phase prefill or decode; `tplan check` recomputes this one");
    }
    const int all_layers = 1 + *std::ranges::max_element(plan.program.order_layer);
    const int layers = request.layers > 0 ? std::min(request.layers, all_layers) : all_layers;
    Validation result;
    auto& measured = result.measured;
    measured.layers = layers;

    tell(0, "checking the small copy against the scalar reference");
    result.numerics.reference.push_back(against_reference(plan, request));
    tell(0.02, "making the weights");
    Runner runner(first_layers(program, layers), plan.workload, options_of(plan, request, true));
    // The program of one rank is the first process's alone, the others wait for it meanwhile.
    std::optional<Runner> one;
    if (plan.tp > 1 && (!request.world || request.world->first()))
        one.emplace(first_layers(one_rank_program(plan), layers), plan.workload,
                    options_of_one(plan, request));
    measured.backend = runner.backend();
    measured.devices = runner.devices();
    measured.environment = environment_of(runner, request);

    try {
        tell(0.05, "comparing the numbers with one rank");
        const auto agreement = runner.check();
        result.numerics.ranks_agree = agreement.ranks_agree && agreement.finite;
        const auto outputs = runner.outputs();
        if (one) {
            one->run();
            result.numerics.reference.push_back(
                check_of(fmt::format("logits of TP {} against TP 1", plan.tp),
                         deviation(outputs, one->outputs()), tolerance_of(plan.workload.dtype)));
        }
        measure(plan, request, runner, one ? &*one : nullptr, measured);
    } catch (const Error& failure) {
        derive(plan, result);
        result.verdict = RunVerdict::failed;
        result.last_steps = runner.trails();
        throw RunFailure(failure, std::move(result));
    }
    derive(plan, result);
    return result;
}

std::optional<Validation> run_plan(const Json& document, const std::string& where,
                                   const RunRequest& request) {
    if (const auto differences = check_plan(document, where); !differences.empty()) {
        const auto& first = differences.front();
        throw Error(where,
                    fmt::format("the plan does not recompute: {} values differ, the first at {}: "
                                "found {}, expected {}",
                                differences.size(), first.path, first.found, first.expected),
                    "make the plan again with `tplan plan`");
    }
    return launch_plan(read_plan(document, where), request);
}

}  // namespace tplan
