#include "executor/execute.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cassert>
#include <cmath>

#include "core/error.h"
#include "core/json_io.h"
#include "core/text.h"
#include "executor/backend.h"
#include "executor/rank_program.h"

namespace tplan {

// Declared in the order of what refers to what: the backend goes last.
struct Runner::State {
    Program program;
    Workload workload;
    RunOptions options;
    std::vector<ExecutedStep> steps;
    std::unique_ptr<Backend> backend;
    MemoryNeeds memory;
    std::vector<std::unique_ptr<RankProgram>> ranks;

    RankProgram& rank(int r) { return *ranks[static_cast<std::size_t>(r)]; }
    const Step& step(const ExecutedStep& at) const {
        return program.sections[static_cast<std::size_t>(at.section)]
            .steps[static_cast<std::size_t>(at.step)];
    }
};

namespace {

void stop_if_asked(const RunOptions& options) {
    if (options.stop.stop_requested()) throw Error("run", "stopped on request");
}

void refuse_steps(const Program& program, DType dtype, const Backend& backend) {
    for (const auto& section : program.sections) {
        for (const auto& step : section.steps) {
            const auto reason = backend.refusal(step, dtype);
            if (reason.empty()) continue;
            throw Error(section.name + "/" + step.name,
                        fmt::format("{} cannot run: {}", name_of(step.kind), reason));
        }
    }
}

void refuse_memory(const MemoryNeeds& needs, bool force) {
    if (needs.fits() || force) return;
    throw Error(
        "memory",
        fmt::format("the run needs {}, {} are there; {}", format_bytes(Bytes(needs.total())),
                    format_bytes(Bytes(needs.available)), needs.text()),
        "run fewer layers, a smaller batch or a shorter context");
}

/// Order-independent only where it may be: a sum over position-dependent mixes of the bits.
std::uint64_t checksum(const std::vector<float>& values) {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
        const std::uint64_t bits = std::bit_cast<std::uint32_t>(values[i]);
        sum += (bits + 0x9e3779b97f4a7c15U * (i + 1)) * (bits | 1);
    }
    return sum;
}

/// One rank's numbers for Runner::check().
struct RankTrace {
    std::vector<std::uint64_t> sums;  // per executed step; of replicated results
    std::vector<bool> finite;         // per executed step
};

RankChecks judge(const std::vector<RankTrace>& traces, const std::vector<ExecutedStep>& steps) {
    RankChecks checks;
    for (std::size_t i = 0; i < steps.size(); ++i) {
        for (std::size_t r = 0; r < traces.size(); ++r) {
            if (checks.ranks_agree && traces[r].sums[i] != traces[0].sums[i]) {
                checks.ranks_agree = false;
                checks.disagreement = steps[i].id;
            }
            if (checks.finite && !traces[r].finite[i]) {
                checks.finite = false;
                checks.not_finite = fmt::format("rank {}, {}", r, steps[i].id);
            }
        }
    }
    return checks;
}

std::vector<StepTime> step_times(const std::vector<Interval>& intervals,
                                 const std::vector<double>& waits) {
    std::vector<StepTime> samples;
    for (std::size_t i = 0; i < intervals.size(); ++i) {
        samples.push_back({intervals[i].seconds, waits[i], intervals[i].clean});
    }
    return samples;
}

}  // namespace

Runner::Runner(const Program& program, const Workload& workload, const RunOptions& options)
    : state_(new State{program, workload, options, executed_steps(program), nullptr, {}, {}}) {
    auto& s = *state_;
    if (workload.phase == Phase::train) {
        throw Error("workload/phase", "training steps are priced but not executed yet",
                    "run prefill or decode");
    }
    if (!s.options.weights) s.options.weights = synthetic_weights(options.seed);
    s.backend = make_backend(options.backend, program.tp);
    refuse_steps(s.program, options.dtype, *s.backend);
    s.memory = memory_needs(s.program, workload, options.dtype, *s.backend);
    refuse_memory(s.memory, options.force);

    s.ranks.resize(static_cast<std::size_t>(program.tp));
    std::atomic<std::size_t> done = 0;
    const double all = static_cast<double>(s.steps.size()) * program.tp;
    const RankSetup setup{s.program,        s.workload,   s.steps,      s.options.weights,
                          s.options.tokens, options.seed, options.dtype};
    const auto after_step = [&](int rank) {
        stop_if_asked(s.options);
        const auto n = done.fetch_add(1) + 1;
        if (rank == 0 && s.options.progress) s.options.progress(static_cast<double>(n) / all);
    };
    s.backend->on_ranks([&](int rank) {
        s.backend->communicator(rank).set_deadline(options.deadline_s);
        s.ranks[static_cast<std::size_t>(rank)] =
            std::make_unique<RankProgram>(*s.backend, rank, setup, after_step);
    });
}

Runner::~Runner() = default;
Runner::Runner(Runner&&) noexcept = default;

