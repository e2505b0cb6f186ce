#include "cost_model/kernel.h"

#include <algorithm>

#include "core/error.h"
#include "core/text.h"

namespace tplan {

namespace {

void require(bool holds, const std::string& where, std::string_view key, double value,
             const char* expected) {
    if (holds) return;
    throw Error(fmt::format("{}/{}", where, key),
                fmt::format("expected {}, got {}", expected, value));
}

}  // namespace

double together(double compute, double memory, double overlap) {
    return compute + memory - overlap * std::min(compute, memory);
}

void require_positive(double value, const std::string& where, std::string_view key) {
    require(value > 0, where, key, value, "more than 0");
}

void require_not_negative(double value, const std::string& where, std::string_view key) {
    require(value >= 0, where, key, value, "at least 0");
}

void require_fraction(double value, const std::string& where, std::string_view key) {
    require(value > 0 && value <= 1, where, key, value, "more than 0 and at most 1");
}

void require_share(double value, const std::string& where, std::string_view key) {
    require(value >= 0 && value <= 1, where, key, value, "between 0 and 1");
}

double missing_share(double bytes, double fits) {
    const double ratio = bytes / fits, square = ratio * ratio, step = square * square;
    return step < 1e18 ? step / (1 + step) : 1;
}

}  // namespace tplan
