#include "planner/reshard.h"

#include "tests/support/catch.h"

using namespace tplan;

TEST_CASE("the collective follows from the two layouts") {
    const auto columns = [](int parts) {
        return Layout::columns({.kind = SplitKind::chunk, .dim = 1, .parts = parts});
    };
    const auto whole = Layout::replicated();
    const auto partial = Layout::partial();
    CHECK(reshard(partial, whole) == OpKind::all_reduce);
    CHECK(reshard(partial, columns(4)) == OpKind::reduce_scatter);
    CHECK(reshard(columns(4), whole) == OpKind::all_gather);
    CHECK(reshard(columns(4), columns(2)) == OpKind::all_to_all);
    CHECK(reshard(whole, columns(4)) == OpKind::slice);
    CHECK(reshard(whole, whole) == std::nullopt);
    CHECK(reshard(partial, partial) == std::nullopt);
    CHECK(reshard(columns(4), columns(4)) == std::nullopt);
}
