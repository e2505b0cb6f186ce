#include "cost_model/collective_fit.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/text.h"

namespace tplan {

namespace {

/// Where `ranks` lies between two entries.
struct Between {
    std::size_t low = 0, high = 0;
    double share = 0;

    double straight(double a, double b) const { return a + share * (b - a); }
    double of(const std::vector<double>& list) const { return straight(list[low], list[high]); }
    template <class Quantity>
    double of(const std::vector<Quantity>& list) const {
        return straight(list[low].value, list[high].value);
    }
    SizeWidths of(const std::vector<SizeWidths>& list) const {
        SizeWidths widths{};
        for (std::size_t i = 0; i < widths.size(); ++i)
            widths[i] = straight(list[low][i], list[high][i]);
        return widths;
    }
    /// Sizes: straight in the logarithm; 0 (any) stays when either is.
    double size(const std::vector<Bytes>& list) const {
        const double a = list[low].value, b = list[high].value;
        return a <= 0 || b <= 0 ? 0 : std::exp(straight(std::log(a), std::log(b)));
    }
};

Between place(const std::vector<int>& ranks, int n) {
    const auto at = std::lower_bound(ranks.begin(), ranks.end(), n);
    assert(at != ranks.end());
    const auto high = static_cast<std::size_t>(at - ranks.begin());
    if (*at == n) return {high, high, 0};
    const double below = ranks[high - 1];
    return {high - 1, high, (n - below) / (*at - below)};
}

template <class Value>
void check_list(const std::vector<Value>& list, const CollectiveFit& row, const std::string& where,
                const char* key, double least, double most) {
    if (list.size() != row.ranks.size()) {
        throw Error(where + "/" + key, fmt::format("expected {} entries, one per entry of ranks, "
                                                   "got {}",
                                                   row.ranks.size(), list.size()));
    }
    const auto check = [&](double value) {
        if (value >= least && value <= most) return;
        throw Error(where + "/" + key,
                    fmt::format("expected {} to {}, got {}", least, most, value));
    };
    for (const auto& entry : list) {
        if constexpr (std::is_same_v<Value, double>) {
            check(entry);
        } else if constexpr (std::is_same_v<Value, SizeWidths>) {
            for (const double width : entry) check(width);
        } else {
            check(entry.value);
        }
    }
}

/// The row that takes the smallest tensors: the first of its op, implementation and mode.
const CollectiveFit* first_like(const std::vector<CollectiveFit>& rows, const CollectiveFit& like) {
    const auto found = std::find_if(rows.begin(), rows.end(), [&](const CollectiveFit& row) {
        return row.op == like.op && row.implementation == like.implementation &&
               row.mode == like.mode;
    });
    return found == rows.end() ? nullptr : &*found;
}

}  // namespace

std::size_t collective_regime(double bytes) {
    constexpr double kSmall = 256 * 1024, kMiddle = 16 * 1024 * 1024;
    return bytes <= kSmall ? 0 : bytes <= kMiddle ? 1 : 2;
}

bool covers_ranks(const CollectiveFit& row, int ranks) {
    return !row.ranks.empty() && ranks >= row.ranks.front() && ranks <= row.ranks.back();
}

CollectiveFitAt fit_at(const CollectiveFit& row, int ranks) {
    assert(covers_ranks(row, ranks));
    const auto at = place(row.ranks, ranks);
    CollectiveFitAt fit{.to = at.size(row.to),
                        .latency = at.of(row.latency),
                        .ramp = at.of(row.ramp),
                        .ramp_from = at.size(row.ramp_from),
                        .bandwidth_share = at.of(row.bandwidth_share),
                        .sharpness = at.of(row.sharpness),
                        .half_width = at.of(row.half_width),
                        .fitted = at.low == at.high};
    if (fit.to <= 0) fit.to = std::numeric_limits<double>::infinity();
    return fit;
}

void raise_to(std::vector<CollectiveFit>& rows, const std::vector<CollectiveFit>& floor) {
    for (auto& row : rows) {
        const auto* least = first_like(floor, row);
        if (least == nullptr || first_like(rows, row) != &row) continue;
        for (std::size_t i = 0; i < row.ranks.size(); ++i) {
            if (!covers_ranks(*least, row.ranks[i])) continue;
            const auto fit = fit_at(*least, row.ranks[i]);
            const double whole =
                std::max(row.latency[i].value + row.ramp[i].value, fit.latency + fit.ramp);
            row.latency[i] = Seconds(std::max(row.latency[i].value, fit.latency));
            row.ramp[i] = Seconds(whole - row.latency[i].value);
            row.ramp_from[i] = Bytes(std::min(row.ramp_from[i].value, fit.ramp_from));
        }
    }
}

double bus_factor(OpKind op, int ranks) {
    const double n = ranks, part = (n - 1) / n;
    switch (op) {
        case OpKind::all_reduce:
            return 2 * part;
        case OpKind::all_to_all:
            return part / n;  // a rank's own part is 1/n of the whole tensor
        default:
            return part;
    }
}

void check_fit(const CollectiveFit& row, const std::string& where) {
    constexpr double kMost = 1e18;
    if (!is_collective(row.op))
        throw Error(where + "/op", fmt::format("expected a collective, got {}", name_of(row.op)));
    if (row.ranks.empty()) throw Error(where + "/ranks", "expected at least one number of ranks");
    for (std::size_t i = 0; i < row.ranks.size(); ++i) {
        if (row.ranks[i] < 2 || (i > 0 && row.ranks[i] <= row.ranks[i - 1]))
            throw Error(where + "/ranks", "expected numbers from 2 up, ascending");
    }
    check_list(row.to, row, where, "to_bytes", 0, kMost);
    check_list(row.latency, row, where, "latency_s", 1e-12, kMost);
    check_list(row.ramp, row, where, "ramp_s", 0, kMost);
    check_list(row.ramp_from, row, where, "ramp_from_bytes", 1, kMost);
    check_list(row.bandwidth_share, row, where, "bandwidth_share", 1e-6, 1e3);
    check_list(row.sharpness, row, where, "sharpness", 0.1, 100);
    check_list(row.half_width, row, where, "half_width", 1e-3, 10);
    if (!(row.one_byte_factor >= 0 && row.one_byte_factor <= 10))
        throw Error(where + "/one_byte_factor",
                    fmt::format("expected 0 to 10, got {}", row.one_byte_factor));
}

}  // namespace tplan
