#pragma once
#include <string>
#include <string_view>

/// What the models of kernels (attention, experts, passes over memory) share: the price they give,
/// terms of their formulas, checks of their parameters.

namespace tplan {

/// Price of one op by a model of its kernels.
struct KernelCost {
    double seconds = 0;
    double launch = 0;               // the fixed part of it
    double compute = 0, memory = 0;  // what the SMs and what the memory would take alone
    double half_width = 0.3;         // of the 90 % interval, as a fraction
    bool inside = true;              // false: a kind of shape, kernel or device not measured
    bool waits = false;              // `compute` is a wait for one row after another
    bool transferred = false;        // by parameters of another device, scaled by datasheets
};

/// SMs and memory at work together; `overlap` is the share of the shorter that is hidden.
double together(double compute, double memory, double overlap);

/// Throw Error naming `where`/`key` and the value.
void require_positive(double value, const std::string& where, std::string_view key);
void require_not_negative(double value, const std::string& where, std::string_view key);
void require_fraction(double value, const std::string& where, std::string_view key);  // (0, 1]
void require_share(double value, const std::string& where, std::string_view key);     // [0, 1]

/// Share of `bytes` that comes from memory where a cache holds `fits`: x^4 / (1 + x^4) with
/// x = bytes / fits, as least-recently-used replacement loses all of a set a little too large.
double missing_share(double bytes, double fits);

}  // namespace tplan
