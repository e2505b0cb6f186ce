#include "executor/probe.h"

#include <algorithm>
#include <cmath>

#include "core/json_io.h"
#include "core/text.h"

namespace tplan {
namespace {

constexpr std::int64_t kMostLayers = 48, kFewestLayers = 4;
/// Of its cache a GPU's weights in turn take: what was read last is not what is thrown out first.
constexpr double kCachesRotated = 3;
/// Of the product that feeds another op: weights as of a layer, which leave little of what lay in
/// the caches (a norm after them takes three times as long as after a small product); narrower
/// where many rows would make it slow and are themselves more than a cache holds.
constexpr double kFeedBytes = 8e6;
constexpr std::int64_t kFewestFeedColumns = 256, kMostFeedColumns = 2048, kManyRows = 256;
constexpr std::int64_t kPassWidth = 1024, kPassHeadDim = 128, kProbeVocab = 16384;

std::int64_t feed_columns(std::int64_t outputs, std::int64_t rows) {
    if (rows > kManyRows) return kFewestFeedColumns;
    const auto columns = std::llround(kFeedBytes / 4 / static_cast<double>(outputs));
    return std::clamp<std::int64_t>(columns, kFewestFeedColumns, kMostFeedColumns);
}

/// A program of one section that repeats one step, every rank doing the whole of it. Ops other than
/// products are fed by a product in front of them, which is not timed: in a model their inputs come
/// fresh from one, not from the fastest cache of a loop that does nothing else, and ranks arrive as
/// unevenly as they do there.
struct Builder {
    Probe probe;

    Builder(std::string name, int ranks, std::int64_t layers) {
        probe.name = std::move(name);
        probe.program.tp = ranks;
        auto& section = probe.program.sections.emplace_back();
        section.name = "probe";
        for (int layer = 0; layer < static_cast<int>(layers); ++layer) {
            section.layers.push_back(layer);
            probe.program.order.push_back(0);
            probe.program.order_layer.push_back(layer);
        }
        section.steps.emplace_back();
    }
    Step& step() { return probe.program.sections.front().steps.back(); }

    /// Puts a product in front that writes the step's inputs. The sum that a fused norm adds to is
    /// not fed: in a model it was last touched half a layer ago.
    void feed() {
        auto targets = step().inputs;
        if (step().kind == OpKind::add_norm) targets.erase(targets.begin());
        Step product;
        product.kind = OpKind::linear;
        product.name = "feed";
        product.outputs = targets;
        for (const int target : targets) {
            product.n += probe.program.buffers[static_cast<std::size_t>(target)].width;
        }
        product.k = feed_columns(product.n, probe.workload.rows(Rows::tokens));
        product.inputs = {buffer("feed_in", product.k)};
        for (const int target : targets) {
            const auto fed = probe.program.buffers[static_cast<std::size_t>(target)];
            const int weight = tensor(fed.name + ".weight", {fed.width, product.k});
            if (fed.layout.kind == LayoutKind::split) {
                auto& cut = probe.program.tensors[static_cast<std::size_t>(weight)].split;
                cut = fed.layout.split;
                cut.dim = 0;
            }
            product.weights.push_back({weight});
        }
        auto& steps = probe.program.sections.front().steps;
        steps.insert(steps.begin(), std::move(product));
    }

