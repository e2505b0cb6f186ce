#include "executor/weights.h"

#include <cmath>
#include <numeric>

#include "tests/support/catch.h"

using namespace tplan;

namespace {

WeightPart part_of(const std::string& name, Slice rows, Slice columns,
                   WeightRole role = WeightRole::matrix) {
    WeightPart part;
    part.name = name;
    part.shape = {64, 1000};
    part.role = role;
    part.fan_in = 1000;
    part.rows = rows;
    part.columns = columns;
    part.stride = columns.extent;
    return part;
}

std::vector<float> take(const WeightSource& source, const WeightPart& part) {
    std::vector<float> out(static_cast<std::size_t>(part.rows.extent * part.stride));
    source(part, out.data());
    return out;
}

}  // namespace

TEST_CASE("any slice of a synthetic weight is that slice of the whole", "[executor]") {
    for (const auto& source : {synthetic_weights(3), whole_number_weights(3, 2)}) {
        const auto whole = take(source, part_of("w", {0, 64}, {0, 1000}));
        const auto part = take(source, part_of("w", {17, 5}, {333, 91}));
        for (std::size_t r = 0; r < 5; ++r) {
            for (std::size_t c = 0; c < 91; ++c) {
                CHECK(part[r * 91 + c] == whole[(17 + r) * 1000 + 333 + c]);
            }
        }
    }
}

TEST_CASE("synthetic matrices have variance 1 / fan_in and no pattern", "[executor]") {
    const auto whole = take(synthetic_weights(3), part_of("w", {0, 64}, {0, 1000}));
    const auto n = static_cast<double>(whole.size());
    double mean = 0, square = 0, beside = 0, below = 0;
    for (std::size_t i = 0; i < whole.size(); ++i) {
        const double x = whole[i];
        mean += x / n;
        square += x * x / n;
        if (i + 1 < whole.size()) beside += x * static_cast<double>(whole[i + 1]) / n;
        if (i + 1000 < whole.size()) below += x * static_cast<double>(whole[i + 1000]) / n;
    }
    // four standard errors of 64,000 samples: 4 / sqrt(64000) = 0.016 of the variance
    CHECK(std::abs(mean) < 0.016 * std::sqrt(0.001));
    CHECK(square == Catch::Approx(0.001).epsilon(0.016));
    CHECK(std::abs(beside) < 0.016 * 0.001);
    CHECK(std::abs(below) < 0.016 * 0.001);
}

TEST_CASE("seed and name choose the numbers", "[executor]") {
    const auto part = part_of("w", {0, 1}, {0, 10});
    CHECK(take(synthetic_weights(3), part) == take(synthetic_weights(3), part));
    CHECK(take(synthetic_weights(3), part) != take(synthetic_weights(4), part));
    CHECK(take(synthetic_weights(3), part) !=
          take(synthetic_weights(3), part_of("v", {0, 1}, {0, 10})));
}

TEST_CASE("roles choose the range", "[executor]") {
    const auto range = [](WeightRole role) {
        const auto values = take(synthetic_weights(1), part_of("w", {0, 1}, {0, 1000}, role));
        const auto [low, high] = std::minmax_element(values.begin(), values.end());
        return std::pair(*low, *high);
    };
    CHECK(range(WeightRole::norm).first > 0.9F);
    CHECK(range(WeightRole::norm).second < 1.1F);
    CHECK(range(WeightRole::norm_with_unit_offset).first < -0.09F);
    CHECK(range(WeightRole::norm_with_unit_offset).second < 0.1F);
    CHECK(range(WeightRole::bias).second < 0.1F);
}

TEST_CASE("whole numbers cover their range evenly", "[executor]") {
    const auto values = take(whole_number_weights(1, 2), part_of("w", {0, 64}, {0, 1000}));
    std::array<int, 5> counts{};
    for (const float v : values) {
        REQUIRE(v == std::floor(v));
        REQUIRE(std::abs(v) <= 2);
        ++counts[static_cast<std::size_t>(v + 2)];
    }
    for (const int count : counts) CHECK(std::abs(count - 12800) < 500);
}

TEST_CASE("tokens are below the vocabulary and follow the seed", "[executor]") {
    const auto ids = synthetic_tokens(5, 1000, 17);
    CHECK(ids.size() == 1000);
    for (const auto id : ids) CHECK((id >= 0 && id < 17));
    CHECK(ids == synthetic_tokens(5, 1000, 17));
    CHECK(ids != synthetic_tokens(6, 1000, 17));
}

TEST_CASE("cached keys of a position do not depend on what else is asked for", "[executor]") {
    CachePart part{.layer = 2, .sequence = 1, .kv_head = 3, .first = 0, .tokens = 10, .dim = 4};
    std::vector<float> all(40), some(12);
    synthetic_cache(9, part, all.data());
    part.first = 5;
    part.tokens = 3;
    synthetic_cache(9, part, some.data());
    CHECK(std::equal(some.begin(), some.end(), all.begin() + 20));
    part.values = true;
    std::vector<float> values(12);
    synthetic_cache(9, part, values.data());
    CHECK(values != some);
}
