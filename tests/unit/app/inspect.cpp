#include "app/inspect.h"

#include <algorithm>
#include <set>

#include "tests/support/catch.h"
#include "tests/support/tiny_configs.h"

using namespace tplan;

namespace {

/// Degrees of 1, 2, 3, 4, 6, 8, 16 that work as transformers 5.16 runs the model's own plan, from
/// its rules: heads, KV heads where k and v are cut, gathered outputs and a head's vocabulary,
/// halves of packed experts, and quantisation blocks must divide.
struct Works {
    const char* preset;
    std::vector<int> degrees;
};
const std::vector<Works> kWorks = {
    // clang-format off
    Works{"deepseek-v2-lite", {1, 2, 4, 8, 16}},  // 16 heads, 16 KV heads, 102400 vocabulary
    Works{"deepseek-v3", {1, 2, 4, 8, 16}},  // 2048 and 18432 wide, blocks of 128; attention is not cut
    Works{"falcon-7b", {1}},  // no plan
    Works{"gemma-2-27b", {1, 2, 4, 8, 16}},  // 32 heads, 16 KV heads, 256000 vocabulary
    Works{"gemma-2-9b", {1, 2, 4, 8}},  // 16 heads, 8 KV heads, 256000 vocabulary
    Works{"gemma-3-27b", {1, 2, 4, 8, 16}},  // 32 heads, 16 KV heads, 262208 vocabulary
    Works{"glm-4.5-air", {1, 2, 4, 8}},  // 96 heads, 8 KV heads, 151552 vocabulary
    Works{"gpt-oss-120b", {1}},  // no plan
    Works{"gpt-oss-20b", {1}},  // no plan
    Works{"gpt2", {1}},  // no plan
    Works{"llama-2-13b", {1, 2, 4, 8}},  // 40 heads, 40 KV heads, 32000 vocabulary
    Works{"llama-2-70b", {1, 2, 4, 8}},  // 64 heads, 8 KV heads, 32000 vocabulary
    Works{"llama-2-7b", {1, 2, 4, 8, 16}},  // 32 heads, 32 KV heads, 32000 vocabulary
    Works{"llama-3.1-405b", {1, 2, 4, 8}},  // 128 heads, 8 KV heads, 128256 vocabulary
    Works{"llama-3.1-70b", {1, 2, 4, 8}},  // 64 heads, 8 KV heads, 128256 vocabulary
    Works{"llama-3.1-8b", {1, 2, 4, 8}},  // 32 heads, 8 KV heads, 128256 vocabulary
    Works{"llama-3.1-8b-awq", {1, 2, 4, 8}},  // the same; 14336 / 8 = 14 groups of 128
    Works{"llama-3.2-1b", {1, 2, 4, 8}},  // 32 heads, 8 KV heads, 128256 vocabulary
    Works{"llama-3.2-3b", {1, 2, 4, 8}},  // 24 heads, 8 KV heads, 128256 vocabulary
    Works{"mistral-7b", {1, 2, 4, 8}},  // 32 heads, 8 KV heads, 32000 vocabulary
    Works{"mixtral-8x22b", {1, 2, 4, 8}},  // 48 heads, 8 KV heads, 32000 vocabulary
    Works{"mixtral-8x7b", {1, 2, 4, 8}},  // 32 heads, 8 KV heads, 32000 vocabulary
    Works{"phi-4", {1, 2, 4, 8, 16}},  // gathered: 7680 and 35840 outputs, 100352 vocabulary
    Works{"qwen2.5-0.5b", {1, 2}},  // 14 heads, 2 KV heads, 151936 vocabulary
    Works{"qwen2.5-32b", {1, 2, 4, 8}},  // 40 heads, 8 KV heads, 152064 vocabulary
    Works{"qwen2.5-72b", {1, 2, 4, 8}},  // 64 heads, 8 KV heads, 152064 vocabulary
    Works{"qwen2.5-7b", {1, 2, 4}},  // 28 heads, 4 KV heads, 152064 vocabulary
    Works{"qwen2.5-7b-gptq", {1, 2, 4}},  // the same; 18944 / 4 = 37 groups of 128
    Works{"qwen3-0.6b", {1, 2, 4, 8}},  // 16 heads, 8 KV heads, 151936 vocabulary
    Works{"qwen3-235b-a22b", {1, 2, 4}},  // 64 heads, 4 KV heads, 151936 vocabulary
    Works{"qwen3-30b-a3b", {1, 2, 4}},  // 32 heads, 4 KV heads, 151936 vocabulary
    Works{"qwen3-32b-fp8", {1, 2, 4, 8}},  // 64 heads, 8 KV heads, 151936 vocabulary, blocks of 128
    Works{"qwen3-32b", {1, 2, 4, 8}},  // 64 heads, 8 KV heads, 151936 vocabulary
    Works{"qwen3-8b", {1, 2, 4, 8}},  // 32 heads, 8 KV heads, 151936 vocabulary
    // clang-format on
};
const std::vector<int> kDegrees = {1, 2, 3, 4, 6, 8, 16};

/// Do the ranks' pieces cover the tensor once, or hold all of it each? Copies count once; pieces of
/// one tensor differ in one dimension.
bool tiles(const TensorShards& tensor) {
    std::set<std::pair<std::vector<std::int64_t>, std::vector<std::int64_t>>> pieces;
    for (const auto& shard : tensor.shards) {
        for (const auto& piece : shard.pieces) pieces.emplace(piece.offset, piece.shape);
    }
    std::vector<std::int64_t> next(tensor.shape.size(), 0);
    for (const auto& [offset, shape] : pieces) {
        for (std::size_t d = 0; d < shape.size(); ++d) {
            const bool whole = shape[d] == tensor.shape[d] && offset[d] == 0;
            if (!whole && offset[d] != next[d]) return false;
            next[d] = offset[d] + shape[d];
        }
    }
    return next == tensor.shape;
}

/// Bytes of the pieces of the rank that holds most.
double fullest_rank(const std::vector<TensorShards>& tensors) {
    std::vector<double> bytes;
    for (const auto& tensor : tensors) {
        bytes.resize(tensor.shards.size());
        for (const auto& shard : tensor.shards) {
            for (const auto& piece : shard.pieces) {
                double elements = bytes_of(tensor.dtype);
                for (const auto n : piece.shape) elements *= static_cast<double>(n);
                bytes[static_cast<std::size_t>(shard.rank)] += elements;
            }
        }
    }
    return bytes.empty() ? 0 : std::ranges::max(bytes);
}

InspectDocument inspected(const ModelConfig& config, const std::vector<int>& degrees,
                          const std::optional<TpPlan>& by_hand = {}) {
    return inspect(config, degrees, Transformers::v5_16, by_hand);
}

}  // namespace

