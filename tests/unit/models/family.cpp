#include "models/family.h"

#include "tests/support/catch.h"
#include "tests/support/tiny_configs.h"

using namespace tplan;

TEST_CASE("family: every file is well-formed and every family has a tiny configuration") {
    CHECK(family_names() == test::tiny_families());
    for (const auto& name : family_names()) {
        const auto family = load_family(name);
        REQUIRE(family);
        CHECK(family->name == name);
        CHECK_FALSE(family->source.empty());
    }
}

TEST_CASE("family: a model type without a file has none") {
    CHECK_FALSE(load_family("mamba"));
    CHECK_FALSE(load_family("../configs/gpt2"));
    CHECK_FALSE(load_family(""));
}

TEST_CASE("family: keys, traits and module names come from the file, the rest from the defaults") {
    const auto family = load_family("gpt2");
    REQUIRE(family);
    CHECK(family->keys.front().keys == std::vector<std::string>{"n_embd", "hidden_size"});
    CHECK(family->keys.front().fallback == 768);
    CHECK(family->traits.norm == NormKind::layer);
    CHECK(family->traits.transposed);
    CHECK(family->traits.sliding == Sliding::none);
    CHECK(family->modules.qkv == "c_attn");
    CHECK(family->modules.lm_head == "lm_head");
}
