#include "executor/cpu/simd.h"

#include <cmath>
#include <random>
#include <vector>

#include "core/json_io.h"
#include "tests/support/catch.h"

using namespace tplan;
using namespace tplan::cpu;

namespace {

std::size_t at(std::int64_t i) {
    return static_cast<std::size_t>(i);
}

/// Numbers of either sign around one.
std::vector<float> numbers(std::int64_t n, unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    std::vector<float> values;
    for (std::int64_t i = 0; i < n; ++i) values.push_back(normal(random));
    return values;
}

double largest_difference(const std::vector<float>& got, const std::vector<double>& expected) {
    REQUIRE(got.size() == expected.size());
    double largest = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
        largest = std::max(largest, std::abs(static_cast<double>(got[i]) - expected[i]));
    }
    return largest;
}

// Lengths around the width of a register and the block sizes of the loops.
const std::vector<std::int64_t> kLengths = {1, 2, 7, 8, 9, 31, 64, 255, 257, 1000};

// Single rounding errors of values of a few units.
constexpr double kLoopTolerance = 4e-6;

}  // namespace

TEST_CASE("gemm and gemv multiply odd shapes with gaps between rows", "[executor]") {
    for (const auto* set : simd_sets()) {
        for (const std::int64_t m : {1, 2, 5, 33}) {
            for (const std::int64_t n : {1, 3, 16, 65}) {
                for (const std::int64_t k : {1, 4, 67, 200}) {
                    INFO(set->name << " " << m << " " << n << " " << k);
                    const auto x = numbers(m * (k + 2), 1);
                    const auto w = numbers(n * (k + 3), 2);
                    std::vector<float> y(at(m * (n + 5)), 9.0F);
                    std::vector<double> expected(y.size(), 9.0);
                    for (std::int64_t i = 0; i < m; ++i) {
                        for (std::int64_t j = 0; j < n; ++j) {
                            double sum = 0;
                            for (std::int64_t l = 0; l < k; ++l) {
                                sum += static_cast<double>(x[at(i * (k + 2) + l)]) *
                                       static_cast<double>(w[at(j * (k + 3) + l)]);
                            }
                            expected[at(i * (n + 5) + j)] = sum;
                        }
                    }
                    set->gemm(m, n, k, x.data(), k + 2, w.data(), k + 3, y.data(), n + 5);
                    CHECK(largest_difference(y, expected) < 4e-5);
                    if (m > 1) continue;
                    std::fill_n(y.begin(), n, 0.0F);
                    set->gemv(n, k, x.data(), w.data(), k + 3, y.data());
                    CHECK(largest_difference(y, expected) < 4e-5);
                }
            }
        }
    }
}

TEST_CASE("sums of any number of sources are taken in order", "[executor]") {
    for (const auto* set : simd_sets()) {
        for (const auto n : kLengths) {
            for (int count = 1; count <= 5; ++count) {
                std::vector<std::vector<float>> sources;
                std::vector<const float*> pointers;
                std::vector<float> expected(at(n), 0.0F);
                for (int i = 0; i < count; ++i) {
                    sources.push_back(numbers(n, static_cast<unsigned>(i)));
                    for (std::int64_t j = 0; j < n; ++j) {
                        expected[at(j)] = i == 0 ? sources.back()[at(j)]
                                                 : expected[at(j)] + sources.back()[at(j)];
                    }
                }
                for (auto& source : sources) pointers.push_back(source.data());
                auto& last = sources.back();  // may be a target too
                std::vector<float> other(at(n));
                float* const targets[] = {last.data(), other.data()};
                set->sum(pointers.data(), count, targets, 2, n);
                CHECK(last == expected);
                CHECK(other == expected);
            }
        }
    }
}

