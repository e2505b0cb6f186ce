// Parameter counts: published ones of the presets, and per family a formula written down by hand
// from the shapes of its tiny configuration (hidden 64, heads 4 x 16, 2 KV heads, ffn 128,
// vocabulary 256 unless said otherwise).
#include <map>

#include "models/build.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_configs.h"

using namespace tplan;

namespace {

std::int64_t count(const std::string& preset) {
    return parameter_count(build_model(load_model_config(preset)));
}

std::int64_t tiny_count(const std::string& family) {
    return parameter_count(build_model(read_model_config(test::tiny_config(family), "tiny")));
}

constexpr std::int64_t kTable = 256 * 64;                           // embedding or head
constexpr std::int64_t kAttention = 64 * (64 + 32 + 32) + 64 * 64;  // q, k, v, o
constexpr std::int64_t kGated = 3 * 64 * 128;                       // gate, up, down
constexpr std::int64_t kPlain = 2 * 64 * 128;                       // up, down
constexpr std::int64_t kLayerNorm = 2 * 64;                         // weight and bias
// 8 experts of 32 columns and their router
constexpr std::int64_t kExperts = 8 * 3 * 64 * 32 + 8 * 64;
// MLA: kv_a (32 + 8), its norm, kv_b (4 heads x 32), o (4 heads x 16)
constexpr std::int64_t kLatent = 64 * 40 + 32 + 32 * 128 + 64 * 64;

}  // namespace

