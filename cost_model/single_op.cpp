#include "cost_model/single_op.h"

#include <fmt/format.h>

namespace tplan {

namespace {

constexpr std::size_t kMostKept = 4096;  // compiled ops

double number(std::int64_t count) {
    return static_cast<double>(count);
}

/// A step, and the counts it is priced for.
struct Lone {
    Step step;
    WorkSize work;
    int ranks = 1;
    CostOptions options;
};

Lone rows_of(OpKind kind, double rows) {
    Lone lone;
    lone.step.kind = kind;
    lone.step.name = name_of(kind);
    lone.work.decode = false;
    lone.work.batch = lone.work.tokens = rows;
    return lone;
}

Lone lone_op(const ProductSize& size) {
    auto lone = rows_of(OpKind::linear, number(size.m));
    lone.work.residency = lone.options.residency = size.residency;
    lone.step.n = size.n;
    lone.step.k = size.k;
    lone.step.weight_bytes = number(size.n) * number(size.k) * bytes_of(size.dtype);
    lone.step.weight_dtype = lone.step.dtype = size.dtype;
    return lone;
}

Lone lone_op(const CollectiveSize& size) {
    // A step's payload is the whole tensor, of which an all-to-all's rank holds its share.
    const double whole = size.op == OpKind::all_to_all ? size.bytes * size.ranks : size.bytes;
    // One column, so that any number of bytes is a number of rows.
    auto lone = rows_of(size.op, whole / bytes_of(Step{}.dtype));
    lone.step.n = 1;
    lone.step.algorithm = "auto";
    lone.ranks = size.ranks;
    lone.options.collectives.value = size.implementation;
    lone.options.mode = size.mode;
    lone.options.one_byte_payload = size.one_byte;
    return lone;
}

Lone lone_op(const AttentionSize& size) {
    Lone lone;
    lone.work = {.decode = size.decode,
                 .batch = number(size.batch),
                 .query = number(size.q_len),
                 .cached = number(size.kv_len),
                 .tokens = number(size.batch) * number(size.q_len),
                 .kv_bytes = bytes_of(size.kv_dtype),
                 .residency = size.residency};
    lone.options.residency = size.residency;
    lone.step.kind = OpKind::attention;
    lone.step.name = "attention";
    lone.step.n = size.heads * size.head_dim;
    lone.step.dtype = lone.step.weight_dtype = stored_dtype(size.kv_dtype);
    lone.step.spec.attention = AttentionSpec{.heads = size.heads,
                                             .kv_heads = size.kv_heads,
                                             .head_dim = size.head_dim,
                                             .v_head_dim = size.head_dim};
    return lone;
}

Lone lone_op(const ExpertsSize& size) {
    auto lone = rows_of(OpKind::moe_experts, number(size.tokens));
    // A measured row: tokens spread evenly, and one op repeated, so that what fits the last-level
    // cache stays there.
    lone.work.balanced = true;
    lone.work.residency = Residency::warm;
    const auto ffn = (size.inter + size.tp - 1) / size.tp;
    lone.step.n = size.hidden;
    lone.step.weight_bytes =
        3 * number(size.experts) * number(size.hidden) * number(ffn) * bytes_of(size.dtype);
    lone.step.weight_dtype = lone.step.dtype = size.dtype;
    lone.step.spec.moe =
        MoeSpec{.experts = size.experts, .top_k = size.top_k, .hidden = size.hidden, .ffn = ffn};
    return lone;
}

Lone lone_op(const PassSize& size) {
    auto lone = rows_of(size.op, number(size.rows));
    lone.step.n = size.out;
    lone.step.k = size.in;  // without buffers, the columns read
    lone.step.weight_bytes = number(size.weights) * bytes_of(size.dtype);
    lone.step.weight_dtype = lone.step.dtype = size.dtype;
    return lone;
}

/// What distinguishes compiled ops; the counts of `work` do not.
std::string key_of(const Lone& lone) {
    const auto& step = lone.step;
    const auto& options = lone.options;
    auto key = fmt::format("{} {} {} {} {} {} {} {} {} {}", int(step.kind), step.n, step.k,
                           step.weight_bytes, int(step.weight_dtype), int(step.dtype), lone.ranks,
                           int(options.collectives.value.value_or(CollectiveImpl::nccl)),
                           options.mode.value ? int(*options.mode.value) : -1,
                           int(options.one_byte_payload));
    key += fmt::format(" {}", int(options.residency));
    if (const auto& a = step.spec.attention)
        key += fmt::format(" {} {} {}", a->heads, a->kv_heads, a->head_dim);
    if (const auto& m = step.spec.moe)
        key += fmt::format(" {} {} {} {}", m->experts, m->top_k, m->hidden, m->ffn);
    return key;
}

Program program_of(const Lone& lone) {
    Program program;
    program.tp = lone.ranks;
    auto& section = program.sections.emplace_back();
    section.name = "op";
    section.layers = {-1};
    section.steps.push_back(lone.step);
    program.order = {0};
    program.order_layer = {-1};
    return program;
}

}  // namespace

StepCost price_single(const HardwareProfile& hardware, const OpSize& size) {
    return SingleOpPricer(hardware).price(size);
}

StepCost SingleOpPricer::price(const OpSize& size) {
    auto lone = std::visit([](const auto& s) { return lone_op(s); }, size);
    lone.options.nodes = (lone.ranks + hardware_.devices - 1) / hardware_.devices;
    const auto key = key_of(lone);
    auto found = compiled_.find(key);
    if (found == compiled_.end()) {
        if (compiled_.size() >= kMostKept) compiled_.clear();
        found = compiled_.emplace(key, compile(program_of(lone), hardware_, lone.options)).first;
    }
    return price_counts(found->second, 0, 0, lone.work);
}

}  // namespace tplan
