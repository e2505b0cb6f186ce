#include "cost_model/memory.h"

#include "tests/support/catch.h"
#include "tests/unit/cost_model/hand_program.h"

using namespace tplan;

namespace {

/// Three layers of 152 elements, 64 each for the table and the head, 4 for the final norm.
constexpr test::DecoderSizes kSmall{
    .hidden = 4, .heads = 2, .kv_heads = 1, .head_dim = 2, .ffn = 8, .vocab = 16, .layers = 3};

MemoryTerms with_capacity(MemoryTerms terms, double capacity) {
    terms.capacity = capacity;
    return terms;
}

bool fits(const MemoryTerms& terms, const Workload& w) {
    return total_bytes(terms, static_cast<double>(w.batch), static_cast<double>(w.query_tokens()),
                       static_cast<double>(w.cached_tokens()),
                       bytes_of(w.kv_dtype)) <= terms.capacity;
}

}  // namespace

TEST_CASE("weights: every layer's instance once") {
    // q 16, k 8, v 8, o 16, gate 32, up 32, down 32, two norms of 4.
    const double layer = 16 + 8 + 8 + 16 + 32 + 32 + 32 + 4 + 4;
    CHECK(weight_bytes_per_rank(test::decoder(kSmall, 1)) == (3 * layer + 64 + 64 + 4) * 2);
}

TEST_CASE("weights: a tied head counts with its table only") {
    auto program = test::decoder(kSmall, 1);
    const double before = weight_bytes_per_rank(program);
    program.tensors.back().tied = true;
    program.tensors.back().tied_to = "model.embed_tokens.weight";
    CHECK(weight_bytes_per_rank(program) == before - 64 * 2);
}

TEST_CASE("weights: scales no step reads follow the weight of their module") {
    auto program = test::decoder(kSmall, 1);
    const double before = weight_bytes_per_rank(program);
    ShardedTensor scales;
    scales.name = "model.layers.*.mlp.down_proj.weight_scale_inv";
    scales.shape = {1, 5};
    scales.dtype = DType::fp32;
    program.tensors.push_back(scales);
    CHECK(weight_bytes_per_rank(program) == before + 3 * 5 * 4);
}

TEST_CASE("weights: the fullest rank counts when a cut is uneven") {
    test::ProgramBuilder b(3, DType::bf16, DType::bf16);
    b.tensor("w", {10, 2}, 0);
    CHECK(weight_bytes_per_rank(b.program) == 4 * 2 * 2);  // 4, 4 and 2 rows
}

TEST_CASE("70 billion parameters") {
    CHECK(weight_bytes_per_rank(test::decoder({}, 1)) == 70553706496.0 * 2);
}

TEST_CASE("the cache grows with batch and context, in a window only up to it") {
    const auto all = memory_terms(test::decoder(kSmall, 1));
    // 3 layers x (K 2 + V 2) columns
    CHECK(kv_cache_bytes(all, 5, 100, 2) == 5 * 100 * 12 * 2);
    auto sizes = kSmall;
    sizes.window = 8;
    const auto sliding = memory_terms(test::decoder(sizes, 1));
    CHECK(kv_cache_bytes(sliding, 5, 100, 2) == 5 * 8 * 12 * 2);
    CHECK(kv_cache_bytes(sliding, 5, 3, 2) == 5 * 3 * 12 * 2);
}

TEST_CASE("activations: the widest moment of a layer") {
    const auto terms = memory_terms(test::decoder(kSmall, 1));
    // While the activation runs: residual 4, gate 8, up 8 and its output 8.
    CHECK(activation_bytes(terms, 1, 1) == 28 * 2);
    CHECK(activation_bytes(terms, 3, 10) == 3 * 10 * 28 * 2);
}

TEST_CASE("activations: experts hold their routed tokens inside") {
    test::ProgramBuilder b(1, DType::bf16, DType::bf16);
    const int x = b.buffer("x", 4), router = b.buffer("router", 8), y = b.buffer("y", 4);
    auto experts = b.step(OpKind::moe_experts, "experts", {x, router}, {y});
    experts.spec.moe = MoeSpec{.experts = 8, .top_k = 2, .hidden = 4, .ffn = 3, .gated = true};
    b.program.sections.push_back(test::ProgramBuilder::section("op", {-1}));
    b.program.sections[0].steps.push_back(experts);
    // x, router, y; twice per token: gathered 4, gate and up 6, their product 3, output 4.
    CHECK(activation_bytes(memory_terms(b.program), 1, 1) == (4 + 8 + 4 + 2 * 17) * 2);
}