TEST_CASE("norms scale a row by its spread, its weights and its bias", "[executor]") {
    for (const auto* set : simd_sets()) {
        for (const auto n : kLengths) {
            for (const bool offset : {false, true}) {
                const auto x = numbers(n, 3), w = numbers(n, 4), b = numbers(n, 5);
                double mean = 0, square = 0, variance = 0;
                for (const double v : x) mean += v / static_cast<double>(n);
                for (const double v : x) square += v * v / static_cast<double>(n);
                for (const double v : x) {
                    variance += (v - mean) * (v - mean) / static_cast<double>(n);
                }
                std::vector<double> rms, layer;
                for (std::size_t i = 0; i < x.size(); ++i) {
                    const double v = x[i], weight = w[i] + (offset ? 1.0 : 0.0);
                    rms.push_back(v / std::sqrt(square + 0.01) * weight);
                    layer.push_back((v - mean) / std::sqrt(variance + 0.01) * weight +
                                    static_cast<double>(b[i]));
                }
                std::vector<float> y(x.size());
                set->rms_norm({w.data(), nullptr, 0.01F, offset}, x.data(), y.data(), n);
                CHECK(largest_difference(y, rms) < kLoopTolerance);
                y = x;  // in place
                set->layer_norm({w.data(), b.data(), 0.01F, offset}, y.data(), y.data(), n);
                CHECK(largest_difference(y, layer) < kLoopTolerance);
            }
        }
    }
}

TEST_CASE("activations, with and without a gate, over their whole range", "[executor]") {
    const auto exact = [](ActivationKind kind, double x) {
        switch (kind) {
            case ActivationKind::silu:
                return x / (1 + std::exp(-x));
            case ActivationKind::gelu:
                return x / 2 * (1 + std::erf(x / std::sqrt(2.0)));
            case ActivationKind::gelu_tanh:
                return x / 2 * (1 + std::tanh(0.7978845608 * (x + 0.044715 * x * x * x)));
            default:
                return std::max(x, 0.0);
        }
    };
    for (const auto* set : simd_sets()) {
        for (const auto kind : {ActivationKind::silu, ActivationKind::gelu,
                                ActivationKind::gelu_tanh, ActivationKind::relu}) {
            INFO(set->name << " " << name_of(kind));
            std::vector<float> x = {0, -0.0F, 1e-30F, -90, 90, -1000, 1000};
            for (int i = -100; i <= 100; ++i) x.push_back(static_cast<float>(i) / 10);
            const auto up = numbers(static_cast<std::int64_t>(x.size()), 6);
            std::vector<double> plain, gated;
            for (std::size_t i = 0; i < x.size(); ++i) {
                plain.push_back(exact(kind, x[i]));
                gated.push_back(plain.back() * static_cast<double>(up[i]));
            }
            std::vector<float> y(x.size());
            const auto n = static_cast<std::int64_t>(x.size());
            set->activate(kind, x.data(), nullptr, y.data(), n);
            CHECK(largest_difference({y.begin() + 7, y.end()}, {plain.begin() + 7, plain.end()}) <
                  kLoopTolerance);
            for (std::size_t i = 0; i < 7; ++i) {
                CHECK(std::abs(static_cast<double>(y[i]) - plain[i]) <=
                      1e-6 * std::abs(plain[i]) + 1e-30);
            }
            y = x;  // in place
            set->activate(kind, y.data(), up.data(), y.data(), n);
            CHECK(largest_difference({y.begin() + 7, y.end()}, {gated.begin() + 7, gated.end()}) <
                  2e-5);
        }
    }
}

TEST_CASE("additions, multiplications and soft caps of a row", "[executor]") {
    for (const auto* set : simd_sets()) {
        for (const auto n : kLengths) {
            const auto a = numbers(n, 7), b = numbers(n, 8);
            std::vector<double> added, scaled, capped;
            for (std::size_t i = 0; i < a.size(); ++i) {
                const double x = a[i];
                added.push_back(x + 0.25 * static_cast<double>(b[i]));
                scaled.push_back(x * 0.75);
                capped.push_back(2 * std::tanh(3 * x / 2));
            }
            std::vector<float> y(a.size());
            set->add(a.data(), b.data(), 0.25F, y.data(), n);
            CHECK(largest_difference(y, added) < kLoopTolerance);
            set->multiply(a.data(), 0.75F, y.data(), n);
            CHECK(largest_difference(y, scaled) < kLoopTolerance);
            set->softcap(a.data(), 3, 2, y.data(), n);
            CHECK(largest_difference(y, capped) < kLoopTolerance);
        }
    }
}

