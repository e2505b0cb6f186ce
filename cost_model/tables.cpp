#include "cost_model/tables.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <limits>
#include <map>
#include <optional>

#include "cost_model/attention.h"
#include "cost_model/op_cost.h"

namespace tplan {

namespace {

constexpr std::size_t kNeighbours = 6;  // points that inverse distance weighting mixes

/// Index of the segment of ascending `values` that holds x, and how far along it x is; clamped.
struct Place {
    std::size_t low = 0, high = 0;
    double share = 0;
};
Place place_of(std::span<const double> values, double x) {
    const auto last = values.size() - 1;
    if (x <= values.front()) return {};
    if (x >= values.back()) return {last, last, 0};
    std::size_t high = 1;
    while (values[high] < x) ++high;
    return {high - 1, high, (x - values[high - 1]) / (values[high] - values[high - 1])};
}

/// Lists are sorted, so equal values are neighbours.
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

/// The measured rank count nearest to the one asked for, by ratio; the larger of two as near,
/// because more ranks share the memory.
int nearest_ranks(const std::vector<int>& measured, int ranks) {
    int best = measured.front();
    const auto distance = [ranks](int r) { return std::abs(std::log(double(r) / ranks)); };
    for (const int r : measured) {
        const double d = distance(r) - distance(best);
        if (d < -1e-12 || (std::abs(d) <= 1e-12 && r > best)) best = r;
    }
    return best;
}

/// The points that `keep` keeps, of the rank count nearest to `ranks`.
template <class Point, class Keep>
std::vector<Point> select_points(const std::vector<Point>& points, int ranks, Keep keep) {
    std::vector<Point> kept;
    std::vector<int> measured;
    for (const auto& p : points) {
        if (!keep(p)) continue;
        kept.push_back(p);
        measured.push_back(p.ranks);
    }
    if (kept.empty()) return kept;
    const int nearest = nearest_ranks(measured, ranks);
    std::erase_if(kept, [nearest](const Point& p) { return p.ranks != nearest; });
    return kept;
}

double analytic_attention(const HardwareProfile& hardware, const AttentionPoint& p) {
    const DType activation = stored_dtype(p.kv_dtype);
    const StepShape shape{.kind = OpKind::attention,
                          .activation = bytes_of(activation),
                          .heads = double(p.heads),
                          .kv_heads = double(p.kv_heads),
                          .head_dim = double(p.head_dim),
                          .v_head_dim = double(p.head_dim)};
    const WorkSize work{.decode = p.q_len == 1,
                        .batch = double(p.batch),
                        .query = double(p.q_len),
                        .cached = double(p.kv_len),
                        .tokens = double(p.batch * p.q_len),
                        .kv_bytes = bytes_of(p.kv_dtype)};
    if (hardware.attention) {
        return attention_cost(make_attention_pricer(hardware, shape, activation), work).seconds;
    }
    const auto& row = op_cost(OpKind::attention);
    return roofline(hardware, row.engine, activation)
        .seconds(row.flops(shape, work), row.bytes(shape, work));
}

bool within(const std::vector<double>& ascending, double x) {
    constexpr double kSlack = 1e-9;
    return x >= ascending.front() - kSlack && x <= ascending.back() + kSlack;
}

}  // namespace

double analytic_product(const HardwareProfile& hardware, DType dtype, double m, double n,
                        double k) {
    const auto compute = compute_dtype(hardware, dtype, dtype);
    const double activation = bytes_of(stored_dtype(dtype));
    const double quantise =
        quantises(hardware, dtype, true) ? quantiser(hardware, k).seconds(m) : 0;
    if (const auto* parameters = gemm_parameters(hardware, compute)) {
        const auto kernel = gemm_kernel(gemm_device(hardware, compute), *parameters, n, k,
                                        gemm_elements(compute, bytes_of(dtype), activation));
        return gemm_time(kernel, m).seconds + quantise;
    }
    const StepShape shape{
        .n = n, .k = k, .weight_bytes = n * k * bytes_of(dtype), .activation = activation};
    const WorkSize work{.batch = m, .tokens = m};
    const auto& row = op_cost(OpKind::linear);
    return roofline(hardware, row.engine, compute)
               .seconds(row.flops(shape, work), row.bytes(shape, work)) +
           quantise;
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

double ProductCurve::at(double log_m, double analytic) const {
    assert(!empty());
    if (log_m <= points.front().log_m) return analytic * std::exp(points.front().residual);
    if (log_m >= points.back().log_m) return analytic * std::exp(points.back().residual);
    std::size_t high = 1;
    while (points[high].log_m < log_m) ++high;
    const auto &a = points[high - 1], &b = points[high];
    const double share = (log_m - a.log_m) / (b.log_m - a.log_m);
    const double time = analytic * std::exp(a.residual + share * (b.residual - a.residual));
    return std::clamp(time, a.seconds, b.seconds);
}

bool ProductCurve::covers(double log_m) const {
    constexpr double kSlack = 1e-9;
    return inside && log_m >= points.front().log_m - kSlack &&
           log_m <= points.back().log_m + kSlack;
}

double AttentionGrid::at(double log_batch_, double log_tokens_) const {
    assert(!empty());
    const auto b = place_of(log_batch, log_batch_), t = place_of(log_tokens, log_tokens_);
    const auto row = [&](std::size_t i) {
        const auto* r = residual.data() + i * log_tokens.size();
        return r[t.low] + t.share * (r[t.high] - r[t.low]);
    };
    const double low = row(b.low);
    return b.share == 0 ? low : low + b.share * (row(b.high) - low);
}

bool AttentionGrid::covers(double log_batch_, double log_tokens_) const {
    return inside && within(log_batch, log_batch_) && within(log_tokens, log_tokens_);
}

ProductCurve product_curve(const HardwareProfile& hardware, const ProductKey& key,
                           const AnalyticProduct& analytic) {
    const auto points = select_points(hardware.tables.gemm, key.ranks,
                                      [&](const GemmPoint& p) { return p.dtype == key.dtype; });
    ProductCurve curve;
    if (points.empty()) return curve;
    std::map<std::int64_t, std::vector<ScatteredPoint>> by_rows;
    std::vector<double> all_n, all_k;
    for (const auto& p : points) {
        const double m = double(p.m), n = double(p.n), k = double(p.k);
        const double expected = analytic_product(hardware, key.dtype, m, n, k);
        by_rows[p.m].push_back({std::log(n), std::log(k), std::log(p.time.value / expected)});
        all_n.push_back(std::log(n));
        all_k.push_back(std::log(k));
    }
    const double log_n = std::log(key.n), log_k = std::log(key.k);
    curve.inside = points.front().ranks == key.ranks && within(distinct(all_n), log_n) &&
                   within(distinct(all_k), log_k);
    for (const auto& [m, at_m] : by_rows) {
        const double residual = interpolate(at_m, log_n, log_k);
        curve.points.push_back(
            {std::log(double(m)), residual, analytic(double(m)) * std::exp(residual)});
    }
    for (auto i = curve.points.size(); i > 1; --i) {
        auto &low = curve.points[i - 2], &high = curve.points[i - 1];
        if (low.seconds <= high.seconds) continue;
        low.residual += std::log(high.seconds / low.seconds);
        low.seconds = high.seconds;
    }
    return curve;
}

AttentionGrid attention_grid(const HardwareProfile& hardware, const AttentionKey& key) {
    auto points = select_points(hardware.tables.attention, key.ranks, [&](const AttentionPoint& p) {
        return p.kv_dtype == key.kv_dtype && (p.q_len == 1) == key.decode;
    });
    AttentionGrid grid;
    if (points.empty()) return grid;
    const auto distance = [&](const AttentionPoint& p) {
        return std::abs(std::log(double(p.heads) / key.heads)) +
               std::abs(std::log(double(p.kv_heads) / key.kv_heads)) +
               std::abs(std::log(double(p.head_dim) / key.head_dim));
    };
    const auto nearest =
        *std::min_element(points.begin(), points.end(),
                          [&](const auto& a, const auto& b) { return distance(a) < distance(b); });
    std::erase_if(points, [&](const AttentionPoint& p) {
        return p.heads != nearest.heads || p.kv_heads != nearest.kv_heads ||
               p.head_dim != nearest.head_dim;
    });
    constexpr double kSameLayout = 1e-9;
    grid.inside = nearest.ranks == key.ranks && distance(nearest) < kSameLayout;
    std::vector<ScatteredPoint> scattered;
    std::vector<double> batches, tokens;
    for (const auto& p : points) {
        const double b = std::log(double(p.batch)), t = std::log(double(p.kv_len));
        scattered.push_back({b, t, std::log(p.time.value / analytic_attention(hardware, p))});
        batches.push_back(b);
        tokens.push_back(t);
    }
    grid.log_batch = distinct(batches);
    grid.log_tokens = distinct(tokens);
    for (const double b : grid.log_batch) {
        for (const double t : grid.log_tokens)
            grid.residual.push_back(interpolate(scattered, b, t));
    }
    return grid;
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
    const auto* a = find_point(points, xs[px.low], ys[py.low]);
    const auto* b = find_point(points, xs[px.low], ys[py.high]);
    const auto* c = find_point(points, xs[px.high], ys[py.low]);
    const auto* d = find_point(points, xs[px.high], ys[py.high]);
    if (!a || !b || !c || !d) return by_distance(points, x, y);
    const double low = a->value + py.share * (b->value - a->value);
    const double high = c->value + py.share * (d->value - c->value);
    return low + px.share * (high - low);
}

}  // namespace tplan
