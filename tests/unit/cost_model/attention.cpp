#include "cost_model/attention.h"

#include <cmath>

#include "core/error.h"
#include "cost_model/op_cost.h"
#include "tests/support/catch.h"
#include "tests/unit/cost_model/toy_hardware.h"

using namespace tplan;

namespace {

/// Two SMs of 1,000 flop/s, 100 bytes/s; tiles of 4 rows that take 2 keys at a time.
HardwareProfile two_sms() {
    auto h = test::toy_hardware();
    for (const auto* key : {"attention/prefill", "attention/decode"})
        h.sources.emplace_back(key, Source{SourceKind::assumed, "a test", "2026-01-01"});
    h.sm_count = 2;
    h.peaks = {{DType::bf16, FlopRate(2000)}};
    h.memory_bandwidth = Bandwidth(100);
    AttentionModel model;
    model.prefill = {.tile_rows = 4,
                     .tile_keys = 2,
                     .launch = Seconds(1),
                     .tile = Seconds(0.5),
                     .query_passes = 0,
                     .kv_passes = 0,
                     .grouped_kv_passes = 0,
                     .l2_flops_per_byte = 10,
                     .matrix_share = 1,
                     .softmax_flops_per_pair = 0,
                     .lone_tile_share = 1,
                     .tail_share = 0.5,
                     .half_width_short = 0.1,
                     .half_width_long = 0.2};
    model.decode = {{.grouped = true,
                     .least_split_keys = 4,
                     .launch = Seconds(1),
                     .merge = Seconds(0.25),
                     .tile = Seconds(0.5),
                     .tile_bandwidth = Bandwidth(10),
                     .tiles_per_sm = 1,
                     .memory_share = 1,
                     .l2_flops_per_byte = 10,
                     .half_width_cold = 0.1,
                     .half_width_warm = 0.2}};
    h.attention = model;
    return h;
}

/// 2 (5 + 5) = 20 flops a pair: 0.02 s on one of the SMs, 0.08 s a key for a tile.
StepShape core(double heads = 1, double kv_heads = 1) {
    return {.kind = OpKind::attention,
            .heads = heads,
            .kv_heads = kv_heads,
            .head_dim = 5,
            .v_head_dim = 5};
}

WorkSize prefill(double batch, double query, double cached) {
    return {
        .decode = false, .batch = batch, .query = query, .cached = cached, .tokens = batch * query};
}
WorkSize decode(double batch, double cached) {
    return {.decode = true, .batch = batch, .query = 1, .cached = cached, .tokens = batch};
}

KernelCost cost(const HardwareProfile& h, const StepShape& shape, const WorkSize& work) {
    return attention_cost(make_attention_pricer(h, shape, DType::bf16), work);
}

}  // namespace

TEST_CASE("prefill: one tile walks over whole blocks of keys") {
    const auto h = two_sms();
    CHECK(cost(h, core(), prefill(1, 4, 4)).seconds == Catch::Approx(1 + 0.5 + 4 * 0.08));
    CHECK(cost(h, core(), prefill(1, 3, 3)).seconds == Catch::Approx(1 + 0.5 + 4 * 0.08));
    CHECK(cost(h, core(), prefill(1, 2, 2)).seconds == Catch::Approx(1 + 0.5 + 2 * 0.08));
    CHECK(cost(h, core(), prefill(1, 4, 8)).seconds == Catch::Approx(1 + 0.5 + 8 * 0.08));
}

TEST_CASE("prefill: as many tiles as SMs take as long as the longest") {
    // Two tiles, of 4 and 8 keys; the longest has all 8.
    CHECK(cost(two_sms(), core(), prefill(1, 8, 8)).seconds == Catch::Approx(1 + 0.5 + 8 * 0.08));
}

TEST_CASE("prefill: two waves keep the SMs busy and leave half a tail") {
    // Four tiles of (8 + 2) / 2 = 5 keys on average: 0.9 s each, twice on each SM; the longest has
    // 1.14 s, of which what the mean of half a tile does not hide counts half.
    const double tail = 1.14 - 0.9 / 2;
    CHECK(cost(two_sms(), core(2), prefill(1, 8, 8)).seconds ==
          Catch::Approx(1 + 2 * 0.9 + tail / 2));
    CHECK(cost(two_sms(), core(1), prefill(2, 8, 8)).seconds ==
          Catch::Approx(1 + 2 * 0.9 + tail / 2));
}

TEST_CASE("prefill: exponentials cost matrix flops, a lone tile runs slower") {
    auto h = two_sms();
    h.attention->prefill.softmax_flops_per_pair = 20;
    CHECK(cost(h, core(), prefill(1, 4, 4)).seconds == Catch::Approx(1 + 0.5 + 4 * 0.16));
    h.attention->prefill.lone_tile_share = 0.5;
    CHECK(cost(h, core(), prefill(1, 4, 4)).seconds == Catch::Approx(1 + 2 * (0.5 + 4 * 0.16)));
}

