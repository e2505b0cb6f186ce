#include "cost_model/tables.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <limits>
#include <map>
#include <optional>

#include "core/place.h"
#include "cost_model/op_cost.h"

namespace tplan {

namespace {

constexpr std::size_t kNeighbours = 6;  // points that inverse distance weighting mixes

/// Sorted, each value once.
std::vector<double> distinct(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    values.erase(std::unique(values.begin(), values.end()), values.end());
    return values;
}

const ScatteredPoint* find_point(std::span<const ScatteredPoint> points, double x, double y) {
    for (const auto& p : points) {
        if (p.x == x && p.y == y) return &p;
    }
    return nullptr;
}

double by_distance(std::span<const ScatteredPoint> points, double x, double y) {
    std::array<std::pair<double, double>, kNeighbours> near;  // squared distance, value
    near.fill({std::numeric_limits<double>::infinity(), 0});
    for (const auto& p : points) {
        const double d = (p.x - x) * (p.x - x) + (p.y - y) * (p.y - y);
        if (d == 0) return p.value;
        if (d >= near.back().first) continue;
        near.back() = {d, p.value};
        for (auto i = near.size() - 1; i > 0 && near[i].first < near[i - 1].first; --i) {
            std::swap(near[i], near[i - 1]);
        }
    }
    double weight = 0, sum = 0;
    for (const auto& [d, value] : near) {
        weight += 1 / d;
        sum += value / d;
    }
    return sum / weight;
}

/// The points that `keep` keeps, of the rank count nearest to `ranks`.
template <class Point, class Keep>
std::vector<Point> select_points(const std::vector<Point>& points, int ranks, Keep keep) {
    std::vector<Point> kept;
    int nearest = 0;
    for (const auto& p : points) {
        if (!keep(p)) continue;
        kept.push_back(p);
        nearest = nearer_ranks(nearest, p.ranks, ranks);
    }
    std::erase_if(kept, [nearest](const Point& p) { return p.ranks != nearest; });
    return kept;
}

}  // namespace

int nearer_ranks(int best, int other, int ranks) {
    if (best == 0 || best == other) return other;
    const auto apart = [ranks](int r) { return std::abs(std::log(double(r) / ranks)); };
    const double d = apart(other) - apart(best);
    return d < -1e-12 || (std::abs(d) <= 1e-12 && other > best) ? other : best;
}

double TimeCurve::at(double size) const {
    assert(!empty());
    if (size <= bytes.front()) return seconds.front();
    if (bytes.size() == 1) return seconds.front() * size / bytes.front();
    const auto last = bytes.size() - 1;
    const auto high = std::min<std::size_t>(
        static_cast<std::size_t>(std::lower_bound(bytes.begin(), bytes.end(), size) -
                                 bytes.begin()),
        last);
    const double slope = (seconds[high] - seconds[high - 1]) / (bytes[high] - bytes[high - 1]);
    return seconds[high] + slope * (size - bytes[high]);
}

bool TimeCurve::covers(double size) const {
    return !empty() && size >= bytes.front() / 2 && size <= bytes.back() * 2;
}

TimeCurve make_time_curve(std::vector<std::pair<double, double>> bytes_and_seconds) {
    std::map<double, std::pair<double, int>> sums;
    for (const auto& [bytes, seconds] : bytes_and_seconds) {
        auto& [sum, count] = sums[bytes];
        sum += seconds;
        ++count;
    }
    TimeCurve curve;
    for (const auto& [bytes, sum] : sums) {
        curve.bytes.push_back(bytes);
        curve.seconds.push_back(sum.first / sum.second);
    }
    for (auto i = curve.seconds.size(); i > 1; --i) {
        curve.seconds[i - 2] = std::min(curve.seconds[i - 2], curve.seconds[i - 1]);
    }
    return curve;
}

TimeCurve elementwise_curve(const HardwareProfile& hardware, OpKind op, int ranks) {
    const auto curve_of = [&](OpKind kind) {
        const auto points =
            select_points(hardware.tables.elementwise, ranks,
                          [kind](const ElementwisePoint& p) { return p.op == kind; });
        std::vector<std::pair<double, double>> pairs;
        for (const auto& p : points) pairs.emplace_back(p.bytes, p.time.value);
        auto curve = make_time_curve(std::move(pairs));
        curve.exact = kind == op && !points.empty() && points.front().ranks == ranks;
        return curve;
    };
    if (auto own = curve_of(op); !own.empty()) return own;
    std::optional<OpKind> substitute;
    for (const auto& p : hardware.tables.elementwise) {
        const bool same = op_cost(p.op).kind == op_cost(op).kind;
        if (!substitute || (same && op_cost(*substitute).kind != op_cost(op).kind)) {
            substitute = p.op;
        }
    }
    return substitute ? curve_of(*substitute) : TimeCurve{};
}

double interpolate(std::span<const ScatteredPoint> points, double x, double y) {
    assert(!points.empty());
    std::vector<double> xs, ys;
    for (const auto& p : points) {
        xs.push_back(p.x);
        ys.push_back(p.y);
    }
    xs = distinct(std::move(xs));
    ys = distinct(std::move(ys));
    x = std::clamp(x, xs.front(), xs.back());
    y = std::clamp(y, ys.front(), ys.back());
    const auto px = place_of(xs, x), py = place_of(ys, y);
    const auto x_high = px.share > 0 ? px.low + 1 : px.low;
    const auto y_high = py.share > 0 ? py.low + 1 : py.low;
    const auto* a = find_point(points, xs[px.low], ys[py.low]);
    const auto* b = find_point(points, xs[px.low], ys[y_high]);
    const auto* c = find_point(points, xs[x_high], ys[py.low]);
    const auto* d = find_point(points, xs[x_high], ys[y_high]);
    if (!a || !b || !c || !d) return by_distance(points, x, y);
    const double low = a->value + py.share * (b->value - a->value);
    const double high = c->value + py.share * (d->value - c->value);
    return low + px.share * (high - low);
}

}  // namespace tplan
