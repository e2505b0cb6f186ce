#include "cost_model/collective_tables.h"

#include <algorithm>
#include <cmath>

#include "core/place.h"
#include "core/statistics.h"

namespace tplan {

namespace {

using Pairs = std::vector<std::pair<double, double>>;  // bytes, seconds

constexpr double kNarrowest = 0.04;  // the same collective measured twice
constexpr double kUnknown = 0.2;     // too few points to leave one out
constexpr std::size_t kLeastPoints = 5;

/// The link that so many devices use when nobody chooses another: what points were measured over.
const LinkProfile* usual_link(const HardwareProfile& hardware, int ranks) {
    for (const auto& link : hardware.links) {
        if (link.devices >= ranks) return &link;
    }
    return nullptr;
}

std::vector<CollectivePoint> points_of(const HardwareProfile& hardware, OpKind op,
                                       CollectiveImpl implementation, CollectiveMode mode,
                                       LinkKind link) {
    std::vector<CollectivePoint> points;
    for (const auto& p : hardware.tables.collectives) {
        const auto* over = usual_link(hardware, p.ranks);
        if (p.op == op && p.implementation == implementation && over != nullptr &&
            over->kind == link && p.mode.value_or(usual_mode(implementation)) == mode)
            points.push_back(p);
    }
    return points;
}

/// The measured number of ranks nearest to the group's; the larger of two as near.
int nearest_ranks(const std::vector<CollectivePoint>& points, int ranks) {
    int nearest = 0;
    for (const auto& p : points) {
        const int d = std::abs(p.ranks - ranks), best = std::abs(nearest - ranks);
        if (nearest == 0 || d < best || (d == best && p.ranks > nearest)) nearest = p.ranks;
    }
    return nearest;
}

double time_of(std::span<const CollectiveLine> lines, double bytes) {
    const auto* line = cheapest_line(lines, bytes);
    return line == nullptr ? 0 : line_time(*line, bytes);
}

/// Half width that covers nine in ten inner points, each predicted by its neighbours.
double left_out_width(const CollectiveTable& table, std::span<const CollectiveLine> lines) {
    const auto& bytes = table.times.bytes;
    if (bytes.size() < kLeastPoints) return kUnknown;
    std::vector<double> errors;
    for (std::size_t i = 1; i + 1 < bytes.size(); ++i) {
        CollectiveTable without = table;
        without.times.bytes.erase(without.times.bytes.begin() + std::ptrdiff_t(i));
        without.times.seconds.erase(without.times.seconds.begin() + std::ptrdiff_t(i));
        if (!table.residual.empty()) {
            without.log_bytes.erase(without.log_bytes.begin() + std::ptrdiff_t(i));
            without.residual.erase(without.residual.begin() + std::ptrdiff_t(i));
        }
        const double predicted = without.correct(bytes[i], time_of(lines, bytes[i]));
        errors.push_back(std::abs(predicted / table.times.seconds[i] - 1));
    }
    // Left out, a point is twice as far from its neighbours as sizes asked for are.
    return std::clamp(quantile(std::move(errors), 0.9) / 2, kNarrowest, 1.0);
}

}  // namespace

double CollectiveTable::correct(double bytes, double line_seconds) const {
    if (residual.empty()) return times.at(bytes);
    const auto place = place_of(log_bytes, std::log(bytes));
    const double time = line_seconds * std::exp(place.in(residual));
    if (place.share == 0) return time;
    // Between two points the time stays between theirs: it never falls as bytes grow.
    return std::clamp(time, times.seconds[place.low], times.seconds[place.low + 1]);
}

CollectiveTable collective_table(const HardwareProfile& hardware, OpKind op,
                                 CollectiveImpl implementation, const CollectiveUse& use,
                                 const Group& group, std::span<const CollectiveLine> lines) {
    if (group.nodes > 1 || hardware.tables.collectives.empty() || lines.empty()) return {};
    const auto link = group.link.kind;
    auto points = points_of(hardware, op, implementation,
                            use.mode.value_or(usual_mode(implementation)), link);
    if (points.empty() && lines.front().implementation == CollectiveImpl::nccl)
        points = points_of(hardware, op, CollectiveImpl::nccl, CollectiveMode::eager, link);
    if (points.empty()) return {};
    const int nearest = nearest_ranks(points, group.ranks);
    std::vector<CollectiveLine> there;
    if (nearest != group.ranks) {
        Group measured = group;
        measured.ranks = measured.per_node = nearest;
        there = collective_lines(op, implementation, measured, "auto", use);
    }
    Pairs pairs;
    for (const auto& p : points) {
        if (p.ranks != nearest) continue;
        const double ratio = there.empty() ? 1 : time_of(lines, p.bytes) / time_of(there, p.bytes);
        pairs.emplace_back(p.bytes, p.time.value * ratio);
    }
    CollectiveTable table;
    table.exact = nearest == group.ranks;
    table.times = make_time_curve(std::move(pairs));
    const bool fitted = std::all_of(lines.begin(), lines.end(),
                                    [](const CollectiveLine& line) { return line.fitted; });
    if (fitted && group.link.kind == LinkKind::nvlink) {
        for (std::size_t i = 0; i < table.times.bytes.size(); ++i) {
            const double bytes = table.times.bytes[i];
            table.log_bytes.push_back(std::log(bytes));
            table.residual.push_back(std::log(table.times.seconds[i] / time_of(lines, bytes)));
        }
    }
    table.half_width = left_out_width(table, lines);
    return table;
}

}  // namespace tplan