TEST_CASE("prefill: a window hides keys") {
    auto narrow = core();
    narrow.window = 4;
    const auto h = two_sms();
    CHECK(cost(h, narrow, prefill(1, 4, 4)).seconds == cost(h, core(), prefill(1, 4, 4)).seconds);
    CHECK(cost(h, narrow, prefill(1, 64, 64)).seconds <
          0.5 * cost(h, core(), prefill(1, 64, 64)).seconds);
}

TEST_CASE("prefill: queries, keys and values pass through memory") {
    auto h = two_sms();
    h.attention->prefill.query_passes = 2;
    h.attention->prefill.kv_passes = 3;
    h.attention->prefill.grouped_kv_passes = 5;
    // 4 tokens of 2 bytes; 2 heads x 5 columns twice, 1 KV head x 10 columns three times.
    CHECK(cost(h, core(2, 1), prefill(1, 4, 4)).memory == Catch::Approx(8 * (20 + 30) / 100.0));
    CHECK(cost(h, core(4, 2), prefill(1, 4, 4)).memory == Catch::Approx(8 * (40 + 100) / 100.0));
    h.l2_cache = Bytes(1e6);  // all of it fits: 10 flops a byte
    CHECK(cost(h, core(2, 1), prefill(1, 4, 4)).memory == Catch::Approx(400 * 10 / 2000.0));
}

TEST_CASE("decode: few sequences are split along the keys, many are not") {
    const auto h = two_sms();
    const auto shape = core(2, 1);  // 10 columns of 2 bytes: 20 bytes a key, 16 s for 8 keys
    CHECK(cost(h, shape, decode(1, 8)).seconds == Catch::Approx(1 + 0.25 + 0.5 + 16 / 2));
    CHECK(cost(h, shape, decode(1, 4)).seconds ==
          Catch::Approx(1 + 0.5 + 8));  // too short to split
    CHECK(cost(h, shape, decode(2, 8)).seconds == Catch::Approx(1 + 0.5 + 16));
    CHECK(cost(h, shape, decode(4, 8)).seconds == Catch::Approx(1 + 2 * (0.5 + 16)));
    auto whole = h;
    whole.attention->decode[0].splits = false;
    CHECK(cost(whole, shape, decode(1, 8)).seconds == Catch::Approx(1 + 0.5 + 16));
}

TEST_CASE("decode: memory binds when tiles read faster than it") {
    auto h = two_sms();
    h.attention->decode[0].tile_bandwidth = Bandwidth(1e9);
    const auto shape = core(2, 1);
    CHECK(cost(h, shape, decode(4, 8)).seconds == Catch::Approx(1 + 4 * 160 / 100.0));
    h.attention->decode[0].overlap = 0;
    CHECK(cost(h, shape, decode(4, 8)).seconds == Catch::Approx(1 + 4 * 160 / 100.0 + 2 * 0.5));
    h.attention->decode[0].ramp = Seconds(3);
    h.l2_cache = Bytes(640);  // half of the ramp at as many bytes
    CHECK(cost(h, shape, decode(4, 8)).seconds ==
          Catch::Approx(1 + 4 * 160 / 100.0 + 2 * 0.5 + 1.5));
}

TEST_CASE("decode: a warm cache is read from the last-level cache while it fits") {
    auto h = two_sms();
    h.attention->decode[0].tile_bandwidth = Bandwidth(1e9);
    h.l2_cache = Bytes(1e6);
    auto work = decode(4, 8);
    work.residency = Residency::warm;
    CHECK(cost(h, core(2, 1), work).memory == Catch::Approx(640 * 10 / 2000.0));
    h.l2_cache = Bytes(64);
    CHECK(cost(h, core(2, 1), work).memory == Catch::Approx(640 / 100.0));
}

TEST_CASE("decode: a window bounds the keys that are read") {
    auto narrow = core(2, 1);
    narrow.window = 4;
    const auto h = two_sms();
    CHECK(cost(h, narrow, decode(1, 100)).seconds == cost(h, narrow, decode(1, 4)).seconds);
    CHECK(cost(h, narrow, decode(1, 4)).seconds == cost(h, core(2, 1), decode(1, 4)).seconds);
}

TEST_CASE("decode over a latent reads it once for all heads and computes for each") {
    auto h = two_sms();
    h.attention->decode[0].tile_bandwidth = Bandwidth(1e9);
    auto shape = core(64, 64);
    shape.latent_width = 11;
    shape.latent_rope = 1;
    const auto price = cost(h, shape, decode(1, 8));
    CHECK(price.memory == Catch::Approx(8 * 11 * 2 / 100.0));
    CHECK(price.compute == Catch::Approx(0.5 + 2 * 64 * 8 * (2 * 11 - 1) / 2000.0));
}