TEST_CASE("rope turns pairs by their angle, as halves and interleaved", "[executor]") {
    for (const auto* set : simd_sets()) {
        for (const std::int64_t pairs : {1, 4, 13}) {
            for (const bool interleaved : {false, true}) {
                auto x = numbers(2 * pairs, 9);
                std::vector<float> cosine, sine;
                for (std::int64_t i = 0; i < pairs; ++i) {
                    cosine.push_back(std::cos(static_cast<float>(i)));
                    sine.push_back(std::sin(static_cast<float>(i)));
                }
                auto y = x;
                set->rope(y.data(), cosine.data(), sine.data(), y.data(), pairs, interleaved);
                for (std::int64_t i = 0; i < pairs; ++i) {
                    const auto first = at(interleaved ? 2 * i : i);
                    const auto second = first + at(interleaved ? 1 : pairs);
                    const float c = cosine[at(i)], s = sine[at(i)];
                    CHECK(y[first] == Catch::Approx(x[first] * c - x[second] * s).margin(1e-6));
                    CHECK(y[second] == Catch::Approx(x[second] * c + x[first] * s).margin(1e-6));
                }
            }
        }
    }
}

namespace {

struct AttentionCase {
    std::int64_t batch, query_tokens, tokens, heads, kv_heads, head_dim, v_dim, window;
    float softcap;
    bool sinks;
};

/// Softmax attention of one query row, the definition.
std::vector<double> attend(const AttentionCall& c, std::int64_t row, std::int64_t head) {
    const auto sequence = row / c.query_tokens;
    const auto last = c.first_query + row % c.query_tokens;
    const auto first = c.window > 0 ? std::max<std::int64_t>(0, last - c.window + 1) : 0;
    const auto cache = (sequence * c.kv_heads + c.kv_of_head[head]) * c.tokens;
    double total = c.sinks == nullptr ? 0 : std::exp(static_cast<double>(c.sinks[head]));
    std::vector<double> out(at(c.v_dim), 0.0);
    for (auto t = first; t <= last; ++t) {
        double score = 0;
        for (std::int64_t d = 0; d < c.head_dim; ++d) {
            score += static_cast<double>(c.q[row * c.q_stride + head * c.head_dim + d]) *
                     static_cast<double>(c.keys[(cache + t) * c.head_dim + d]);
        }
        score *= static_cast<double>(c.scale);
        const double cap = c.softcap;
        if (cap > 0) score = cap * std::tanh(score / cap);
        total += std::exp(score);
        for (std::int64_t d = 0; d < c.v_dim; ++d) {
            out[at(d)] +=
                std::exp(score) * static_cast<double>(c.values[(cache + t) * c.v_dim + d]);
        }
    }
    for (auto& x : out) x /= total;
    return out;
}

void check_attention(const Simd& set, const AttentionCase& a) {
    std::vector<std::int32_t> kv_of_head;
    for (std::int64_t h = 0; h < a.heads; ++h) {
        kv_of_head.push_back(static_cast<std::int32_t>(h * a.kv_heads / a.heads));
    }
    const auto rows = a.batch * a.query_tokens;
    AttentionCall c;
    c.batch = a.batch;
    c.query_tokens = a.query_tokens;
    c.heads = a.heads;
    c.kv_heads = a.kv_heads;
    c.head_dim = a.head_dim;
    c.v_dim = a.v_dim;
    c.tokens = a.tokens;
    c.first_query = a.tokens - a.query_tokens;
    c.kv_of_head = kv_of_head.data();
    c.q_stride = a.heads * a.head_dim + 3;
    c.out_stride = a.heads * a.v_dim + 1;
    c.scale = 0.4F;
    c.softcap = a.softcap;
    c.window = a.window;
    const auto q = numbers(rows * c.q_stride, 11);
    const auto keys = numbers(a.batch * a.kv_heads * a.tokens * a.head_dim, 12);
    const auto values = numbers(a.batch * a.kv_heads * a.tokens * a.v_dim, 13);
    const auto sinks = numbers(a.heads, 14);
    std::vector<float> out(at(rows * c.out_stride), 5.0F);
    std::vector<float> scratch(at(attention_scratch(c)));
    c.q = q.data();
    c.keys = keys.data();
    c.values = values.data();
    c.sinks = a.sinks ? sinks.data() : nullptr;
    c.out = out.data();
    c.scratch = scratch.data();
    set.attention(c);
    for (std::int64_t row = 0; row < rows; ++row) {
        for (std::int64_t h = 0; h < a.heads; ++h) {
            const auto expected = attend(c, row, h);
            const auto begin = out.begin() + row * c.out_stride + h * a.v_dim;
            CHECK(largest_difference({begin, begin + a.v_dim}, expected) < 5e-6);
        }
        CHECK(out[at((row + 1) * c.out_stride - 1)] == 5.0F);  // the gap is left alone
    }
}

}  // namespace

