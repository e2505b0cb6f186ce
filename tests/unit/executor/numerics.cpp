#include "executor/numerics.h"

#include "tests/support/catch.h"

using namespace tplan;

TEST_CASE("numerics: another token is as wrong as the largest logit is large") {
    const Outputs tokens{
        .rows = 2, .width = 1, .values = {8, -4}, .greedy = {17, 3}, .chosen = true};
    auto other = tokens;
    CHECK(deviation(other, tokens).max_rel == 0);
    other.values[1] = -4.5F;
    CHECK(deviation(other, tokens).max_rel == 0.5 / 8);
    other.greedy[1] = 2;
    CHECK(deviation(other, tokens).max_rel == 1);
    // Where 16 bits rounded the logits, another token of nearly the same logit may be first.
    other.rounded = true;
    CHECK(deviation(other, tokens).max_rel == 0.5 / 8);
    other.rounded = false;
    // Logits are compared as they are: which of two close ones is larger is no matter.
    other.chosen = false;
    auto logits = tokens;
    logits.chosen = false;
    CHECK(deviation(other, logits).max_rel == 0.5 / 8);
}
