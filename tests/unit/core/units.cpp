#include "core/units.h"

#include <type_traits>

#include "tests/support/catch.h"

using namespace tplan;

namespace {

template <class A, class B>
concept Addable = requires(A a, B b) {
    a + b;
};
template <class A, class B>
concept Comparable = requires(A a, B b) {
    a < b;
};
template <class A, class B>
concept Assignable = requires(A a, B b) {
    a = b;
};

// What must not compile is the point of strong types, so it is tested where it fails.
static_assert(Addable<Seconds, Seconds>);
static_assert(!Addable<Seconds, Bytes>);
static_assert(!Addable<Seconds, double>);
static_assert(!Comparable<Bytes, Flops>);
static_assert(!Comparable<Bandwidth, double>);
static_assert(!Assignable<Seconds, double>);
static_assert(!Assignable<Bytes, Flops>);
static_assert(!std::is_convertible_v<double, Seconds>);
static_assert(!std::is_convertible_v<Seconds, double>);

static_assert(std::is_same_v<decltype(Bytes(1) / Bandwidth(1)), Seconds>);
static_assert(std::is_same_v<decltype(Flops(1) / FlopRate(1)), Seconds>);
static_assert(std::is_same_v<decltype(Bytes(1) / Seconds(1)), Bandwidth>);
static_assert(std::is_same_v<decltype(Bandwidth(1) * Seconds(1)), Bytes>);
static_assert(std::is_same_v<decltype(Seconds(1) / Seconds(1)), double>);
static_assert(std::is_same_v<decltype(2.0 * Bytes(1)), Bytes>);
static_assert(sizeof(Seconds) == sizeof(double) && std::is_trivially_copyable_v<Seconds>);

}  // namespace

TEST_CASE("units: arithmetic keeps the amount in SI") {
    CHECK((Bytes(600) / Bandwidth(200)).value == 3.0);
    CHECK(Seconds(6) / Seconds(4) == 1.5);
    CHECK((Bytes(10) - Bytes(4) + Bytes(1)).value == 7.0);
    CHECK((3 * Flops(2)).value == 6.0);
    CHECK((Flops(7) / 2).value == 3.5);
}

TEST_CASE("units: in-place operations") {
    Seconds total;
    CHECK(total.value == 0.0);
    total += Seconds(2);
    total -= Seconds(0.5);
    total *= 4;
    CHECK(total == Seconds(6));
}

TEST_CASE("units: amounts of one unit are ordered") {
    CHECK(Bytes(1) < Bytes(2));
    CHECK(Bytes(2) >= Bytes(2));
    CHECK(Bytes(1) != Bytes(2));
}