TEST_CASE("attention over blocks and streams is softmax attention", "[executor]") {
    const std::vector<AttentionCase> cases = {
        {1, 1, 1, 1, 1, 4, 4, 0, 0, false},       {2, 1, 37, 6, 2, 16, 16, 0, 0, false},
        {1, 1, 300, 8, 8, 20, 12, 0, 0, false},   {3, 1, 18, 7, 1, 9, 5, 0, 30, true},
        {1, 1, 50, 4, 2, 64, 64, 7, 0, false},    {1, 5, 5, 2, 1, 8, 8, 0, 0, false},
        {2, 65, 65, 4, 2, 16, 16, 0, 0, false},   {1, 130, 130, 3, 3, 10, 6, 0, 20, false},
        {1, 300, 300, 2, 1, 8, 8, 0, 0, true},    {2, 70, 70, 4, 2, 8, 8, 9, 0, true},
        {1, 270, 300, 2, 2, 8, 8, 100, 0, false},
    };
    for (const auto* set : simd_sets()) {
        for (const auto& a : cases) {
            INFO(set->name << " batch " << a.batch << " queries " << a.query_tokens << " tokens "
                           << a.tokens << " heads " << a.heads);
            check_attention(*set, a);
        }
    }
}

TEST_CASE("simd: products of plain and turned matrices are those of the definition, in every set") {
    constexpr std::int64_t kM = 5, kN = 7, kK = 3;
    std::vector<float> a(kM * kK), b(kK * kN);
    for (std::size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i % 5) - 2;
    for (std::size_t i = 0; i < b.size(); ++i) b[i] = static_cast<float>(i % 7) - 3;
    for (const auto* set : cpu::simd_sets()) {
        for (const int flags : {0, 1, 2, 3, 4, 5, 6, 7}) {
            INFO(set->name << " " << flags);
            const bool a_turned = (flags & 1) != 0, b_turned = (flags & 2) != 0;
            std::vector<float> c(kM * kN, 1.0F);
            cpu::ProductCall call;
            call.m = kM;
            call.n = kN;
            call.k = kK;
            call.a = a.data();
            call.a_stride = a_turned ? kM : kK;
            call.a_transposed = a_turned;
            call.b = b.data();
            call.b_stride = b_turned ? kK : kN;
            call.b_transposed = b_turned;
            call.c = c.data();
            call.c_stride = kN;
            call.accumulate = (flags & 4) != 0;
            set->product(call);
            for (std::int64_t i = 0; i < kM; ++i) {
                for (std::int64_t j = 0; j < kN; ++j) {
                    float sum = call.accumulate ? 1.0F : 0.0F;
                    for (std::int64_t l = 0; l < kK; ++l) {
                        sum += a[static_cast<std::size_t>(a_turned ? l * kM + i : i * kK + l)] *
                               b[static_cast<std::size_t>(b_turned ? j * kK + l : l * kN + j)];
                    }
                    CHECK(c[static_cast<std::size_t>(i * kN + j)] == sum);
                }
            }
        }
    }
}
