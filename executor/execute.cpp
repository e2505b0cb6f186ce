#include "executor/execute.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cassert>
#include <cmath>
#include <cstring>
#include <numeric>
#include <type_traits>

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
    std::vector<std::shared_ptr<void>> captured;  // per rank, where the backend can; after a run
    bool ran = false;

    std::vector<std::string> devices;

    RankProgram& rank(int r) { return *ranks[static_cast<std::size_t>(r)]; }
    int first_local() const {
        int rank = 0;
        while (!backend->is_local(rank)) ++rank;
        return rank;
    }
    bool spread() const {
        return program.tp > 1 && !(backend->is_local(0) && backend->is_local(1));
    }
    const Step& step(const ExecutedStep& at) const {
        return program.sections[static_cast<std::size_t>(at.section)]
            .steps[static_cast<std::size_t>(at.step)];
    }
};

namespace {

void stop_if_asked(const RunOptions& options) {
    if (options.stop.stop_requested()) throw Error("run", "stopped on request");
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
    std::vector<std::uint64_t> sums;   // per executed step; of replicated results
    std::vector<std::uint8_t> finite;  // per executed step
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

/// Plain numbers as bytes, for Communicator::exchange between processes of one program.
template <class T>
std::string bytes_of_all(const std::vector<T>& values) {
    static_assert(std::is_trivially_copyable_v<T>);
    return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}
template <class T>
std::vector<T> values_in(std::string_view bytes) {
    std::vector<T> values(bytes.size() / sizeof(T));
    std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
    return values;
}

/// Where ranks are processes, fills the entries of the other ranks: what each of them has at its
/// place. On a rank's thread.
template <class T>
void share(Backend& backend, int rank, bool spread, std::vector<std::vector<T>>& by_rank) {
    if (!spread) return;
    const auto all = backend.communicator(rank).exchange(
        bytes_of_all(by_rank[static_cast<std::size_t>(rank)]), {"results of all ranks", 0});
    for (std::size_t r = 0; r < all.size(); ++r) by_rank[r] = values_in<T>(all[r]);
}

/// Bytes a step puts on the wire, for the trail.
double payload_of(const BoundStep& step) {
    return is_collective(step.step->kind) ? step.outputs[0].bytes() : 0;
}

/// Runs one step of any kind; seconds waited for other ranks.
double run_step(Backend& backend, int rank, const BoundStep& step) {
    auto& trail = backend.communicator(rank).trail();
    trail.begin(step.id, step.index, step.step->kind, payload_of(step));
    double waited = 0;
    if (is_collective(step.step->kind)) {
        waited = run_collective(backend, rank, step);
    } else {
        backend.launch(rank, step);
    }
    trail.end();
    return waited;
}

std::vector<StepTime> step_times(const std::vector<Interval>& intervals,
                                 const std::vector<double>& waits) {
    std::vector<StepTime> samples;
    for (std::size_t i = 0; i < intervals.size(); ++i) {
        samples.push_back({intervals[i].seconds, waits[i], intervals[i].clean});
    }
    return samples;
}

/// All steps as one, where the backend can: captured in the first call, then replayed and timed.
std::optional<Interval> replayed(Backend& backend, int rank, const std::vector<BoundStep>& steps,
                                 std::shared_ptr<void>& captured, bool first) {
    if (first) {
        captured = backend.capture(rank, [&] {
            for (const auto& step : steps) run_step(backend, rank, step);
        });
    }
    if (!captured) return {};
    backend.communicator(rank).barrier({"start of the replay", 0}, true);
    std::vector<Mark> marks{backend.record(rank, true)};
    backend.replay(rank, captured);
    marks.push_back(backend.record(rank, true));
    backend.synchronise(rank);
    return backend.elapsed(rank, marks).front();
}

}  // namespace

MemoryNeeds require_runnable(const Program& program, const Workload& workload,
                             const RunOptions& options, const Backend& backend,
                             const Program* beside) {
    if (workload.phase == Phase::train) {
        require_trainable(program, workload, options.dtype);
        if (options.world != nullptr) {
            throw Error("--launcher", "training steps are run by threads of one process",
                        "use --launcher threads");
        }
    }
    for (const auto& section : program.sections) {
        for (const auto& step : section.steps) {
            // Of integers the prediction is of kernels that no backend has.
            const bool integers =
                step.weight_dtype == DType::int4 || step.weight_dtype == DType::int8;
            const auto reason = integers
                                    ? fmt::format(
                                          "no backend multiplies {} weights; run the model without "
                                          "its quantization_config",
                                          name_of(step.weight_dtype))
                                    : backend.refusal(step, options.dtype);
            if (reason.empty()) continue;
            throw Error(section.name + "/" + step.name,
                        fmt::format("{} cannot run: {}", name_of(step.kind), reason));
        }
    }
    auto needs = memory_needs(program, workload, options.dtype, backend);
    if (beside != nullptr) {
        const auto more = memory_needs(*beside, workload, options.dtype, backend);
        needs.ranks.insert(needs.ranks.end(), more.ranks.begin(), more.ranks.end());
    }
    if (needs.fits() || options.force) return needs;
    throw Error("memory",
                fmt::format("the run{} needs {}, {} are there; {}",
                            beside != nullptr ? ", with one rank beside it," : "",
                            format_bytes(Bytes(needs.total())),
                            format_bytes(Bytes(needs.available)), needs.text()),
                "run fewer layers with --layers, a smaller batch or a shorter context");
}

Runner::Runner(const Program& program, const Workload& workload, const RunOptions& options)
    : state_(new State{
          program, workload, options, executed_steps(program), nullptr, {}, {}, {}, false, {}}) {
    auto& s = *state_;
    if (!s.options.weights) s.options.weights = synthetic_weights(options.seed);
    s.backend = make_backend(options.backend, program.tp, options.world);
    s.memory = require_runnable(s.program, workload, options, *s.backend);

    s.ranks.resize(static_cast<std::size_t>(program.tp));
    s.captured.resize(s.ranks.size());
    std::atomic<std::size_t> done = 0;
    const double all = static_cast<double>(s.steps.size()) * (s.spread() ? 1 : program.tp);
    const RankSetup setup{s.program,        s.workload,   s.steps,      s.options.weights,
                          s.options.tokens, options.seed, options.dtype};
    const auto after_step = [&](int rank) {
        stop_if_asked(s.options);
        const auto n = done.fetch_add(1) + 1;
        if (rank == 0 && s.options.progress) s.options.progress(static_cast<double>(n) / all);
    };
    s.backend->on_ranks([&](int rank) {
        auto& group = s.backend->communicator(rank);
        group.set_deadline(options.deadline_s);
        // Nobody takes memory before everybody has looked at what there is.
        if (s.spread()) group.barrier({"before loading", 0}, true);
        s.ranks[static_cast<std::size_t>(rank)] =
            std::make_unique<RankProgram>(*s.backend, rank, setup, after_step);
        if (!s.spread()) return;
        group.barrier({"after loading", 0}, true);
        s.devices = group.exchange(s.backend->device(rank), {"devices of all ranks", 0});
    });
    for (int r = 0; !s.spread() && r < program.tp; ++r) s.devices.push_back(s.backend->device(r));
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

std::vector<RankTrail> Runner::trails() const {
    auto& s = *state_;
    return s.backend->communicator(s.first_local()).trails();
}

std::vector<std::string> Runner::devices() const {
    return state_->devices;
}

RepSample Runner::run() {
    auto& s = *state_;
    stop_if_asked(s.options);
    RepSample sample;
    sample.ranks.resize(s.ranks.size());
    std::vector<std::vector<Interval>> totals(s.ranks.size());
    s.backend->on_ranks([&](int rank) {
        auto& backend = *s.backend;
        const auto& steps = s.rank(rank).steps();
        std::vector<Mark> marks;
        marks.reserve(steps.size() + 1);
        std::vector<double> waits(steps.size(), 0.0);
        backend.communicator(rank).barrier({"start of the repetition", 0}, true);
        marks.push_back(backend.record(rank, true));
        for (std::size_t i = 0; i < steps.size(); ++i) {
            if (s.options.before_step) s.options.before_step(rank, i);
            waits[i] = run_step(backend, rank, steps[i]);
            marks.push_back(backend.record(rank, i + 1 == steps.size()));
        }
        backend.synchronise(rank);
        const auto own = static_cast<std::size_t>(rank);
        sample.ranks[own] = step_times(backend.elapsed(rank, marks), waits);
        totals[own] = backend.elapsed(rank, std::vector{marks.front(), marks.back()});
        // Faults are injected between steps.
        if (!s.options.before_step) {
            const auto whole = replayed(backend, rank, steps, s.captured[own], !s.ran);
            if (whole) totals[own] = {*whole};
        }
        share(backend, rank, s.spread(), sample.ranks);
        share(backend, rank, s.spread(), totals);
    });
    s.ran = true;
    sample.replayed = s.captured[static_cast<std::size_t>(s.first_local())] != nullptr;
    for (const auto& total : totals) {
        sample.seconds = std::max(sample.seconds, total.front().seconds);
        sample.clean = sample.clean && total.front().clean;
    }
    return sample;
}

RankChecks Runner::check() {
    auto& s = *state_;
    stop_if_asked(s.options);
    std::vector<std::vector<std::uint64_t>> sums(s.ranks.size());
    std::vector<std::vector<std::uint8_t>> finite(s.ranks.size());
    s.backend->on_ranks([&](int rank) {
        auto& backend = *s.backend;
        RankTrace trace;
        std::vector<float> values;
        for (const auto& step : s.rank(rank).steps()) {
            if (s.options.before_step) {
                s.options.before_step(rank, static_cast<std::size_t>(step.index));
            }
            run_step(backend, rank, step);
            backend.synchronise(rank);
            trace.sums.push_back(0);
            trace.finite.push_back(1);
            for (std::size_t i = 0; i < step.outputs.size(); ++i) {
                const auto& out = step.outputs[i];
                values.resize(static_cast<std::size_t>(out.elements()));
                backend.download(rank, values.data(), out);
                const bool sound = std::all_of(values.begin(), values.end(),
                                               [](float v) { return std::isfinite(v); });
                if (!sound) trace.finite.back() = 0;
                const bool replicated =
                    step.step->kind == OpKind::all_reduce || step.step->kind == OpKind::all_gather;
                if (replicated) trace.sums.back() += checksum(values);
            }
        }
        const auto own = static_cast<std::size_t>(rank);
        sums[own] = std::move(trace.sums);
        finite[own] = std::move(trace.finite);
        share(backend, rank, s.spread(), sums);
        share(backend, rank, s.spread(), finite);
    });
    std::vector<RankTrace> traces;
    for (std::size_t r = 0; r < sums.size(); ++r) traces.push_back({sums[r], finite[r]});
    return judge(traces, s.steps);
}

Outputs chosen_tokens(const Outputs& pairs) {
    assert(pairs.width > 0 && pairs.width % 2 == 0);
    Outputs tokens{.rows = pairs.rows,
                   .width = 1,
                   .values = {},
                   .greedy = {},
                   .chosen = true,
                   .rounded = pairs.rounded};
    for (std::int64_t row = 0; row < pairs.rows; ++row) {
        const auto first = static_cast<std::size_t>(row * pairs.width);
        tokens.values.push_back(pairs.values[first]);
        tokens.greedy.push_back(static_cast<std::int32_t>(pairs.values[first + 1]));
    }
    return tokens;
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
        if (!cut && !s.spread() && r != rank) return;
        const auto local = s.rank(r).buffer(index);
        auto& values = parts[static_cast<std::size_t>(r)];
        values.resize(static_cast<std::size_t>(local.elements()));
        s.backend->download(r, values.data(), local);
        if (cut) share(*s.backend, r, s.spread(), parts);
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
    outputs.rounded = s.backend->activation_dtype(s.options.dtype) != DType::fp32;
    if (s.step(s.steps.back()).kind == OpKind::largest) return chosen_tokens(outputs);
    for (std::int64_t row = 0; row < outputs.rows; ++row) {
        const auto begin = outputs.values.begin() + row * outputs.width;
        const auto best = std::max_element(begin, begin + outputs.width);
        outputs.greedy.push_back(static_cast<std::int32_t>(best - begin));
    }
    return outputs;
}

double Runner::loss() const {
    auto& s = *state_;
    const auto index = loss_buffer(s.program);
    std::vector<float> rows;
    s.backend->on_ranks([&](int rank) {
        if (rank != s.first_local()) return;
        const auto local = s.rank(rank).buffer(index);
        rows.resize(static_cast<std::size_t>(local.elements()));
        s.backend->download(rank, rows.data(), local);
    });
    const auto labels = s.workload.batch * (s.workload.input - 1);
    return std::accumulate(rows.begin(), rows.end(), 0.0) / static_cast<double>(labels);
}

std::size_t Runner::parameters() const {
    const auto* training = state_->rank(0).training();
    return training == nullptr ? 0 : training->parameters().shards().size();
}

std::vector<float> Runner::initial_parameter(std::size_t index) const {
    const auto& s = *state_;
    const auto& shard = s.ranks[0]->training()->parameters().shards()[index];
    const auto& shape =
        s.program.tensors[static_cast<std::size_t>(shard.use.instance.tensor)].shape;
    TrainedTensor like(shard.name, shape);
    WeightPart part;
    part.name = shard.name;
    part.shape = shape;
    part.role = shard.use.role;
    part.fan_in = fan_in_of(shape, shard.use.transposed);
    part.rows = {0, like.rows};
    part.columns = {0, like.columns};
    part.stride = like.columns;
    s.options.weights(part, like.value.data());
    return like.value;
}

TrainedTensor Runner::parameter(std::size_t index) const {
    auto& s = *state_;
    const auto& tensors = s.program.tensors;
    const auto shard_of = [&](int rank) -> const ParameterShard& {
        return s.rank(rank).training()->parameters().shards()[index];
    };
    std::vector<std::vector<float>> gradients(s.ranks.size()), values(s.ranks.size());
    s.backend->on_ranks([&](int rank) {
        const auto& weight = s.rank(rank).training()->parameters().all()[index];
        const auto own = static_cast<std::size_t>(rank);
        for (const auto& [to, from] : {std::pair{&gradients[own], &weight.gradient},
                                       std::pair{&values[own], &weight.value}}) {
            to->resize(static_cast<std::size_t>(from->elements()));
            s.backend->download(rank, to->data(), *from);
        }
    });
    TrainedTensor joined(shard_of(0).name,
                         tensors[static_cast<std::size_t>(shard_of(0).use.instance.tensor)].shape);
    for (int r = 0; r < ranks(); ++r) {
        const auto own = static_cast<std::size_t>(r);
        joined.join(shard_of(r), gradients[own], values[own]);
    }
    return joined;
}

}  // namespace tplan