int Runner::ranks() const {
    return state_->program.tp;
}
const std::vector<ExecutedStep>& Runner::steps() const {
    return state_->steps;
}
const MemoryNeeds& Runner::memory() const {
    return state_->memory;
}
std::string Runner::backend() const {
    return std::string(state_->backend->name());
}
std::vector<std::string> Runner::notes() const {
    return state_->backend->notes();
}

std::vector<std::string> Runner::devices() const {
    std::vector<std::string> devices;
    for (int r = 0; r < ranks(); ++r) devices.push_back(state_->backend->device(r));
    return devices;
}

RepSample Runner::run() {
    auto& s = *state_;
    stop_if_asked(s.options);
    RepSample sample;
    sample.ranks.resize(s.ranks.size());
    std::vector<Interval> totals(s.ranks.size());
    s.backend->on_ranks([&](int rank) {
        auto& backend = *s.backend;
        const auto& steps = s.rank(rank).steps();
        std::vector<Mark> marks;
        marks.reserve(steps.size() + 1);
        std::vector<double> waits(steps.size(), 0.0);
        backend.communicator(rank).barrier({"start of the repetition", 0});
        marks.push_back(backend.record(rank, true));
        for (std::size_t i = 0; i < steps.size(); ++i) {
            if (s.options.before_step) s.options.before_step(rank, i);
            if (is_collective(steps[i].step->kind)) {
                waits[i] = run_collective(backend, rank, steps[i]);
            } else {
                backend.launch(rank, steps[i]);
            }
            marks.push_back(backend.record(rank, i + 1 == steps.size()));
        }
        backend.synchronise(rank);
        const auto own = static_cast<std::size_t>(rank);
        sample.ranks[own] = step_times(backend.elapsed(rank, marks), waits);
        totals[own] = backend.elapsed(rank, std::vector{marks.front(), marks.back()}).front();
    });
    for (const auto& total : totals) {
        sample.seconds = std::max(sample.seconds, total.seconds);
        sample.clean = sample.clean && total.clean;
    }
    return sample;
}

RankChecks Runner::check() {
    auto& s = *state_;
    stop_if_asked(s.options);
    std::vector<RankTrace> traces(s.ranks.size());
    s.backend->on_ranks([&](int rank) {
        auto& backend = *s.backend;
        auto& trace = traces[static_cast<std::size_t>(rank)];
        std::vector<float> values;
        for (const auto& step : s.rank(rank).steps()) {
            if (s.options.before_step) {
                s.options.before_step(rank, static_cast<std::size_t>(step.index));
            }
            if (is_collective(step.step->kind)) {
                run_collective(backend, rank, step);
            } else {
                backend.launch(rank, step);
            }
            backend.synchronise(rank);
            trace.sums.push_back(0);
            trace.finite.push_back(true);
            for (std::size_t i = 0; i < step.outputs.size(); ++i) {
                const auto& out = step.outputs[i];
                values.resize(static_cast<std::size_t>(out.elements()));
                backend.download(rank, values.data(), out);
                trace.finite.back() =
                    trace.finite.back() && std::all_of(values.begin(), values.end(),
                                                       [](float v) { return std::isfinite(v); });
                const bool replicated =
                    step.step->kind == OpKind::all_reduce || step.step->kind == OpKind::all_gather;
                if (replicated) trace.sums.back() += checksum(values);
            }
        }
    });
    return judge(traces, s.steps);
}

Outputs Runner::outputs(int rank) const {
    auto& s = *state_;
    const int index = s.step(s.steps.back()).outputs.back();
    const auto& buffer = s.program.buffers[static_cast<std::size_t>(index)];
    Outputs outputs;
    outputs.rows = s.workload.rows(buffer.rows);
    outputs.width = buffer.width;
    outputs.values.resize(static_cast<std::size_t>(outputs.rows * outputs.width));
    const bool cut = buffer.layout.kind == LayoutKind::split;
    std::vector<std::vector<float>> parts(s.ranks.size());
    s.backend->on_ranks([&](int r) {
        if (!cut && r != rank) return;
        const auto local = s.rank(r).buffer(index);
        auto& values = parts[static_cast<std::size_t>(r)];
        values.resize(static_cast<std::size_t>(local.elements()));
        s.backend->download(r, values.data(), local);
    });
    for (int r = 0; r < ranks(); ++r) {
        const auto& values = parts[static_cast<std::size_t>(r)];
        const auto local = local_width(buffer, r);
        std::int64_t column = 0;
        for (const auto& slice : owned_columns(buffer, r)) {
            for (std::int64_t row = 0; row < outputs.rows && !values.empty(); ++row) {
                std::copy_n(values.data() + row * local + column, slice.extent,
                            outputs.values.data() + row * outputs.width + slice.offset);
            }
            column += slice.extent;
        }
    }
    for (std::int64_t row = 0; row < outputs.rows; ++row) {
        const auto begin = outputs.values.begin() + row * outputs.width;
        const auto best = std::max_element(begin, begin + outputs.width);
        outputs.greedy.push_back(static_cast<std::int32_t>(best - begin));
    }
    return outputs;
}

}  // namespace tplan