TEST_CASE("every preset works at the degrees that transformers' rules allow, and its shards tile") {
    REQUIRE(kWorks.size() == preset_names().size());
    for (const auto& [preset, expected] : kWorks) {
        std::vector<int> working;
        for (const auto& degree : inspected(load_model_config(preset), kDegrees).tp) {
            INFO(preset << " at TP " << degree.tp);
            CHECK(degree.feasible == degree.violations.empty());
            if (!degree.feasible) continue;
            working.push_back(degree.tp);
            for (const auto& tensor : degree.tensors) {
                INFO(tensor.name);
                CHECK(tensor.shards.size() == static_cast<std::size_t>(degree.tp));
                if (!tiles(tensor)) FAIL_CHECK("the shards do not tile");
            }
        }
        INFO(preset);
        CHECK(working == expected);
    }
}

TEST_CASE("the bytes of the fullest rank are those of its shards, even cuts or not") {
    for (const char* preset :
         {"qwen3-0.6b", "llama-3.1-8b", "mixtral-8x7b", "qwen3-32b-fp8", "llama-3.1-8b-awq"}) {
        for (const auto& degree : inspected(load_model_config(preset), {1, 3, 4, 5}).tp) {
            INFO(preset << " at TP " << degree.tp);
            CHECK(fullest_rank(degree.tensors) ==
                  Approx(degree.weight_bytes_per_rank.value.value()));
        }
    }
}

