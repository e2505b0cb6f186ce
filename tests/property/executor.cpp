// Sharded execution of random graphs of linears, relu and residuals equals the unsharded one
// exactly: weights are small whole numbers, so that every sum is exact in any order.
#include "executor/execute.h"

#include <algorithm>
#include <random>

#include "core/error.h"
#include "executor/reference.h"
#include "models/sampling.h"
#include "tests/support/catch.h"

using namespace tplan;

namespace {

/// A graph of three blocks (embedding, layers of one kind, head) and its program for one degree,
/// written side by side.
struct Draft {
    explicit Draft(unsigned seed, int tp_) : random(seed), tp(tp_) { program.tp = tp; }

    std::int64_t pick(std::int64_t low, std::int64_t high) {
        return std::uniform_int_distribution<std::int64_t>(low, high)(random);
    }

    Block& block() { return model.blocks.back(); }
    Section& section() { return program.sections.back(); }

    void open(const std::string& prefix, std::vector<int> layers) {
        model.blocks.push_back({.prefix = prefix});
        program.sections.emplace_back();
        section().name = prefix;
        section().layers = std::move(layers);
        for (const int layer : section().layers) {
            const int index = static_cast<int>(model.blocks.size()) - 1;
            model.sequence.push_back({index, layer});
            program.order.push_back(index);
            program.order_layer.push_back(layer);
        }
    }

    /// A value of the graph and the buffer that holds it.
    struct Value {
        int activation = -1, buffer = -1;
    };
    Value value(const std::string& name, Rows rows, std::int64_t width, const Layout& layout) {
        block().activations.push_back({.name = name, .rows = rows, .width = width});
        program.buffers.push_back({.name = name, .rows = rows, .width = width, .layout = layout});
        return {static_cast<int>(block().activations.size()) - 1,
                static_cast<int>(program.buffers.size()) - 1};
    }

    /// A parameter of block and program.
    int tensor(const std::string& name, std::vector<std::int64_t> shape, const Split& split) {
        block().tensors.push_back({.name = name, .shape = shape});
        ShardedTensor sharded;
        sharded.name = full_name(block(), block().tensors.back(), -1);
        sharded.shape = std::move(shape);
        sharded.split = split;
        program.tensors.push_back(std::move(sharded));
        return static_cast<int>(program.tensors.size()) - 1;
    }
    int last_tensor() { return static_cast<int>(block().tensors.size()) - 1; }

    Op& op(OpKind kind, const std::string& name, std::vector<Value> in, Value out) {
        Op added{.kind = kind, .name = name};
        for (const auto& v : in) added.inputs.push_back(v.activation);
        added.outputs = {out.activation};
        block().ops.push_back(std::move(added));
        return block().ops.back();
    }
    Step& step(OpKind kind, const std::string& name, std::vector<int> in, std::vector<int> out) {
        section().steps.push_back(
            {.kind = kind, .name = name, .inputs = std::move(in), .outputs = std::move(out)});
        return section().steps.back();
    }

    /// A linear, with a bias or without, stored either way round.
    void linear(const std::string& name, Value in, Value out, std::int64_t n, std::int64_t k,
                bool by_rows, bool whole, Step*& made) {
        const bool transposed = pick(0, 1) == 1;
        const Split cut = whole ? Split{}
                                : Split{.kind = SplitKind::chunk,
                                        .dim = by_rows != transposed ? 1 : 0,
                                        .parts = tp};
        auto& graph = op(OpKind::linear, name, {in}, out);
        const auto shape = transposed ? std::vector{k, n} : std::vector{n, k};
        const int weight = tensor(name + ".weight", shape, cut);
        graph.weights = {last_tensor()};
        graph.spec.transposed = transposed;
        made = &step(OpKind::linear, name, {in.buffer}, {out.buffer});
        made->weights = {{.tensor = weight}};
        made->spec = graph.spec;
        if (pick(0, 1) == 1) {
            bias = tensor(name + ".bias", {n}, {});
            graph.weights.push_back(last_tensor());
        } else {
            bias = -1;
        }
    }