TEST_CASE("a one-token prompt decodes where the engine does that") {
    auto h = two_sms();
    const auto one = prefill(1, 1, 1);
    CHECK(cost(h, core(2, 1), one).seconds == Catch::Approx(1 + 0.5 + 2 * 0.08));
    h.attention->prefill.decodes_one_token = true;
    CHECK(cost(h, core(2, 1), one).seconds == cost(h, core(2, 1), decode(1, 1)).seconds);
}

TEST_CASE("the interval widens where nothing was measured") {
    auto h = two_sms();
    auto shape = core(2, 1);
    shape.head_dim = shape.v_head_dim = 64;
    const auto short_one = cost(h, shape, prefill(1, 8, 8));
    CHECK(short_one.half_width == 0.1);
    CHECK_FALSE(short_one.inside);  // every figure of the toy is assumed
    for (auto& [key, source] : h.sources) source.kind = SourceKind::measured;
    CHECK(cost(h, shape, prefill(1, 8, 8)).inside);
    CHECK(cost(h, shape, prefill(512, 8, 8)).half_width == 0.2);
    CHECK(cost(h, shape, prefill(1, 4, 8)).half_width > 0.1);  // behind a prefix
    CHECK_FALSE(cost(h, shape, prefill(1, 4, 8)).inside);
    CHECK(cost(h, shape, decode(1, 8)).half_width == 0.1);
    shape.heads = 17;  // over one KV head
    CHECK(cost(h, shape, decode(1, 8)).half_width == Catch::Approx(0.2));
    shape.heads = 2;
    shape.head_dim = shape.v_head_dim = 256;
    CHECK(cost(h, shape, decode(1, 8)).half_width == Catch::Approx(0.15));
    shape.latent_width = 576;
    CHECK(cost(h, shape, decode(1, 8)).half_width == Catch::Approx(0.2));
}

TEST_CASE("shipped attention models: more work is never faster, more bandwidth never slower") {
    int models = 0;
    for (const auto& name : hardware_names()) {
        const auto h = load_hardware(name);
        if (!h.attention) continue;
        ++models;
        INFO(name);
        auto wide = h;
        wide.memory_bandwidth = h.memory_bandwidth * 2;
        for (const bool decoding : {false, true}) {
            for (const double heads : {8.0, 32.0}) {
                const auto work = [&](double batch, double tokens) {
                    return decoding ? decode(batch, tokens) : prefill(batch, tokens, tokens);
                };
                StepShape shape = core(heads, 4);
                shape.head_dim = shape.v_head_dim = 128;
                StepShape more_heads = shape, more_kv = shape;
                more_heads.heads = 2 * heads;
                more_kv.kv_heads = heads / 2;
                for (double batch = 1; batch <= 256; batch *= 2) {
                    for (double tokens = 2; tokens <= 32768; tokens *= 1.5) {
                        const auto at = std::ceil(tokens);
                        const double base = cost(h, shape, work(batch, at)).seconds;
                        const double slack = 1 + 1e-12;
                        INFO(decoding << " " << heads << " " << batch << " " << at);
                        CHECK(cost(h, shape, work(batch + 1, at)).seconds * slack >= base);
                        CHECK(cost(h, shape, work(batch, at + 7)).seconds * slack >= base);
                        CHECK(cost(h, more_heads, work(batch, at)).seconds * slack >= base);
                        CHECK(cost(h, more_kv, work(batch, at)).seconds * slack >= base);
                        CHECK(cost(wide, shape, work(batch, at)).seconds <= base * slack);
                    }
                }
            }
        }
    }
    CHECK(models >= 13);
}

TEST_CASE("an attention model out of range names the parameter") {
    auto model = *two_sms().attention;
    CHECK_NOTHROW(check_attention_model(model, "x"));
    model.prefill.matrix_share = 1.5;
    CHECK_THROWS_WITH(check_attention_model(model, "x"), Catch::Contains("x/prefill/matrix_share"));
    model = *two_sms().attention;
    model.decode[0].overlap = -1;
    CHECK_THROWS_WITH(check_attention_model(model, "x"), Catch::Contains("x/decode/0/overlap"));
    model = *two_sms().attention;
    model.decode.push_back(model.decode[0]);
    CHECK_THROWS_WITH(check_attention_model(model, "x"), Catch::Contains("second row"));
    model.decode.clear();
    CHECK_THROWS_WITH(check_attention_model(model, "x"), Catch::Contains("at least one row"));
}