TEST_CASE("a parameter that is on disk under other names says which") {
    const auto inspection = inspected(load_model_config("mixtral-8x7b"), {1});
    int renamed = 0;
    for (const auto& tensor : inspection.tp[0].tensors) {
        if (!tensor.checkpoint_names) continue;
        ++renamed;
        if (tensor.name != "model.layers.7.mlp.experts.gate_up_proj") continue;
        CHECK(*tensor.checkpoint_names ==
              std::vector<std::string>{"model.layers.7.block_sparse_moe.experts.*.w1.weight",
                                       "model.layers.7.block_sparse_moe.experts.*.w3.weight"});
    }
    CHECK(renamed == 3 * 32);  // router, gate over up, down
    const auto text = inspect_text(inspection, load_model_config("mixtral-8x7b"));
    CHECK(text.find("model.layers.*.mlp.experts.gate_up_proj is on disk as "
                    "model.layers.*.block_sparse_moe.experts.*.w1.weight + ") != text.npos);
    const auto plain = inspected(load_model_config("llama-3.1-8b"), {1});
    CHECK(std::ranges::none_of(plain.tp[0].tensors, [](const TensorShards& tensor) {
        return tensor.checkpoint_names.has_value();
    }));
    CHECK(inspect_text(plain, load_model_config("llama-3.1-8b")).find("on disk") == text.npos);
}

TEST_CASE("why the answer is no, in one line") {
    const auto llama = inspected(load_model_config("llama-3.1-8b"), {1, 3});
    CHECK(inspect_refusal(llama, false).empty());  // 3 was not asked for by name
    const auto refusal = inspect_refusal(llama, true);
    CHECK(refusal.find("TP 3 does not work: heads_not_divisible") != refusal.npos);
    CHECK(refusal.find("degrees that work: 1 2 4 8") != refusal.npos);
    const auto config = load_model_config("gpt2");
    CHECK(inspect_refusal(inspected(config, {2}), false).find("no TP plan") != refusal.npos);
    const TpPlan by_hand{{"h.*.mlp.c_fc", "colwise"}, {"h.*.mlp.c_proj", "rowwise"}};
    CHECK(inspect_refusal(inspected(config, {2}, by_hand), true).empty());
}

TEST_CASE("the text says what each rule communicates") {
    const auto config = load_model_config("llama-3.1-8b");
    const auto text = inspect_text(inspected(config, {2}), config);
    CHECK(text.find("layers.*.self_attn.o_proj  rowwise") != text.npos);
    CHECK(text.find("all-reduce of the output") != text.npos);
    CHECK(text.find("all-gather of the output") != text.npos);  // lm_head
    const auto mixtral = load_model_config("mixtral-8x7b");
    const auto sparse = inspect_text(inspected(mixtral, {2}), mixtral);
    const auto rule = sparse.find("layers.*.mlp.experts.down_proj");
    CHECK(sparse.substr(rule, sparse.find('\n', rule) - rule).ends_with("with its module"));
    CHECK(sparse.find("all-reduce of the combined expert output") != sparse.npos);
}

TEST_CASE("a plan given by hand is shown in place of the model's own") {
    const auto config = load_model_config("llama-3.1-8b");
    const TpPlan by_hand{{"layers.*.mlp.up_proj", "colwise"},
                         {"layers.*.mlp.down_proj", "rowwise"}};
    const auto inspection = inspected(config, {2}, by_hand);
    CHECK(inspection.tp_plan.value == by_hand);
    CHECK(inspection.base_model_tp_plan.value);  // stays the model's own
    const auto text = inspect_text(inspection, config);
    CHECK(text.find("plan given by hand") != text.npos);
    CHECK(text.find("layers.*.mlp.up_proj    colwise") != text.npos);
    CHECK(text.find("layers.*.self_attn.q_proj  colwise") == text.npos);
    CHECK(inspect_text(inspected(config, {2}), config).find("by hand") == text.npos);
}

TEST_CASE("a size that is not known is no proof that a degree works") {
    // helium has a plan in transformers and no graph here; this one does not say how many heads.
    const auto config = read_model_config(
        Json{{"model_type", "helium"}, {"hidden_size", 64}, {"num_hidden_layers", 2}}, "helium");
    const auto inspection = inspected(config, {2});
    REQUIRE(inspection.tp.size() == 1);
    CHECK_FALSE(inspection.tp[0].certain);
    const auto text = inspect_text(inspection, config);
    CHECK(text.find("TP 2: nothing known forbids it") != text.npos);
    CHECK(text.find("TP 2: works") == text.npos);
    CHECK(inspected(load_model_config("llama-3.1-8b"), {2}).tp[0].certain);
}

TEST_CASE("a note on the configuration stands once") {
    auto document = test::tiny_config("llama");
    document["favourite_colour"] = "blue";
    const auto config = read_model_config(document, "tiny llama");
    REQUIRE(config.notes.size() == 1);
    const auto inspection = inspected(config, {1});
    CHECK(std::ranges::count(inspection.notes, config.notes[0]) == 1);
}
