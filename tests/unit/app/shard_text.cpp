#include "app/shard_text.h"

#include <sstream>

#include "tests/support/catch.h"
#include "tests/support/tiny_configs.h"

using namespace tplan;
using Catch::Matchers::Contains;

namespace {

std::string map_of(const std::string& family, int tp, LayoutChoice layout = LayoutChoice::hf) {
    const auto config = read_model_config(test::tiny_config(family), "tiny " + family);
    const auto model = build_model(config);
    PlanOptions options;
    options.tp = tp;
    options.layout = layout;
    return shard_map_text(model, make_plan(config, model, options).plan.value());
}

std::string line_of(const std::string& text, const std::string& parameter) {
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with(parameter)) return line;
    }
    return {};
}

}  // namespace

TEST_CASE("a bar has as much of a rank's digit as the rank owns") {
    const auto map = map_of("llama", 2);
    const auto halves = "|" + std::string(24, '0') + std::string(24, '1') + "|";
    CHECK_THAT(line_of(map, "self_attn.q_proj"),
               Contains("[64, 64]") && Contains(halves) && Contains("split out"));
    CHECK_THAT(line_of(map, "self_attn.o_proj"), Contains(halves) && Contains("split in"));
    CHECK_THAT(line_of(map, "input_layernorm"),
               Contains("|" + std::string(48, '/') + "|") && Contains("replicated"));
    CHECK_THAT(map, Contains("layer x 2\n"));
    CHECK_THAT(line_of(map_of("qwen3", 2), "lm_head"), Contains("(tied to the embedding)"));
}

TEST_CASE("packed halves and copied KV heads are said") {
    const auto quarters = std::string(12, '0') + std::string(12, '1');
    CHECK_THAT(line_of(map_of("mixtral", 2), "mlp.experts.gate_up_proj"),
               Contains(quarters + quarters) && Contains("half by half"));
    // 2 KV heads over 4 ranks: both owners are drawn, in turn
    const auto copied = map_of("llama", 4, LayoutChoice::best);
    CHECK_THAT(line_of(copied, "self_attn.k_proj"),
               Contains("KV heads copied") && Contains("|010101") && Contains("232323|"));
    CHECK_THAT(line_of(copied, "self_attn.q_proj"), !Contains("copied"));
}
