#include "core/files.h"
#include "planner/plan.h"
#include "tests/support/catch.h"
#include "tests/unit/planner/programs.h"

using namespace tplan;
using namespace tplan::test;
using Codes = std::vector<std::string>;

namespace {

Feasibility judged_preset(const std::string& name, int tp,
                          Transformers version = Transformers::v5_16) {
    auto options = options_for(tp);
    options.transformers = version;
    return judged(load_model_config(name), options);
}

/// A configuration without a graph: the plan's keys and the sizes decide.
ModelConfig bare(const std::string& model_type) {
    ModelConfig config;
    config.source = "bare";
    config.model_type = model_type;
    config.hidden = 64;
    config.heads = 8;
    config.kv_heads = 4;
    config.head_dim = 8;
    config.ffn = 128;
    config.vocab = 256;
    return config;
}

}  // namespace

TEST_CASE("heads, KV heads and vocabulary are all named at once") {
    // qwen2.5-0.5b: 14 heads, 2 KV heads, vocabulary 151936 = 4 * 37984
    const auto at4 = judged_preset("qwen2.5-0.5b", 4);
    CHECK(codes(at4) == Codes{"heads_not_divisible", "kv_heads_not_divisible"});
    CHECK(at4.violations[0].have == "14 % 4 = 2");
    CHECK(at4.violations[0].need == "num_attention_heads % tp == 0");
    CHECK(at4.violations[0].subject == "layers.*.self_attn.q_proj");
    CHECK(at4.violations[1].subject == "layers.*.self_attn.k_proj");
    CHECK(at4.violations[1].have == "2 % 4 = 2");
    CHECK_FALSE(at4.feasible);
    CHECK(judged_preset("qwen2.5-0.5b", 2).feasible);

    // llama-3.1-8b at 3: 32 heads, 8 KV heads, vocabulary 128256 = 3 * 42752, ffn 14336 uneven
    const auto at3 = judged_preset("llama-3.1-8b", 3);
    CHECK(codes(at3) == Codes{"heads_not_divisible", "kv_heads_not_divisible"});
    CHECK(
        mentions(at3.notes,
                 "layers.*.mlp.gate_proj: 14336 rows over 3 ranks are uneven: 2 x 4779, 1 x 4778"));
    CHECK(codes(judged_preset("mistral-7b", 3)).back() == "vocab_not_divisible");
}

TEST_CASE("norms with weights for each head are cut by no style of transformers") {
    const auto at2 = judged(tiny("cohere"), options_for(2));  // use_qk_norm
    CHECK(codes(at2) == Codes{"op_unsupported"});
    CHECK(at2.violations[0].subject == "layers.*.self_attn.q_proj");
    CHECK(judged(tiny("cohere", {{"use_qk_norm", false}}), options_for(2)).feasible);
}

TEST_CASE("KV heads are not copied by transformers, but can be by tplan") {
    const auto at16 = judged_preset("llama-3.1-8b", 16);
    CHECK(codes(at16) == Codes{"kv_heads_not_divisible"});
    CHECK(at16.remedies == std::vector<std::string>{"kv_replication", "replicate_module"});

    const auto config = load_model_config("llama-3.1-8b");
    const auto verdict = tp_verdict(config, Transformers::v5_16);
    const auto best = judge_layout(config, verdict, options_for(16, LayoutChoice::best));
    CHECK(best.feasible);
    CHECK(mentions(best.notes, "8 key-value heads are copied to 2 ranks each"));
    CHECK_FALSE(judge_layout(config, verdict, options_for(16)).feasible);
    // 12 ranks are no multiple of 8 KV heads, and 64 pass the 32 query heads
    CHECK_FALSE(judge_layout(config, verdict, options_for(12, LayoutChoice::best)).feasible);
    CHECK_FALSE(judge_layout(config, verdict, options_for(64, LayoutChoice::best)).feasible);
}

