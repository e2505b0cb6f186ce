#include "tests/support/golden.h"

#include "tests/support/catch.h"

using namespace tplan::test;

TEST_CASE("golden: names of this machine are taken out") {
    CHECK(replaced("/home/x/a and /home/x/b", "/home/x", "<root>") == "<root>/a and <root>/b");
    CHECK(replaced("aaa", "a", "aa") == "aaaaaa");
    CHECK(replaced("same", "other", "") == "same");
}