TEST_CASE("logits: the model's dtype and a copy in fp32") {
    const auto terms = memory_terms(test::decoder(kSmall, 1));
    CHECK(logits_bytes(terms, 3, 100) == 3 * 16 * (2 + 4));
}

TEST_CASE("logits: a choice of tokens takes no copy, its candidates are fp32") {
    test::ProgramBuilder b(2, DType::bf16, DType::bf16);
    const int x = b.buffer("x", 4), h = b.buffer("h", 4);
    const int logits = b.buffer("logits", 16, true, Rows::sequences);
    const int own = b.buffer("own", 4, true, Rows::sequences);
    const int all = b.buffer("all", 4, false, Rows::sequences);
    const int token = b.buffer("token", 2, false, Rows::sequences);
    auto first = test::ProgramBuilder::section("embedding", {-1});
    first.steps = {b.step(OpKind::embedding, "e", {}, {x})};
    auto head = test::ProgramBuilder::section("head", {-1});
    auto gather = b.step(OpKind::all_gather, "gather", {own}, {all});
    gather.dtype = DType::fp32;
    head.steps = {b.step(OpKind::select_last, "last", {x}, {h}), b.linear("head", h, {logits}, {}),
                  b.step(OpKind::largest, "own", {logits}, {own}), gather,
                  b.step(OpKind::largest, "token", {all}, {token})};
    b.program.sections = {first, head};
    b.program.order = {0, 1};
    b.program.order_layer = {-1, -1};
    // Half of the logits in bf16; a pair of the rank, two of both, one in the end, in fp32.
    CHECK(logits_bytes(memory_terms(b.program), 3, 100) == 3 * (8 * 2 + (2 + 4 + 2) * 4));
}

TEST_CASE("the largest batch fits and one more does not") {
    const auto terms = memory_terms(test::decoder(kSmall, 1));
    for (const double extra : {0.0, 1.0, 1000.0, 12345.0, 1e6 + 1, 3.3e9}) {
        const auto limited = with_capacity(terms, terms.weights + extra);
        for (const auto phase : {Phase::decode, Phase::prefill}) {
            Workload w{.phase = phase, .batch = 1, .input = 7, .context = 13};
            w.batch = largest_batch(limited, w);
            if (w.batch > 0) CHECK(fits(limited, w));
            w.batch += 1;
            CHECK_FALSE(fits(limited, w));
        }
    }
    CHECK(largest_batch(with_capacity(terms, 10), {}) == 0);
}

TEST_CASE("the largest context fits and one more does not") {
    auto terms = memory_terms(test::decoder(kSmall, 1));
    terms.kv = {{5, 16}, {7, 300}, {3, 0}};
    for (const double extra : {900.0, 1000.0, 5000.0, 20000.0, 1e6 + 1, 3.3e9}) {
        const auto limited = with_capacity(terms, terms.weights + extra);
        for (const auto phase : {Phase::decode, Phase::prefill}) {
            for (const std::int64_t batch : {1, 3}) {
                Workload w{.phase = phase, .batch = batch};
                const auto most = largest_context(limited, w);
                w.input = w.context = most;
                if (most > 0) CHECK(fits(limited, w));
                w.input = w.context = most + 1;
                CHECK_FALSE(fits(limited, w));
            }
        }
    }
}

TEST_CASE("the largest context is no longer than the model's own positions") {
    auto program = test::decoder(kSmall, 1);
    const auto free = with_capacity(memory_terms(program), 1e9);
    const auto most = largest_context(free, {});
    REQUIRE(most > 1000);
    program.max_positions = 1000;
    CHECK(largest_context(with_capacity(memory_terms(program), 1e9), {}) == 1000);
    program.max_positions = most + 1;
    CHECK(largest_context(with_capacity(memory_terms(program), 1e9), {}) == most);
}

TEST_CASE("where every layer slides, the context is not limited by memory") {
    auto sizes = kSmall;
    sizes.window = 8;
    const auto terms = memory_terms(test::decoder(sizes, 1));
    CHECK(largest_context(with_capacity(terms, terms.weights + 10000), {}) == kMaxCount);
}