TEST_CASE("a gathered projection needs its features to divide, not its heads") {
    // phi-4: 40 heads, 10 KV heads; qkv 7680, gate_up 35840, vocabulary 100352
    CHECK(judged_preset("phi-4", 4).feasible);
    CHECK(judged_preset("phi-4", 16).feasible);
    const auto at3 = judged_preset("phi-4", 3);  // 7680 divides by 3, the others leave 2
    CHECK(codes(at3) == Codes{"ffn_not_divisible", "vocab_not_divisible"});
    CHECK(at3.violations[0].have == "35840 % 3 = 2");
    CHECK(at3.violations[0].need == "out_features % tp == 0");

    // olmo2: q and k/v gathered, so 2 KV heads serve 4 ranks; the paged cache refuses all the same
    const auto olmo = judged(tiny("olmo2"), options_for(4));
    CHECK(olmo.feasible);
    CHECK(mentions(olmo.notes, "paged cache"));
}

TEST_CASE("attention without rules has no head rule") {
    // deepseek_v3: 128 heads; only the MLPs are cut. 7 divides none of the sizes that count.
    const auto at7 = judged(tiny("deepseek_v3"), options_for(7));
    CHECK(codes(at7) == Codes{"ffn_not_divisible", "vocab_not_divisible"});
    CHECK(judged(tiny("deepseek_v3"), options_for(8)).feasible);  // 4 heads, 8 ranks
    // deepseek_v2 cuts its latent attention by query heads
    CHECK(codes(judged(tiny("deepseek_v2"), options_for(8))) == Codes{"heads_not_divisible"});
}

TEST_CASE("packed experts lose rows when a half does not divide") {
    const auto at3 = judged_preset("mixtral-8x7b", 3);
    const auto found = std::find_if(at3.violations.begin(), at3.violations.end(),
                                    [](const auto& v) { return v.code == "ffn_not_divisible"; });
    REQUIRE(found != at3.violations.end());
    CHECK(found->subject == "layers.*.mlp.experts.gate_up_proj");
    CHECK(found->need == "moe_intermediate_size % tp == 0");
    CHECK(found->have == "14336 % 3 = 2");
}

TEST_CASE("a shard of a block-quantised weight must be whole blocks") {
    // qwen3-32b-fp8: blocks of 128; k and v 1024 rows, gate and up 25600, down 25600 columns
    const auto at16 = judged_preset("qwen3-32b-fp8", 16);
    CHECK(codes(at16) == Codes{"kv_heads_not_divisible", "quant_block_split", "quant_block_split",
                               "quant_block_split", "quant_block_split", "quant_block_split"});
    CHECK(at16.violations[1].subject == "layers.*.self_attn.k_proj");
    CHECK(at16.violations[1].have == "64 % 128 = 64");
    CHECK(at16.violations[5].subject == "layers.*.mlp.down_proj");
    CHECK(at16.violations[5].have == "1600 % 128 = 64");
    CHECK(at16.remedies ==
          std::vector<std::string>{"kv_replication", "block_padding", "replicate_module"});
    CHECK(judged_preset("qwen3-32b-fp8", 8).feasible);
    CHECK_FALSE(mentions(codes(judged_preset("qwen3-32b", 16)), "quant_block_split"));
    // deepseek-v3: shared and routed experts 2048 wide, 64 at 32 ranks
    CHECK(mentions(codes(judged_preset("deepseek-v3", 32)), "quant_block_split"));
    CHECK(judged_preset("deepseek-v3", 16).feasible);
}

TEST_CASE("the vocabulary is enforced by 5.16 only") {
    auto config = tiny("llama", {{"vocab_size", 255}});
    CHECK(codes(judged(config, options_for(2))) == Codes{"vocab_not_divisible"});
    CHECK(judged(config, options_for(2)).remedies ==
          std::vector<std::string>{"vocab_padding", "replicate_module"});
    auto old = options_for(2);
    old.transformers = Transformers::v5_10;
    CHECK(judged(config, old).feasible);
    // tied: the embedding is cut by rows as well, and would find wrong rows on the last rank
    config.tied_embeddings = true;
    const auto tied = judged(config, options_for(2));
    CHECK(codes(tied) == Codes{"vocab_not_divisible", "vocab_not_divisible"});
    CHECK(tied.violations[0].subject == "embed_tokens");
    CHECK(tied.violations[1].subject == "lm_head");
}