    int buffer(const std::string& name, std::int64_t width, Layout layout = {}) {
        probe.program.buffers.push_back({name, Rows::tokens, width, layout});
        return static_cast<int>(probe.program.buffers.size()) - 1;
    }
    int tensor(const std::string& name, std::vector<std::int64_t> shape) {
        ShardedTensor tensor;
        tensor.name = "probe.*." + name;
        tensor.shape = std::move(shape);
        tensor.dtype = probe.dtype;
        tensor.style = "replicated";
        probe.program.tensors.push_back(tensor);
        return static_cast<int>(probe.program.tensors.size()) - 1;
    }
    /// `rows` new tokens, as one sequence over an empty cache.
    void prefill(std::int64_t batch, std::int64_t rows) {
        probe.workload.phase = Phase::prefill;
        probe.workload.batch = batch;
        probe.workload.input = rows;
    }
};

std::int64_t layers_for(double bytes_per_layer, const ProbeSetup& setup) {
    const auto layers =
        static_cast<std::int64_t>(std::ceil(setup.rotated_bytes / std::max(bytes_per_layer, 1.0)));
    return std::clamp(layers, kFewestLayers, kMostLayers);
}

/// Columns read and written by one row of a pass, and how it is wired.
struct Pass {
    OpKind op;
    int inputs, outputs;
};
constexpr std::array kPasses = {Pass{OpKind::norm, 1, 1},       Pass{OpKind::add, 2, 1},
                                Pass{OpKind::add_norm, 2, 2},   Pass{OpKind::rope, 2, 2},
                                Pass{OpKind::activation, 2, 1}, Pass{OpKind::embedding, 0, 1}};

const Pass& pass_of(OpKind op) {
    const auto* found = std::ranges::find(kPasses, op, &Pass::op);
    if (found == kPasses.end())
        throw Error("probe", fmt::format("no probe for op {}", name_of(op)));
    return *found;
}

void wire_pass(Builder& build, const Pass& pass) {
    auto& step = build.step();
    for (int i = 0; i < pass.inputs; ++i)
        step.inputs.push_back(build.buffer(fmt::format("in{}", i), kPassWidth));
    if (pass.op == OpKind::rope) {
        step.outputs = step.inputs;
        step.spec.rope = RopeSpec{.head_dim = kPassHeadDim, .rotary_dim = kPassHeadDim};
        return;
    }
    if (pass.op == OpKind::add_norm) step.outputs.push_back(step.inputs.front());
    while (static_cast<int>(step.outputs.size()) < pass.outputs) {
        step.outputs.push_back(build.buffer(fmt::format("out{}", step.outputs.size()), kPassWidth));
    }
    if (pass.op == OpKind::norm || pass.op == OpKind::add_norm) {
        step.spec.norm = NormSpec{};
        step.weights.push_back({build.tensor("weight", {kPassWidth})});
    }
    if (pass.op == OpKind::activation) step.spec.activation = ActivationKind::silu;
    if (pass.op == OpKind::embedding)
        step.weights.push_back({build.tensor("weight", {kProbeVocab, kPassWidth})});
}

}  // namespace

ProbeSetup probe_setup(std::string_view backend, Bytes cache) {
    if (backend == "cpu") return {};
    return {.rotated_bytes = kCachesRotated * cache.value,
            .element_bytes = 2,
            .fed = false,
            .dtype = DType::bf16};
}

Probe probe_of(const GemmPoint& point, const ProbeSetup& setup) {
    Builder build(
        fmt::format("gemm {} [{}, {}, {}] on {} ranks", name_of(point.dtype), point.m, point.n,
                    point.k, point.ranks),
        point.ranks,
        layers_for(static_cast<double>(point.n * point.k) * bytes_of(point.dtype), setup));
    build.probe.dtype = point.dtype;
    build.prefill(1, point.m);
    auto& step = build.step();
    step.kind = OpKind::linear;
    step.name = "gemm";
    step.inputs = {build.buffer("x", point.k)};
    step.outputs = {build.buffer("y", point.n)};
    step.weights = {{build.tensor("weight", {point.n, point.k})}};
    step.n = point.n;
    step.k = point.k;
    return std::move(build.probe);
}

Probe probe_of(const AttentionPoint& point, const ProbeSetup& setup) {
    const auto kv_bytes =
        static_cast<double>(2 * point.batch * point.kv_len * point.kv_heads * point.head_dim) *
        bytes_of(point.kv_dtype);
    Builder build(fmt::format("attention batch {} q {} kv {} heads {}/{} x {} on {} ranks",
                              point.batch, point.q_len, point.kv_len, point.heads, point.kv_heads,
                              point.head_dim, point.ranks),
                  point.ranks, layers_for(kv_bytes, setup));
    build.probe.dtype = setup.dtype;
    auto& workload = build.probe.workload;
    if (point.q_len == 1) {
        workload.phase = Phase::decode;
        workload.batch = point.batch;
        workload.context = point.kv_len;
    } else {
        build.prefill(point.batch, point.q_len);
    }
    workload.kv_dtype = point.kv_dtype;
    auto& step = build.step();
    step.kind = OpKind::attention;
    step.name = "attention";
    const auto kv_width = point.kv_heads * point.head_dim;
    step.inputs = {build.buffer("q", point.heads * point.head_dim), build.buffer("k", kv_width),
                   build.buffer("v", kv_width)};
    step.outputs = {build.buffer("out", point.heads * point.head_dim)};
    step.spec.attention =
        AttentionSpec{.heads = point.heads,
                      .kv_heads = point.kv_heads,
                      .head_dim = point.head_dim,
                      .v_head_dim = point.head_dim,
                      .scale = 1 / std::sqrt(static_cast<double>(point.head_dim))};
    step.n = point.heads * point.head_dim;
    if (setup.fed) build.feed();
    return std::move(build.probe);
}

Probe probe_of(const ElementwisePoint& point, const ProbeSetup& setup) {
    const auto& pass = pass_of(point.op);
    const bool lookup = point.op == OpKind::embedding;
    Builder build(fmt::format("{} {} on {} ranks", name_of(point.op),
                              format_bytes(Bytes(point.bytes)), point.ranks),
                  point.ranks, lookup ? 4 : 8);
    build.probe.dtype = setup.dtype;
    const double row_bytes =
        setup.element_bytes *
        static_cast<double>(kPassWidth * (pass.inputs + pass.outputs + (lookup ? 1 : 0)));
    build.prefill(1, std::max<std::int64_t>(1, std::llround(point.bytes / row_bytes)));
    auto& step = build.step();
    step.kind = point.op;
    step.name = std::string(name_of(point.op));
    wire_pass(build, pass);
    step.n = kPassWidth;
    if (!lookup && setup.fed) build.feed();
    return std::move(build.probe);
}

Probe probe_of(const CollectivePoint& point, const ProbeSetup& setup) {
    Builder build(fmt::format("{} {} over {} ranks", name_of(point.op),
                              format_bytes(Bytes(point.bytes)), point.ranks),
                  point.ranks, 8);
    build.probe.dtype = setup.dtype;
    const auto elements =
        std::max<std::int64_t>(point.ranks, std::llround(point.bytes / setup.element_bytes));
    const auto width = std::min<std::int64_t>(kPassWidth, elements);
    build.prefill(1, std::max<std::int64_t>(1, elements / width));
    const auto columns =
        Layout::columns({.kind = SplitKind::chunk, .dim = 1, .parts = point.ranks});
    auto& step = build.step();
    step.kind = point.op;
    step.name = std::string(name_of(point.op));
    step.stream = 1;
    step.n = width;
    // A point of NCCL must not be another kernel's where the backend has one for small messages.
    step.algorithm = point.implementation == CollectiveImpl::nccl ? "nccl" : "auto";
    switch (point.op) {
        case OpKind::all_reduce:
            step.inputs = {build.buffer("partial", width, Layout::partial())};
            step.outputs = {build.buffer("sum", width)};
            break;
        case OpKind::all_gather:
            step.inputs = {build.buffer("part", width, columns)};
            step.outputs = {build.buffer("whole", width)};
            break;
        case OpKind::reduce_scatter:
            step.inputs = {build.buffer("partial", width, Layout::partial())};
            step.outputs = {build.buffer("part", width, columns)};
            break;
        default:
            throw Error("probe", fmt::format("no probe for op {}", name_of(point.op)));
    }
    if (setup.fed) build.feed();
    return std::move(build.probe);
}

Bandwidth streaming_rate(const GemmPoint& one_row) {
    return Bytes(static_cast<double>(one_row.n * one_row.k) * bytes_of(one_row.dtype)) /
           one_row.time;
}

std::vector<TimedSample> sample(const Probe& probe, const std::string& backend, int reps,
                                const World* world) {
    RunOptions options;
    options.backend = backend;
    options.dtype = probe.dtype;
    options.world = world;
    Runner runner(probe.program, probe.workload, options);
    runner.run();
    std::vector<TimedSample> samples;
    const auto probed = static_cast<int>(probe.program.sections.front().steps.size()) - 1;
    for (int rep = 0; rep < reps; ++rep) {
        const auto result = runner.run();
        if (result.replayed && probed == 0) {
            const auto layers = static_cast<double>(runner.steps().size());
            samples.push_back({Seconds(result.seconds / layers), result.clean});
            continue;
        }
        std::vector<TimedSample> layers;
        for (std::size_t s = 0; s < result.ranks.front().size(); ++s) {
            if (runner.steps()[s].step != probed) continue;
            TimedSample slowest;
            for (const auto& rank : result.ranks) {
                slowest.time = std::max(slowest.time, Seconds(rank[s].seconds - rank[s].wait_s));
                slowest.clean = slowest.clean && rank[s].clean;
            }
            layers.push_back(slowest);
        }
        samples.push_back({clean_mean(layers), clean_fraction(layers) >= 0.5});
    }
    return samples;
}

}  // namespace tplan