TEST_CASE("build: the presets have their published number of parameters") {
    CHECK(count("llama-2-7b") == 6'738'415'616);
    CHECK(count("llama-2-13b") == 13'015'864'320);
    CHECK(count("llama-2-70b") == 68'976'648'192);
    CHECK(count("llama-3.1-8b") == 8'030'261'248);
    CHECK(count("llama-3.1-70b") == 70'553'706'496);
    CHECK(count("llama-3.1-405b") == 405'853'388'800);
    CHECK(count("llama-3.2-1b") == 1'235'814'400);
    CHECK(count("llama-3.2-3b") == 3'212'749'824);
    CHECK(count("mistral-7b") == 7'241'732'096);
    CHECK(count("mixtral-8x7b") == 46'702'792'704);
    CHECK(count("mixtral-8x22b") == 140'620'634'112);
    CHECK(count("qwen2.5-0.5b") == 494'032'768);
    CHECK(count("qwen2.5-7b") == 7'615'616'512);
    CHECK(count("qwen2.5-32b") == 32'763'876'352);
    CHECK(count("qwen2.5-72b") == 72'706'203'648);
    CHECK(count("qwen3-0.6b") == 596'049'920);
    CHECK(count("qwen3-8b") == 8'190'735'360);
    CHECK(count("qwen3-32b") == 32'762'123'264);
    CHECK(count("qwen3-30b-a3b") == 30'532'122'624);
    CHECK(count("qwen3-235b-a22b") == 235'093'634'560);
    CHECK(count("gemma-2-9b") == 9'241'705'984);
    CHECK(count("gemma-2-27b") == 27'227'128'320);
    CHECK(count("phi-4") == 14'659'507'200);
    CHECK(count("falcon-7b") == 6'921'720'704);
    CHECK(count("gpt2") == 124'439'808);
    CHECK(count("gpt-oss-20b") == 20'914'757'184);
    CHECK(count("gpt-oss-120b") == 116'829'156'672);
    CHECK(count("deepseek-v2-lite") == 15'706'484'224);
}

TEST_CASE("build: the text model of gemma-3-27b, by hand") {
    const std::int64_t attention = 5376 * 128 * (2 * 32 + 2 * 16) + 2 * 128;
    const std::int64_t layer = attention + 3 * 5376LL * 21504 + 4 * 5376;
    CHECK(count("gemma-3-27b") == 262208LL * 5376 + 62 * layer + 5376);
}

TEST_CASE("build: deepseek-v3 has its weights and one scale per block of 128 x 128") {
    const std::int64_t attention = 7168LL * 1536 + 1536 + 1536LL * 128 * 192 + 7168LL * 576 + 512 +
                                   512LL * 128 * 256 + 128LL * 128 * 7168;
    const std::int64_t dense = 3LL * 7168 * 18432;
    const std::int64_t sparse = 257LL * 3 * 7168 * 2048 + 256 * 7168;
    const std::int64_t weights =
        2LL * 129280 * 7168 + 7168 + 61 * (attention + 2 * 7168) + 3 * dense + 58 * sparse;
    // in blocks: 7168 = 56, 1536 = 12, 576 -> 5, 24576 = 192, 32768 = 256, 16384 = 128, 18432 = 144
    const std::int64_t attention_scales = 56 * 12 + 12 * 192 + 56 * 5 + 4 * 256 + 128 * 56;
    const std::int64_t scales = 61 * attention_scales + 3 * 3 * 56 * 144 + 58LL * 257 * 3 * 56 * 16;
    CHECK(weights == 671'026'404'352);
    CHECK(count("deepseek-v3") == weights + scales);
}

TEST_CASE("build: every family has the parameters its modules add up to") {
    const std::map<std::string, std::int64_t> expected = {
        // one norm a layer without bias; q and k norm weights per head; tied
        {"cohere", kTable + 2 * (kAttention + 6 * 16 + kGated + 64) + 64},
        // one dense layer, two of 8 experts with 2 shared ones; plain queries of 4 x 24
        {"deepseek_v2", 2 * kTable + 64 + 3 * (64 * 96 + kLatent + 2 * 64) + kGated +
                            2 * (kExperts + 3 * 64 * 64)},
        // queries through 48 columns; one shared expert
        {"deepseek_v3", 2 * kTable + 64 + 3 * (64 * 48 + 48 + 48 * 96 + kLatent + 2 * 64) + kGated +
                            2 * (kExperts + 3 * 64 * 32)},
        {"falcon", kTable + 2 * (kAttention + kPlain + 2 * kLayerNorm) + kLayerNorm},
        {"gemma", kTable + 2 * (kAttention + kGated + 2 * 64) + 64},
        {"gemma2", kTable + 2 * (kAttention + kGated + 4 * 64) + 64},
        {"gemma3_text", kTable + 6 * (kAttention + 2 * 16 + kGated + 4 * 64) + 64},
        {"glm4", 2 * kTable + 2 * (kAttention + 128 + kGated + 4 * 64) + 64},
        {"glm4_moe", 2 * kTable + 3 * (kAttention + 128 + 2 * 16 + 2 * 64) + kGated +
                         2 * (kExperts + 3 * 64 * 32) + 64},
        {"gpt2", kTable + 128 * 64 + 2 * (4 * (64 * 64 + 64) + kPlain + 128 + 64 + 2 * kLayerNorm) +
                     kLayerNorm},
        {"gpt_neox",
         2 * kTable + 2 * (4 * (64 * 64 + 64) + kPlain + 128 + 64 + 2 * kLayerNorm) + kLayerNorm},
        // 8 experts of 128 columns with biases, sinks
        {"gpt_oss",
         2 * kTable + 64 +
             2 * (kAttention + 128 + 64 + 4 + 8 * (kGated + 256 + 64) + 8 * 64 + 8 + 2 * 64)},
        {"granite", 2 * kTable + 2 * (kAttention + kGated + 2 * 64) + 64},
        {"llama", 2 * kTable + 2 * (kAttention + kGated + 2 * 64) + 64},
        {"mistral", 2 * kTable + 2 * (kAttention + kGated + 2 * 64) + 64},
        {"mixtral", 2 * kTable + 2 * (kAttention + 8 * kGated + 8 * 64 + 2 * 64) + 64},
        // norms over all of q and all of k
        {"olmo2", 2 * kTable + 2 * (kAttention + 64 + 32 + kGated + 2 * 64) + 64},
        // biases everywhere, the head too; one norm a layer, q and k norms with biases
        {"phi", 2 * kTable + 256 +
                    2 * (kAttention + 128 + 64 + 4 * 16 + kPlain + 128 + 64 + kLayerNorm) +
                    kLayerNorm},
        {"phi3", 2 * kTable + 2 * (kAttention + kGated + 2 * 64) + 64},
        {"qwen2", 2 * kTable + 4 * (kAttention + 128 + kGated + 2 * 64) + 64},
        // layers 0 and 2 sparse; a shared expert of 48 columns and its gate
        {"qwen2_moe", 2 * kTable + 3 * (kAttention + 128 + 2 * 64) + kGated +
                          2 * (kExperts + 3 * 64 * 48 + 64) + 64},
        {"qwen3", kTable + 2 * (kAttention + 2 * 16 + kGated + 2 * 64) + 64},
        // layers 1 and 3 sparse
        {"qwen3_moe",
         2 * kTable + 4 * (kAttention + 2 * 16 + 2 * 64) + 2 * kGated + 2 * kExperts + 64},
        {"stablelm", 2 * kTable + 2 * (kAttention + 128 + kGated + 2 * kLayerNorm) + kLayerNorm},
        {"starcoder2",
         kTable + 2 * (kAttention + 128 + 64 + kPlain + 128 + 64 + 2 * kLayerNorm) + kLayerNorm},
    };
    for (const auto& family : test::tiny_families()) {
        INFO(family);
        REQUIRE(expected.contains(family));
        CHECK(tiny_count(family) == expected.at(family));
    }
}

TEST_CASE("build: weight bytes follow the checkpoint's dtypes") {
    CHECK(weight_bytes(build_model(load_model_config("llama-3.1-8b"))) == 2.0 * 8'030'261'248);
    // qwen3-32b-fp8: linears one byte, scales four, the rest two
    const std::int64_t linears =
        64LL * (5120 * 128 * (64 + 8 + 8) + 64 * 128 * 5120 + 3LL * 5120 * 25600);
    const std::int64_t scales = linears / (128 * 128);
    const std::int64_t rest = 32'762'123'264 - linears;
    CHECK(weight_bytes(build_model(load_model_config("qwen3-32b-fp8"))) ==
          static_cast<double>(linears + 4 * scales + 2 * rest));
    // gpt-oss-20b: expert weights 4.25 bits
    const std::int64_t experts = 24LL * 32 * 3 * 2880 * 2880;
    CHECK(weight_bytes(build_model(load_model_config("gpt-oss-20b"))) ==
          static_cast<double>(experts) * 4.25 / 8 +
              2.0 * static_cast<double>(20'914'757'184 - experts));
}
