#include "cost_model/passes.h"

#include "core/error.h"
#include "cost_model/hardware.h"
#include "tests/support/catch.h"
#include "tests/unit/cost_model/toy_hardware.h"

using namespace tplan;

namespace {

/// Two SMs of two rows at a time, 100 bytes/s of which half is reached.
HardwareProfile two_sms() {
    auto h = test::toy_hardware();
    h.sm_count = 2;
    h.memory_bandwidth = Bandwidth(100);
    PassModel norm{.op = OpKind::norm,
                   .launch = Seconds(1),
                   .element = Seconds(0.01),
                   .rows_per_sm = 2,
                   .memory_share = 0.5,
                   .overlap = 1,
                   .half_width = 0.2};
    auto add = norm;
    add.op = OpKind::add;
    add.launch = Seconds(3);
    h.passes = std::vector{norm, add};
    return h;
}

/// Rows of 10 elements, 20 bytes.
KernelCost cost(const HardwareProfile& h, OpKind op, double rows, double fixed_bytes = 0) {
    return pass_cost(make_pass_pricer(h, op, 10, 20, fixed_bytes), rows);
}

}  // namespace

TEST_CASE("a pass takes its bytes, or its rows in rounds over the SMs") {
    auto h = two_sms();
    CHECK(cost(h, OpKind::norm, 4).seconds == Catch::Approx(1 + 4 * 20 / 50.0));
    CHECK(cost(h, OpKind::norm, 4, 10).seconds == Catch::Approx(1 + 90 / 50.0));
    (*h.passes)[0].overlap = 0;
    CHECK(cost(h, OpKind::norm, 1).seconds == Catch::Approx(1 + 0.4 + 0.1));
    CHECK(cost(h, OpKind::norm, 4).seconds == Catch::Approx(1 + 1.6 + 0.1));
    CHECK(cost(h, OpKind::norm, 8).seconds == Catch::Approx(1 + 3.2 + 0.2));
    h.memory_bandwidth = Bandwidth(1e9);
    (*h.passes)[0].overlap = 1;
    CHECK(cost(h, OpKind::norm, 8).seconds == Catch::Approx(1 + 0.2));
}

TEST_CASE("a pass without a row goes by one of its kind, with a wider interval") {
    auto h = two_sms();
    for (auto& [key, source] : h.sources) source.kind = SourceKind::measured;
    CHECK(cost(h, OpKind::norm, 1).half_width == 0.2);
    CHECK(cost(h, OpKind::norm, 1).inside);
    CHECK(cost(h, OpKind::add_norm, 1).seconds == cost(h, OpKind::norm, 1).seconds);
    CHECK(cost(h, OpKind::add_norm, 1).half_width == Catch::Approx(0.3));
    CHECK(cost(h, OpKind::add_norm, 1).inside);
    CHECK(cost(h, OpKind::rope, 1).launch == 3);
    CHECK(cost(h, OpKind::embedding, 1).launch == 3);
    // Nothing of its kind: add's row stands for it, and that tells little.
    CHECK_FALSE(cost(h, OpKind::embedding, 1).inside);
    CHECK_FALSE(cost(h, OpKind::select_last, 1).inside);
}

TEST_CASE("picking the last rows is a lookup of rows") {
    auto h = two_sms();
    for (auto& [key, source] : h.sources) source.kind = SourceKind::measured;
    auto lookup = h.passes->front();
    lookup.op = OpKind::embedding;
    lookup.launch = Seconds(7);
    h.passes->push_back(lookup);
    CHECK(cost(h, OpKind::select_last, 1).launch == 7);
    CHECK(cost(h, OpKind::select_last, 1).inside);
    CHECK(cost(h, OpKind::select_last, 1).half_width == Catch::Approx(0.3));
}

TEST_CASE("finding the largest reduces rows as a norm does, wider than any") {
    auto h = two_sms();
    for (auto& [key, source] : h.sources) source.kind = SourceKind::measured;
    CHECK(cost(h, OpKind::largest, 1).seconds == cost(h, OpKind::norm, 1).seconds);
    CHECK(cost(h, OpKind::largest, 1).half_width == Catch::Approx(0.3));
    CHECK_FALSE(cost(h, OpKind::largest, 1).inside);
}

TEST_CASE("pass models: add must be there, once, and in range") {
    auto models = *two_sms().passes;
    CHECK_NOTHROW(check_pass_models(models, "x"));
    models[0].memory_share = 0;
    CHECK_THROWS_WITH(check_pass_models(models, "x"), Catch::Contains("x/0/memory_share"));
    models = *two_sms().passes;
    models[0].op = OpKind::add;
    CHECK_THROWS_WITH(check_pass_models(models, "x"), Catch::Contains("a second add"));
    models.clear();
    CHECK_THROWS_WITH(check_pass_models(models, "x"), Catch::Contains("add"));
}