    std::mt19937 random;
    int tp;
    Model model;
    Program program;
    int bias = -1;  // tensor of the last linear's bias
};

Split columns(int parts) {
    return {.kind = SplitKind::chunk, .dim = 1, .parts = parts};
}

/// Columns of `v` moved from one cut to another and back: all_to_all twice, for its own sake.
int there_and_back(Draft& d, const Draft::Value& v, std::int64_t width) {
    if (width % (2 * d.tp) != 0) return v.buffer;
    const Split packed{.kind = SplitKind::packed, .dim = 1, .parts = d.tp};
    auto& buffers = d.program.buffers;
    const int there = static_cast<int>(buffers.size());
    buffers.push_back({.name = "there", .width = width, .layout = Layout::columns(packed)});
    buffers.push_back({.name = "back", .width = width, .layout = Layout::columns(columns(d.tp))});
    d.step(OpKind::all_to_all, "there", {v.buffer}, {there});
    d.step(OpKind::all_to_all, "back", {there}, {there + 1});
    return there + 1;
}

/// x + down(relu(up(x))): up cut by its outputs, down by its inputs; the sum by all-reduce or by
/// reduce-scatter and all-gather.
Draft::Value mlp(Draft& d, const Draft::Value& x, std::int64_t hidden) {
    const auto ffn = d.pick(1, 16);
    const auto cut = Layout::columns(columns(d.tp));
    const auto up = d.value("up", Rows::tokens, ffn, cut);
    const auto act = d.value("act", Rows::tokens, ffn, cut);
    const auto down = d.value("down", Rows::tokens, hidden, Layout::replicated());
    const auto sum = d.value("sum", Rows::tokens, hidden, Layout::replicated());

    Step* made = nullptr;
    d.linear("up", x, up, ffn, hidden, false, false, made);
    if (d.bias >= 0) made->biases = {{.tensor = d.bias}};
    d.op(OpKind::activation, "act", {up}, act).spec.activation = ActivationKind::relu;
    d.step(OpKind::activation, "act", {up.buffer}, {act.buffer}).spec.activation =
        ActivationKind::relu;
    const int moved = there_and_back(d, act, ffn);
    d.linear("down", {act.activation, moved}, down, hidden, ffn, true, false, made);
    auto& buffers = d.program.buffers;
    if (d.pick(0, 1) == 1) {
        auto& reduce = d.step(OpKind::all_reduce, "down.all_reduce", {down.buffer}, {down.buffer});
        if (d.bias >= 0) reduce.biases = {{.tensor = d.bias}};
    } else {
        buffers.push_back({.name = "part", .width = hidden, .layout = cut});
        const int part = static_cast<int>(buffers.size()) - 1;
        auto& reduce = d.step(OpKind::reduce_scatter, "down.scatter", {down.buffer}, {part});
        if (d.bias >= 0) reduce.biases = {{.tensor = d.bias}};
        d.step(OpKind::all_gather, "down.gather", {part}, {down.buffer});
    }
    d.op(OpKind::add, "residual", {x, down}, sum);
    d.step(OpKind::add, "residual", {x.buffer, down.buffer}, {sum.buffer});
    return sum;
}

Draft make_draft(unsigned seed, int tp) {
    Draft d(seed, tp);
    const auto hidden = d.pick(1, 12);
    const auto vocab = d.pick(1, 23);

    d.open("model", {-1});
    const auto embedded = d.value("embedded", Rows::tokens, hidden, Layout::replicated());
    auto& embedding = d.op(OpKind::embedding, "embed", {}, embedded);
    const int table = d.tensor("embed.weight", {vocab, hidden},
                               {.kind = SplitKind::chunk, .dim = 0, .parts = tp});
    embedding.weights = {0};
    d.step(OpKind::embedding, "embed", {}, {embedded.buffer}).weights = {{.tensor = table}};
    d.step(OpKind::all_reduce, "embed.all_reduce", {embedded.buffer}, {embedded.buffer});
    d.block().output = embedded.activation;

    d.open("model.layers.*", {0, 1});
    d.block().activations.push_back({.name = "hidden", .width = hidden});
    d.block().input = 0;
    const auto sum = mlp(d, {0, embedded.buffer}, hidden);
    d.step(OpKind::scale, "stream", {sum.buffer}, {embedded.buffer});
    d.block().output = sum.activation;

    d.open("", {-1});
    d.block().activations.push_back({.name = "hidden", .width = hidden});
    d.block().input = 0;
    const auto last = d.value("last", Rows::sequences, hidden, Layout::replicated());
    const auto logits = d.value("logits", Rows::sequences, vocab, Layout::columns(columns(tp)));
    d.op(OpKind::select_last, "select_last", {{0, embedded.buffer}}, last);
    d.step(OpKind::select_last, "select_last", {embedded.buffer}, {last.buffer});
    Step* made = nullptr;
    d.linear("lm_head", last, logits, vocab, hidden, false, false, made);
    if (d.bias >= 0) made->biases = {{.tensor = d.bias}};
    d.block().output = logits.activation;
    return d;
}

/// The head's logits, cut by columns, become the token of each sequence: a candidate of every rank,
/// all of them everywhere, the best.
void choose_greedily(Draft& d) {
    const int logits = d.section().steps.back().outputs[0];
    const auto pairs = [&](const std::string& name, std::int64_t count, const Layout& layout) {
        d.program.buffers.push_back(
            {.name = name, .rows = Rows::sequences, .width = 2 * count, .layout = layout});
        return static_cast<int>(d.program.buffers.size()) - 1;
    };
    const int own = pairs("own", d.tp, Layout::columns(columns(d.tp)));
    const int all = pairs("all", d.tp, Layout::replicated());
    const int token = pairs("token", 1, Layout::replicated());
    d.step(OpKind::largest, "own", {logits}, {own}).spec.largest = LargestSpec{};
    d.step(OpKind::all_gather, "gather", {own}, {all}).rows = Rows::sequences;
    d.step(OpKind::largest, "token", {all}, {token}).spec.largest = LargestSpec{.of_pairs = true};
}

}  // namespace

