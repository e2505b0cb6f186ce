#pragma once
#include <string>
#include <utility>
#include <vector>

#include "models/program.h"

/// Programs written out by hand for the cost model's tests: the served form of a decoder, small
/// enough to check every number with a pencil.

namespace tplan::test {

struct DecoderSizes {
    std::int64_t hidden = 8192, heads = 64, kv_heads = 8, head_dim = 128, ffn = 28672,
                 vocab = 128256;
    int layers = 80;
    std::int64_t window = 0;
    DType dtype = DType::bf16;
    DType weight_dtype = DType::bf16;
};

class ProgramBuilder {
  public:
    ProgramBuilder(int tp, DType dtype, DType weight_dtype)
        : dtype_(dtype), weight_dtype_(weight_dtype) {
        program.tp = tp;
    }

    /// A buffer of local size `width / tp` when `split`.
    int buffer(std::string name, std::int64_t width, bool split = false, Rows rows = Rows::tokens) {
        Buffer b{.name = std::move(name), .rows = rows, .width = width, .layout = {}};
        if (split && program.tp > 1) {
            b.layout = Layout::columns({.kind = SplitKind::chunk, .parts = program.tp});
        }
        program.buffers.push_back(b);
        return static_cast<int>(program.buffers.size()) - 1;
    }

    /// A weight cut along `dim` into tp parts; dim -1 = whole on every rank.
    int tensor(std::string name, std::vector<std::int64_t> shape, int dim) {
        ShardedTensor t;
        t.name = std::move(name);
        t.shape = std::move(shape);
        t.dtype = weight_dtype_;
        if (t.shape.size() < 2) t.dtype = dtype_;
        if (dim >= 0 && program.tp > 1) {
            t.split = {.kind = SplitKind::chunk, .dim = dim, .parts = program.tp};
        }
        program.tensors.push_back(t);
        return static_cast<int>(program.tensors.size()) - 1;
    }

    static Section section(std::string name, std::vector<int> layers) {
        Section s;
        s.name = std::move(name);
        s.layers = std::move(layers);
        return s;
    }

    Step step(OpKind kind, std::string name, std::vector<int> inputs, std::vector<int> outputs) {
        Step s;
        s.kind = kind;
        s.name = std::move(name);
        s.inputs = std::move(inputs);
        s.outputs = std::move(outputs);
        s.dtype = dtype_;
        s.weight_dtype = weight_dtype_;
        s.rows = program.buffers[static_cast<std::size_t>(s.outputs.front())].rows;
        for (const int b : s.outputs) {
            const auto& out = program.buffers[static_cast<std::size_t>(b)];
            s.n += out.layout.kind == LayoutKind::split
                       ? largest_extent(out.layout.split, out.width)
                       : out.width;
        }
        return s;
    }

    Step linear(std::string name, int in, std::vector<int> outputs, std::vector<int> weights) {
        Step s = step(OpKind::linear, std::move(name), {in}, std::move(outputs));
        const auto& b = program.buffers[static_cast<std::size_t>(in)];
        s.k =
            b.layout.kind == LayoutKind::split ? largest_extent(b.layout.split, b.width) : b.width;
        for (const int w : weights) s.weights.push_back({.tensor = w});
        s.weight_bytes =
            static_cast<double>(s.n) * static_cast<double>(s.k) * bytes_of(weight_dtype_);
        return s;
    }

    Program program;

