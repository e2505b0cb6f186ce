#include "planner/style.h"

#include <algorithm>

#include "tests/support/catch.h"

using namespace tplan;

TEST_CASE("the registry holds transformers' 18 styles") {
    const auto styles = load_styles();
    std::vector<std::string> names;
    for (const auto& style : styles) names.push_back(style.name);
    CHECK(names == std::vector<std::string>{
                       "all_reduce", "colwise", "colwise_gather_output", "embedding_colwise",
                       "embedding_rowwise", "ep_router", "grouped_gemm", "megamoe_experts",
                       "megamoe_router", "mla_kv_a_proj", "moe_identity_expert", "moe_tp_experts",
                       "packed_colwise", "packed_rowwise", "replicated_with_grad_allreduce",
                       "rowwise", "rowwise_split_input", "sequence_parallel"});
}

TEST_CASE("old spellings mean the new styles") {
    const auto styles = load_styles();
    const auto name = [&](const char* spelling) { return find_style(styles, spelling).name; };
    CHECK(name("colwise_rep") == "colwise_gather_output");
    CHECK(name("rowwise_rep") == "rowwise_split_input");
    CHECK(name("local_colwise") == "colwise");
    CHECK(name("local_rowwise") == "rowwise");
    CHECK(name("local_packed_rowwise") == "packed_rowwise");
    CHECK(name("gather") == "moe_tp_experts");
    CHECK(name("local") == "moe_tp_experts");
    CHECK(name("replicate") == "replicated_with_grad_allreduce");
}

TEST_CASE("weight dimensions are those transformers exports") {
    const auto styles = load_styles();
    const auto dim = [&](const char* style) { return find_style(styles, style).weight_dim.value; };
    for (const auto* style : {"colwise", "colwise_gather_output", "packed_colwise"})
        CHECK(dim(style) == -2);
    for (const auto* style : {"rowwise", "rowwise_split_input", "packed_rowwise"})
        CHECK(dim(style) == -1);
    CHECK(dim("embedding_rowwise") == 0);
    CHECK(dim("embedding_colwise") == 1);
    CHECK(dim("all_reduce") == std::nullopt);
    for (const auto& style : styles) {
        const bool splits_bias = style.bias == BiasRule::split;
        const bool by_experts = style.weight_dim.value == -3;
        CHECK(splits_bias == (cuts_output(style) || by_experts));
        CHECK(cuts_table(style) == style.name.starts_with("embedding_"));
        CHECK_FALSE(style.forward.empty());
        CHECK(style.source.find("tensor_parallel.py") != style.source.npos);
    }
}

TEST_CASE("an unknown style is refused with the choices") {
    try {
        find_style(load_styles(), "colwize");
        FAIL("accepted");
    } catch (const Error& error) {
        const std::string text = error.what();
        CHECK(text.find("unsupported tensor parallel style \"colwize\"") != text.npos);
        CHECK(text.find("did you mean \"colwise\"?") != text.npos);
        CHECK(text.find("rowwise_split_input") != text.npos);
    }
}