TEST_CASE("random graphs of whole numbers are exact at every degree") {
    const auto weights = whole_number_weights(11, 1);
    for (unsigned seed = 0; seed < 40; ++seed) {
        const Workload workload = {.phase = seed % 3 == 0 ? Phase::decode : Phase::prefill,
                                   .batch = 1 + seed % 4,
                                   .input = 1 + seed % 5,
                                   .context = 3};
        for (const int tp : {1, 2, 3, 4, 5}) {
            INFO("seed " << seed << " tp " << tp);
            const auto draft = make_draft(seed, tp);
            RunOptions options;
            options.weights = weights;
            options.seed = seed;
            Runner runner(draft.program, workload, options);
            runner.run();
            const auto expected = run_reference(draft.model, workload, weights, {}, seed);
            const auto got = runner.outputs();
            CHECK(got.values == expected.values);
            CHECK(got.greedy == expected.greedy);
            CHECK(runner.check().ranks_agree);
        }
    }
}

TEST_CASE("the token chosen from candidates is that of the whole logits, equals included") {
    const auto weights = whole_number_weights(11, 1);
    int ties = 0;
    for (unsigned seed = 0; seed < 40; ++seed) {
        const Workload workload = {.phase = seed % 3 == 0 ? Phase::decode : Phase::prefill,
                                   .batch = 1 + seed % 4,
                                   .input = 1 + seed % 5,
                                   .context = 3};
        for (const int tp : {1, 2, 3, 5}) {
            INFO("seed " << seed << " tp " << tp);
            auto draft = make_draft(seed, tp);
            RunOptions options;
            options.weights = weights;
            options.seed = seed;
            const auto whole = run_reference(draft.model, workload, weights, {}, seed);
            for (std::int64_t row = 0; row < whole.rows; ++row) {
                const auto* begin = whole.values.data() + row * whole.width;
                const float best = begin[whole.greedy[static_cast<std::size_t>(row)]];
                if (std::count(begin, begin + whole.width, best) > 1) ++ties;
            }
            std::optional<Model> kept;
            const auto chosen = run_reference(with_sampling(draft.model, Sampling::greedy, 1, kept),
                                              workload, weights, {}, seed);
            choose_greedily(draft);
            Runner runner(draft.program, workload, options);
            runner.run();
            const auto got = runner.outputs();
            CHECK(got.chosen);
            CHECK(got.width == 1);
            CHECK(got.greedy == whole.greedy);
            CHECK(got.values == chosen.values);
            CHECK(chosen.greedy == whole.greedy);
            const auto checks = runner.check();
            CHECK(checks.ranks_agree);
            CHECK(checks.finite);
        }
    }
    CHECK(ties > 50);  // or equals were not tried
}
