#include "executor/cpu/largest.h"

#include <cmath>
#include <limits>

#include "models/sampling.h"
#include "tests/support/catch.h"
#include "tests/unit/executor/owned_matrix.h"

using namespace tplan;
using test::Owned;

namespace {

/// The `count` largest of one row of values, or of pairs, as (value, index) pairs.
std::vector<float> largest_of(std::vector<float> row, std::vector<Slice> columns, int count,
                              bool of_pairs = false) {
    Step step{.kind = OpKind::largest};
    step.spec.largest = LargestSpec{.of_pairs = of_pairs};
    Owned in(1, static_cast<std::int64_t>(row.size()), 3), out(1, 2 * count, 1);
    for (std::size_t i = 0; i < row.size(); ++i) in.at(0, static_cast<std::int64_t>(i)) = row[i];
    BoundStep bound;
    bound.step = &step;
    bound.inputs = {in.view};
    bound.outputs = {out.view};
    bound.columns = std::move(columns);
    cpu::keep_largest(bound);
    CHECK(out.data.back() == -7.0F);  // nothing beside the row
    return {out.data.begin(), out.data.end() - 1};
}

using Row = std::vector<float>;

}  // namespace

TEST_CASE("largest: of equals the lower index, indices of the whole") {
    CHECK(largest_of({3, 7, 7, 1}, {{0, 4}}, 1) == Row{7, 1});
    CHECK(largest_of({3, 7, 7, 1}, {{100, 4}}, 1) == Row{7, 101});
    // Two pieces: columns 0, 1 and 10, 11 of the whole.
    CHECK(largest_of({3, 7, 8, 1}, {{0, 2}, {10, 2}}, 1) == Row{8, 10});
    CHECK(largest_of({-5, -4}, {{0, 2}}, 1) == Row{-4, 1});
}

TEST_CASE("largest: several in falling order") {
    CHECK(largest_of({3, 7, 9, 7}, {{0, 4}}, 3) == Row{9, 2, 7, 1, 7, 3});
    CHECK(largest_of({1, 2, 3, 4}, {{0, 4}}, 4) == Row{4, 3, 3, 2, 2, 1, 1, 0});
}

TEST_CASE("largest: of pairs, wherever the lower index stands") {
    CHECK(largest_of({7, 40, 9, 30, 9, 20}, {}, 1, true) == Row{9, 20});
}

TEST_CASE("largest: a rank without columns leaves what loses against anything") {
    CHECK(largest_of({}, {}, 1) == Row{kNoValue, kNoIndex});
    CHECK(largest_of({kNoValue, kNoIndex, kNoValue, 5}, {}, 1, true) == Row{kNoValue, 5});
    CHECK(largest_of({2}, {{8, 1}}, 2) == Row{2, 8, kNoValue, kNoIndex});
}

TEST_CASE("largest: a value that is no number is not lost") {
    const auto found = largest_of({3, std::numeric_limits<float>::quiet_NaN(), 9}, {{0, 3}}, 1);
    CHECK(std::isnan(found[0]));
    CHECK(found[1] == 1);
}