TEST_CASE("tp 1 always works; without a plan nothing else does") {
    for (const auto* name : {"gpt2", "falcon-7b", "gpt-oss-20b", "llama-3.1-405b"})
        CHECK(judged_preset(name, 1) == Feasibility{});
    const auto none = judged_preset("gpt2", 2);
    CHECK(codes(none) == Codes{"no_tp_plan"});
    CHECK(none.violations[0].message.find("--tp-plan") != std::string::npos);
    CHECK(none.remedies.empty());
    CHECK(codes(judged_preset("gpt-oss-20b", 2)) == Codes{"no_tp_plan"});
    CHECK(codes(judged_preset("gpt-oss-20b", 3)) == Codes{"no_tp_plan", "experts_not_divisible"});
}

TEST_CASE("uneven rows of separate projections are notes") {
    auto config = tiny("llama", {{"intermediate_size", 130}});
    const auto at4 = judged(config, options_for(2));
    CHECK(at4.feasible);
    CHECK(at4.notes.empty());
    config.kv_heads = 4;
    const auto uneven = judged(config, options_for(4));  // ceil(130 / 4) = 33
    CHECK(uneven.feasible);
    CHECK(mentions(uneven.notes,
                   "layers.*.mlp.gate_proj: 130 rows over 4 ranks are uneven: 3 x 33, 1 x 31"));
    CHECK(mentions(uneven.notes, "layers.*.mlp.down_proj: 130 columns"));
    // 14 ranks of 16 rows: torch.chunk leaves 8 ranks with 2 and 6 with none
    config.ffn = 16;
    config.heads = config.kv_heads = 14;
    config.vocab = 14;
    CHECK(mentions(judged(config, options_for(14)).notes, "8 x 2, 6 empty"));
}

TEST_CASE("a type without a graph is judged from its numbers") {
    CHECK(judged(bare("seed_oss"), options_for(4)).feasible);
    CHECK(codes(judged(bare("seed_oss"), options_for(8))) == Codes{"kv_heads_not_divisible"});

    auto next = bare("qwen3_next");
    next.moe_ffn = 32;
    next.shared_ffn = 32;
    next.document = Json{{"linear_num_key_heads", 2},
                         {"linear_key_head_dim", 8},
                         {"linear_num_value_heads", 3},
                         {"linear_value_head_dim", 8}};
    // in_proj_ba has 2 * 3 outputs, gathered; in_proj_qkvz 2 * 16 + 2 * 24 = 80
    const auto at4 = judged(next, options_for(4));
    REQUIRE(codes(at4) == Codes{"heads_not_divisible"});
    CHECK(at4.violations[0].subject == "layers.*.linear_attn.in_proj_ba");
    CHECK(at4.violations[0].have == "6 % 4 = 2");
    next.document = Json::object();  // not known is said, not guessed
    CHECK(mentions(judged(next, options_for(4)).notes,
                   "in_proj_ba: its number of output features is not known"));
}

TEST_CASE("a plan by hand is judged in place of the model's own") {
    auto options = options_for(3);
    options.tp_plan = TpPlan{{"model.layers.*.mlp.up_proj", "colwise"},
                             {"model.layers.*.mlp.gate_proj", "colwise"},
                             {"model.layers.*.mlp.down_proj", "rowwise"}};
    const auto config = tiny("llama");
    CHECK(judged(config, options).feasible);  // 4 heads at 3 ranks: attention is replicated
    options.tp_plan = TpPlan{{"layers.*.mlp.experts.gate_up_proj", "grouped_gemm"}};
    CHECK(codes(judged(tiny("mixtral"), options)) == Codes{"experts_not_divisible"});
    options.tp_plan = TpPlan{{"layers.*.mlp.gate_up_proj", "colwise_rep"}};
    CHECK(codes(judged(tiny("phi3"), options)) == Codes{"ffn_not_divisible"});  // 256 % 3 = 1
}

