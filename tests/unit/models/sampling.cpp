#include "models/sampling.h"

#include "core/error.h"
#include "models/build.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_configs.h"

using namespace tplan;

namespace {

Model tiny_llama() {
    return build_model(read_model_config(test::tiny_config("llama"), "tiny"));
}

const Activation& result_of(const Model& model) {
    const auto& head = model.blocks.back();
    return head.activations[static_cast<std::size_t>(head.output)];
}

}  // namespace

TEST_CASE("sampling: logits and top-p leave the model as it is") {
    const auto model = tiny_llama();
    std::optional<Model> kept;
    CHECK(&with_sampling(model, Sampling::logits, 4, kept) == &model);
    CHECK(&with_sampling(model, Sampling::top_p, 4, kept) == &model);
    CHECK_FALSE(kept);
}

TEST_CASE("sampling: greedy ends in a candidate of every rank, and the best of them") {
    const auto model = tiny_llama();
    const auto ops = model.blocks.back().ops.size();
    std::optional<Model> kept;
    const auto& chosen = with_sampling(model, Sampling::greedy, 4, kept);
    const auto& head = chosen.blocks.back();
    REQUIRE(head.ops.size() == ops + 2);
    const auto& candidates = head.ops[ops];
    const auto& choice = head.ops[ops + 1];
    CHECK(candidates.name == kCandidates);
    CHECK_FALSE(candidates.spec.largest->of_pairs);
    CHECK(head.activations[static_cast<std::size_t>(candidates.outputs[0])].width == 2 * 4);
    CHECK(choice.name == kChoice);
    CHECK(choice.spec.largest->of_pairs);
    CHECK(choice.inputs == candidates.outputs);
    CHECK(result_of(chosen).width == 2);
    CHECK(result_of(chosen).dtype == DType::fp32);
    CHECK(result_of(chosen).rows == Rows::sequences);

    std::optional<Model> again;
    CHECK(&with_sampling(chosen, Sampling::greedy, 4, again) == &chosen);
}

TEST_CASE("sampling: one rank chooses at once") {
    const auto model = tiny_llama();
    std::optional<Model> kept;
    const auto& head = with_sampling(model, Sampling::greedy, 1, kept).blocks.back();
    REQUIRE(head.ops.size() == model.blocks.back().ops.size() + 1);
    CHECK(head.ops.back().name == kChoice);
    CHECK_FALSE(head.ops.back().spec.largest->of_pairs);
}

TEST_CASE("sampling: an index that fp32 does not hold is refused") {
    auto model = tiny_llama();
    auto& head = model.blocks.back();
    auto& width = head.activations[static_cast<std::size_t>(head.output)].width;
    std::optional<Model> kept;
    width = std::int64_t{1} << 24;
    CHECK_NOTHROW(with_sampling(model, Sampling::greedy, 2, kept));
    width += 1;
    CHECK_THROWS_WITH(with_sampling(model, Sampling::greedy, 2, kept),
                      Catch::Matchers::Contains("--sampling: greedy over 16777217 logits") &&
                          Catch::Matchers::Contains("use --sampling logits"));
}