  private:
    DType dtype_, weight_dtype_;
};

/// Embedding, `layers` decoder layers with fused qkv and gate-up, two all-reduces each, and a
/// gathered vocabulary-parallel head. tp must divide heads, kv_heads, ffn and vocab.
inline Program decoder(const DecoderSizes& d, int tp) {
    ProgramBuilder b(tp, d.dtype, d.weight_dtype);
    const auto q = d.heads * d.head_dim, kv = d.kv_heads * d.head_dim;
    const int residual = b.buffer("residual", d.hidden), normed = b.buffer("normed", d.hidden);
    const int qb = b.buffer("q", q, true), kb = b.buffer("k", kv, true),
              vb = b.buffer("v", kv, true);
    const int attended = b.buffer("attended", q, true), out = b.buffer("out", d.hidden);
    const int gate = b.buffer("gate", d.ffn, true), up = b.buffer("up", d.ffn, true),
              act = b.buffer("act", d.ffn, true);
    const int last = b.buffer("last", d.hidden, false, Rows::sequences);
    const int logits = b.buffer("logits", d.vocab, true, Rows::sequences);
    const int gathered = b.buffer("gathered", d.vocab, false, Rows::sequences);

    const int table = b.tensor("model.embed_tokens.weight", {d.vocab, d.hidden}, 0);
    const auto layer_tensor = [&](const char* name, std::vector<std::int64_t> shape, int dim) {
        return b.tensor(std::string("model.layers.*.") + name, std::move(shape), dim);
    };
    const int wq = layer_tensor("self_attn.q_proj.weight", {q, d.hidden}, 0);
    const int wk = layer_tensor("self_attn.k_proj.weight", {kv, d.hidden}, 0);
    const int wv = layer_tensor("self_attn.v_proj.weight", {kv, d.hidden}, 0);
    const int wo = layer_tensor("self_attn.o_proj.weight", {d.hidden, q}, 1);
    const int wg = layer_tensor("mlp.gate_proj.weight", {d.ffn, d.hidden}, 0);
    const int wu = layer_tensor("mlp.up_proj.weight", {d.ffn, d.hidden}, 0);
    const int wd = layer_tensor("mlp.down_proj.weight", {d.hidden, d.ffn}, 1);
    const int n1 = layer_tensor("input_layernorm.weight", {d.hidden}, -1);
    const int n2 = layer_tensor("post_attention_layernorm.weight", {d.hidden}, -1);
    const int nf = b.tensor("model.norm.weight", {d.hidden}, -1);
    const int head = b.tensor("lm_head.weight", {d.vocab, d.hidden}, 0);

    const auto all_reduce = [&](const char* name, int buffer) {
        auto s = b.step(OpKind::all_reduce, name, {buffer}, {buffer});
        s.algorithm = "auto";
        return s;
    };
    const auto norm = [&](OpKind kind, const char* name, std::vector<int> in, std::vector<int> to,
                          WeightRef weight) {
        auto s = b.step(kind, name, std::move(in), std::move(to));
        s.weights = {weight};
        s.weight_bytes = static_cast<double>(d.hidden) * bytes_of(d.dtype);
        return s;
    };

    auto embedding = ProgramBuilder::section("embedding", {-1});
    auto lookup = b.step(OpKind::embedding, "embed_tokens", {}, {residual});
    lookup.weights = {{.tensor = table}};
    lookup.weight_bytes = static_cast<double>(d.vocab / tp * d.hidden) * bytes_of(d.weight_dtype);
    embedding.steps.push_back(lookup);
    if (tp > 1) embedding.steps.push_back(all_reduce("embed_tokens.all_reduce", residual));
    embedding.steps.push_back(norm(OpKind::norm, "input_layernorm", {residual}, {normed},
                                   {.tensor = n1, .next_layer = true}));

    auto layer = ProgramBuilder::section("layer", {});
    for (int i = 0; i < d.layers; ++i) layer.layers.push_back(i);
    layer.kv_width = 2 * kv / tp;
    layer.kv_window = d.window;
    layer.steps.push_back(b.linear("self_attn.qkv_proj", normed, {qb, kb, vb}, {wq, wk, wv}));
    layer.steps.push_back(b.step(OpKind::rope, "self_attn.rope", {qb, kb}, {qb, kb}));
    auto attention = b.step(OpKind::attention, "self_attn", {qb, kb, vb}, {attended});
    attention.spec.attention = AttentionSpec{.heads = d.heads / tp,
                                             .kv_heads = d.kv_heads / tp,
                                             .head_dim = d.head_dim,
                                             .v_head_dim = d.head_dim,
                                             .window = d.window};
    layer.steps.push_back(attention);
    layer.steps.push_back(b.linear("self_attn.o_proj", attended, {out}, {wo}));
    if (tp > 1) layer.steps.push_back(all_reduce("self_attn.o_proj.all_reduce", out));
    layer.steps.push_back(norm(OpKind::add_norm, "post_attention_layernorm", {residual, out},
                               {residual, normed}, {.tensor = n2}));
    layer.steps.push_back(b.linear("mlp.gate_up_proj", normed, {gate, up}, {wg, wu}));
    layer.steps.push_back(b.step(OpKind::activation, "mlp.act", {gate, up}, {act}));
    layer.steps.push_back(b.linear("mlp.down_proj", act, {out}, {wd}));
    if (tp > 1) layer.steps.push_back(all_reduce("mlp.down_proj.all_reduce", out));
    layer.steps.push_back(norm(OpKind::add_norm, "input_layernorm", {residual, out},
                               {residual, normed}, {.tensor = n1, .next_layer = true, .last = nf}));

    auto top = ProgramBuilder::section("head", {-1});
    top.steps.push_back(b.step(OpKind::select_last, "select_last", {normed}, {last}));
    top.steps.push_back(b.linear("lm_head", last, {logits}, {head}));
    if (tp > 1) {
        auto gather = b.step(OpKind::all_gather, "lm_head.all_gather", {logits}, {gathered});
        gather.algorithm = "auto";
        top.steps.push_back(gather);
    }

    b.program.sections = {embedding, layer, top};
    b.program.order.push_back(0);
    b.program.order_layer.push_back(-1);
    for (int i = 0; i < d.layers; ++i) {
        b.program.order.push_back(1);
        b.program.order_layer.push_back(i);
    }
    b.program.order.push_back(2);
    b.program.order_layer.push_back(-1);
    return b.program;
}

/// One step alone, run once.
inline Program single(const Step& step, std::vector<Buffer> buffers = {}, int tp = 1) {
    Program program;
    program.tp = tp;
    program.buffers = std::move(buffers);
    program.sections.push_back({.name = "op", .layers = {-1}, .steps = {step}, .kv_width = 0});
    program.order = {0};
    program.order_layer = {-1};
    return program;
}

inline Step product(std::int64_t n, std::int64_t k, DType dtype) {
    Step s;
    s.kind = OpKind::linear;
    s.name = "product";
    s.n = n;
    s.k = k;
    s.dtype = s.weight_dtype = dtype;
    s.weight_bytes = static_cast<double>(n) * static_cast<double>(k) * bytes_of(dtype);
    return s;
}

/// An all-reduce (or other collective) of [rows, width].
inline Step collective(OpKind kind, std::int64_t width, DType dtype) {
    Step s;
    s.kind = kind;
    s.name = "collective";
    s.n = width;
    s.dtype = dtype;
    s.algorithm = "auto";
    return s;
}

}  // namespace tplan::test
