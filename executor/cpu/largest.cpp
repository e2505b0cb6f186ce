#include "executor/cpu/largest.h"

#include <cassert>
#include <cmath>

#include "models/sampling.h"

namespace tplan::cpu {
namespace {

struct Candidate {
    float value = kNoValue, index = kNoIndex;
};

bool before(const Candidate& a, const Candidate& b) {
    const bool a_nan = std::isnan(a.value), b_nan = std::isnan(b.value);
    if (a_nan != b_nan) return a_nan;
    if (a.value == b.value || a_nan) return a.index < b.index;
    return a.value > b.value;
}

/// Puts a candidate in its place among the best so far; the last of them drops out.
void insert(const Candidate& candidate, float* pairs, std::int64_t count) {
    const auto at = [pairs](std::int64_t i) { return Candidate{pairs[2 * i], pairs[2 * i + 1]}; };
    if (!before(candidate, at(count - 1))) return;
    auto place = count - 1;
    for (; place > 0 && before(candidate, at(place - 1)); --place) {
        pairs[2 * place] = pairs[2 * place - 2];
        pairs[2 * place + 1] = pairs[2 * place - 1];
    }
    pairs[2 * place] = candidate.value;
    pairs[2 * place + 1] = candidate.index;
}

}  // namespace

void keep_largest(const BoundStep& s) {
    const auto& in = s.inputs[0];
    const auto& out = s.outputs[0];
    const auto count = out.columns / 2;
    assert(out.columns % 2 == 0 && count > 0);
    for (std::int64_t r = 0; r < out.rows; ++r) {
        const float* x = in.row(r);
        float* pairs = out.row(r);
        for (std::int64_t i = 0; i < count; ++i) {
            pairs[2 * i] = kNoValue;
            pairs[2 * i + 1] = kNoIndex;
        }
        if (s.step->spec.largest->of_pairs) {
            for (std::int64_t i = 0; i < in.columns; i += 2) insert({x[i], x[i + 1]}, pairs, count);
            continue;
        }
        for (const auto& part : s.columns) {
            for (std::int64_t i = 0; i < part.extent; ++i)
                insert({x[i], static_cast<float>(part.offset + i)}, pairs, count);
            x += part.extent;
        }
    }
}

}  // namespace tplan::cpu
