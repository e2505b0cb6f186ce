#include "executor/cpu/simd.h"

#include <algorithm>
#include <array>

namespace tplan::cpu {

namespace baseline {
const Simd& simd_set();
}
#ifdef TPLAN_SIMD_AVX2
namespace avx2 {
const Simd& simd_set();
}
#endif

namespace {

struct Sets {
    std::array<const Simd*, 2> all{};
    std::size_t count = 0;
};

/// The sets of this processor, the fastest last.
const Sets& sets() {
    static const Sets kSets = [] {
        Sets found;
        found.all[found.count++] = &baseline::simd_set();
#ifdef TPLAN_SIMD_AVX2
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
            found.all[found.count++] = &avx2::simd_set();
        }
#endif
        return found;
    }();
    return kSets;
}

}  // namespace

std::int64_t attention_scratch(const AttentionCall& c) {
    // All heads may belong to one group. Many queries: 64 of them stacked per head, against 256
    // keys at a time (simd/attention.h); one query: a score per head and key.
    if (c.query_tokens == 1) return c.heads * c.tokens;
    return c.heads * 64 * (c.head_dim + 256 + c.v_dim + 2);
}

const Simd& simd() {
    static const Simd& kFastest = *sets().all[sets().count - 1];
    return kFastest;
}

std::span<const Simd* const> simd_sets() {
    return {sets().all.data(), sets().count};
}

}  // namespace tplan::cpu