TEST_CASE("working degrees") {
    const auto config = load_model_config("llama-3.1-8b");
    const auto verdict = tp_verdict(config, Transformers::v5_16);
    CHECK(working_degrees(config, verdict, options_for(7), 16) == std::vector<int>{1, 2, 4, 8});
    CHECK(working_degrees(config, verdict, options_for(7, LayoutChoice::best), 16) ==
          std::vector<int>{1, 2, 4, 8, 16});
    const auto gpt2 = load_model_config("gpt2");
    CHECK(working_degrees(gpt2, tp_verdict(gpt2, Transformers::v5_16), options_for(1), 8) ==
          std::vector<int>{1});
}

TEST_CASE("every shipped type is judged, with or without its sizes") {
    for (const auto& type : resource_names("data/tp_plans")) {
        if (type.front() == '_') continue;
        INFO(type);
        for (const int tp : {2, 3, 64}) {
            const auto sized = judged(bare(type), options_for(tp));
            CHECK(sized.feasible == sized.violations.empty());
            ModelConfig empty;
            empty.source = "empty";
            empty.model_type = type;
            const auto blind = judged(empty, options_for(tp));
            const bool plan =
                tp_verdict(empty, Transformers::v5_16).base_model_tp_plan.value.has_value();
            CHECK(codes(blind) == (plan ? Codes{} : Codes{"no_tp_plan"}));
        }
    }
    ModelConfig empty;
    empty.model_type = "llama";
    const auto blind = judged(empty, options_for(2));
    CHECK(mentions(blind.notes, "layers.*.self_attn.q_proj: num_attention_heads is not known"));
    CHECK(mentions(blind.notes, "lm_head: its number of output features is not known"));
}

TEST_CASE("llama4's experts are packed though their styles look swapped") {
    auto config = bare("llama4_text");
    config.experts = 4;
    config.moe_ffn = 130;
    config.kv_heads = 8;
    const auto at4 = judged(config, options_for(4));
    REQUIRE(codes(at4) == Codes{"ffn_not_divisible"});
    CHECK(at4.violations[0].subject == "layers.*.feed_forward.experts.gate_up_proj");
}

TEST_CASE("integer weights are cut between groups and words") {
    // 29568 = 231 x 128 columns of down_proj: half of them is 115.5 groups. Known of this model:
    // vLLM says "the input size is not aligned with the quantized weight shape" at 2, 4 and 8.
    const Json awq = {{"quant_method", "awq"}, {"bits", 4}, {"group_size", 128}};
    auto document = load_model_config("qwen2.5-72b").document;
    document["quantization_config"] = awq;
    const auto config = read_model_config(document, "72b awq");
    for (const int tp : {2, 4, 8}) {
        const auto cut = judged(config, options_for(tp));
        REQUIRE(codes(cut) == Codes{"quant_block_split"});
        CHECK(cut.violations[0].subject == "layers.*.mlp.down_proj");
        CHECK(mentions(cut.notes, "transformers updates no tensor-parallel plan for awq"));
    }
    CHECK(judged(config, options_for(2)).violations[0].have == "14784 % 128 = 64");
    CHECK(mentions({judged(config, options_for(2)).violations[0].message}, "128-wide"));

    // Qwen's own awq checkpoint pads the inner width to 29696 = 232 x 128: whole groups at 2, 4, 8.
    document["intermediate_size"] = 29696;
    const auto padded = read_model_config(document, "72b awq padded");
    for (const int tp : {2, 4, 8}) CHECK(judged(padded, options_for(tp)).feasible);

    // Reordered columns need whole words only; their scales are whole on every rank.
    document["intermediate_size"] = 29568;
    document["quantization_config"] = {
        {"quant_method", "gptq"}, {"bits", 4}, {"group_size", 128}, {"desc_act", true}};
    CHECK(judged(read_model_config(document, "72b gptq"), options_for(8)).feasible);
}
