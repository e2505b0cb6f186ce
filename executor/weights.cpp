#include "executor/weights.h"

#include <cassert>
#include <cmath>
#include <string_view>

namespace tplan {
namespace {

// Every number is a function of (stream, row, column): the stream is a 64-bit hash of seed and
// name, a row's key a 32-bit hash of stream and row, an element a 32-bit hash of key and column.
// Only the last is in the inner loop, and 32-bit arithmetic runs eight at a time.

/// Spreads every input bit over the word: two rounds of xor-shift and multiplication by an odd
/// constant (the fractional bits of the square roots of 2 and 3).
constexpr std::uint32_t mixed(std::uint32_t x) {
    x ^= x >> 16;
    x *= 0x6a09e667U;
    x ^= x >> 15;
    x *= 0xbb67ae85U;
    x ^= x >> 16;
    return x;
}

constexpr std::uint64_t combine(std::uint64_t a, std::uint64_t b) {
    a = (a ^ b) * 0x9e3779b97f4a7c15U;
    return a ^ (a >> 29) ^ (static_cast<std::uint64_t>(mixed(static_cast<std::uint32_t>(a))) << 32);
}

std::uint64_t stream_of(std::uint64_t seed, std::string_view name) {
    auto stream = combine(0x5bf03635U, seed);
    for (const char c : name) stream = combine(stream, static_cast<unsigned char>(c));
    return stream;
}

std::uint32_t row_key(std::uint64_t stream, std::int64_t row) {
    return static_cast<std::uint32_t>(combine(stream, static_cast<std::uint64_t>(row)) >> 32);
}

/// Elements [first, first + n) of a row as signed 24-bit numbers: exact in a float.
[[gnu::always_inline]] inline void raw_loop(std::uint32_t key, std::uint32_t first, float* out,
                                            std::int64_t n) {
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) {
        const auto bits = mixed(key + (first + static_cast<std::uint32_t>(i)) * 0x9e3779b9U);
        out[i] = static_cast<float>(static_cast<std::int32_t>(bits) >> 8);
    }
}

#if defined(__x86_64__)
[[gnu::target("avx2")]] void raw_avx2(std::uint32_t key, std::uint32_t first, float* out,
                                      std::int64_t n) {
    raw_loop(key, first, out, n);
}
#endif

void raw(std::uint32_t key, std::int64_t first, float* out, std::int64_t n) {
#if defined(__x86_64__)
    static const bool kWide = __builtin_cpu_supports("avx2") != 0;
    if (kWide) return raw_avx2(key, static_cast<std::uint32_t>(first), out, n);
#endif
    raw_loop(key, static_cast<std::uint32_t>(first), out, n);
}
constexpr float kRawUnit = 1.0F / 8388608.0F;  // brings raw numbers into [-1, 1)

/// offset + uniform in (-amplitude, amplitude).
void uniform_row(std::uint32_t key, std::int64_t first, float amplitude, float offset, float* out,
                 std::int64_t n) {
    raw(key, first, out, n);
    const float unit = amplitude * kRawUnit;
    for (std::int64_t i = 0; i < n; ++i) out[i] = offset + out[i] * unit;
}

struct Range {
    float amplitude = 1, offset = 0;
};
Range range_of(const WeightPart& part) {
    switch (part.role) {
        case WeightRole::matrix:  // a uniform number in (-a, a) has variance a^2 / 3
            return {std::sqrt(3.0F / static_cast<float>(part.fan_in)), 0};
        case WeightRole::norm:
            return {0.1F, 1};
        case WeightRole::norm_with_unit_offset:
        case WeightRole::bias:
            return {0.1F, 0};
        case WeightRole::sinks:
            return {1, 0};
    }
    return {};
}

}  // namespace

WeightRole weight_role(OpKind kind, const OpSpec& spec, std::size_t slot) {
    switch (kind) {
        case OpKind::norm:
        case OpKind::add_norm:
            if (slot > 0) return WeightRole::bias;
            return spec.norm->unit_offset ? WeightRole::norm_with_unit_offset : WeightRole::norm;
        case OpKind::attention:
            return WeightRole::sinks;
        case OpKind::linear:
        case OpKind::moe_router:
            return slot > 0 ? WeightRole::bias : WeightRole::matrix;
        case OpKind::moe_experts:
            return slot > 1 ? WeightRole::bias : WeightRole::matrix;
        default:
            return WeightRole::matrix;
    }
}

std::int64_t fan_in_of(const std::vector<std::int64_t>& shape, bool transposed) {
    return shape.size() < 2 ? 1 : shape[shape.size() - (transposed ? 2 : 1)];
}

WeightSource synthetic_weights(std::uint64_t seed) {
    return [seed](const WeightPart& part, float* out) {
        const auto stream = stream_of(seed, part.name);
        const auto range = range_of(part);
        for (std::int64_t r = 0; r < part.rows.extent; ++r) {
            uniform_row(row_key(stream, part.rows.offset + r), part.columns.offset, range.amplitude,
                        range.offset, out + r * part.stride, part.columns.extent);
        }
    };
}

WeightSource whole_number_weights(std::uint64_t seed, std::int32_t limit) {
    return [seed, limit](const WeightPart& part, float* out) {
        const auto stream = stream_of(seed, part.name);
        const auto choices = static_cast<float>(2 * limit + 1);
        for (std::int64_t r = 0; r < part.rows.extent; ++r) {
            float* row = out + r * part.stride;
            raw(row_key(stream, part.rows.offset + r), part.columns.offset, row,
                part.columns.extent);
            for (std::int64_t i = 0; i < part.columns.extent; ++i) {
                const float unit = (row[i] * kRawUnit + 1) / 2;  // [0, 1)
                row[i] = std::floor(unit * choices) - static_cast<float>(limit);
            }
        }
    };
}

std::vector<std::int32_t> synthetic_tokens(std::uint64_t seed, std::int64_t count,
                                           std::int64_t vocab) {
    assert(vocab > 0);
    const auto key = row_key(stream_of(seed, "tokens"), 0);
    std::vector<std::int32_t> ids;
    for (std::int64_t i = 0; i < count; ++i) {
        const auto bits = mixed(key + static_cast<std::uint32_t>(i) * 0x9e3779b9U);
        ids.push_back(static_cast<std::int32_t>(bits % static_cast<std::uint64_t>(vocab)));
    }
    return ids;
}

void synthetic_cache(std::uint64_t seed, const CachePart& part, float* out) {
    auto stream = stream_of(seed, part.values ? "cached values" : "cached keys");
    stream = combine(stream, static_cast<std::uint64_t>(part.layer));
    stream = combine(stream, static_cast<std::uint64_t>(part.sequence));
    stream = combine(stream, static_cast<std::uint64_t>(part.kv_head));
    const float amplitude = std::sqrt(3.0F);  // variance 1, as projections of normed activations
    for (std::int64_t t = 0; t < part.tokens; ++t) {
        uniform_row(row_key(stream, part.first + t), 0, amplitude, 0, out + t * part.dim, part.dim);
    }
}

}  // namespace tplan
