#pragma once
/// Physical amounts as strong types. SI base units inside, always: seconds, bytes, floating point
/// operations. `Bytes / Bandwidth` is `Seconds`; `Seconds + Bytes` does not compile; a ratio of
/// like units is `double`. A multiply-add is 2 flops. Bandwidths are one direction per device.
/// Scale only in core/text.

#include <compare>

namespace tplan {

/// An amount with the dimension flop^F * byte^B * second^S.
template <int F, int B, int S>
struct Quantity {
    double value = 0;

    constexpr Quantity() = default;
    constexpr explicit Quantity(double amount) : value(amount) {}

    constexpr Quantity& operator+=(Quantity other) {
        value += other.value;
        return *this;
    }
    constexpr Quantity& operator-=(Quantity other) {
        value -= other.value;
        return *this;
    }
    constexpr Quantity& operator*=(double factor) {
        value *= factor;
        return *this;
    }
    friend constexpr Quantity operator+(Quantity a, Quantity b) {
        return Quantity(a.value + b.value);
    }
    friend constexpr Quantity operator-(Quantity a, Quantity b) {
        return Quantity(a.value - b.value);
    }
    friend constexpr Quantity operator*(Quantity a, double b) { return Quantity(a.value * b); }
    friend constexpr Quantity operator*(double a, Quantity b) { return Quantity(a * b.value); }
    friend constexpr Quantity operator/(Quantity a, double b) { return Quantity(a.value / b); }
    friend constexpr auto operator<=>(Quantity, Quantity) = default;
};

template <int F1, int B1, int S1, int F2, int B2, int S2>
constexpr auto operator*(Quantity<F1, B1, S1> a, Quantity<F2, B2, S2> b) {
    return Quantity<F1 + F2, B1 + B2, S1 + S2>(a.value * b.value);
}

template <int F1, int B1, int S1, int F2, int B2, int S2>
constexpr auto operator/(Quantity<F1, B1, S1> a, Quantity<F2, B2, S2> b) {
    if constexpr (F1 == F2 && B1 == B2 && S1 == S2) {
        return a.value / b.value;
    } else {
        return Quantity<F1 - F2, B1 - B2, S1 - S2>(a.value / b.value);
    }
}

using Flops = Quantity<1, 0, 0>;
using Bytes = Quantity<0, 1, 0>;
using Seconds = Quantity<0, 0, 1>;
using FlopRate = Quantity<1, 0, -1>;   // flops per second
using Bandwidth = Quantity<0, 1, -1>;  // bytes per second, one direction, per device

}  // namespace tplan
