#include "cost_model/table_widths.h"

#include <algorithm>
#include <cmath>

#include "core/statistics.h"

namespace tplan {

namespace {

constexpr std::size_t kLeastRows = 16;
constexpr double kSameTwice = 0.03;  // the same op measured twice; see derivation.md
constexpr double kWidest = 0.5;

}  // namespace

void LeftOutErrors::add(DType dtype, Residency residency, std::size_t regime, double error) {
    auto& of = errors_[{dtype, residency, regime}];
    of.rows.push_back(std::abs(error));
    of.shapes += of.last != shape_;
    of.last = shape_;
}

std::vector<TableWidth> LeftOutErrors::widths(OpKind op) const {
    std::vector<TableWidth> all;
    for (const auto& [of, errors] : errors_) {
        if (errors.rows.size() < kLeastRows) continue;
        const auto& [dtype, residency, regime] = of;
        if (all.empty() || all.back().dtype != dtype || all.back().residency != residency)
            all.push_back({.op = op, .dtype = dtype, .residency = residency});
        const double level = std::min(1.0, 0.9 * (1 + 1.0 / errors.shapes));
        all.back().half_width[regime] =
            std::clamp(quantile(errors.rows, level), kSameTwice, kWidest);
    }
    return all;
}

std::array<double, 3> half_widths(const Tables& tables, OpKind op, DType dtype,
                                  Residency residency) {
    std::array<double, 3> widths{};
    for (const auto of : {Residency::cold, residency}) {
        for (const auto& row : tables.widths) {
            if (row.op != op || row.dtype != dtype || row.residency != of) continue;
            for (std::size_t i = 0; i < widths.size(); ++i) {
                if (row.half_width[i] > 0) widths[i] = row.half_width[i];
            }
        }
    }
    return widths;
}

}  // namespace tplan
