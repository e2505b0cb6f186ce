#include "cost_model/product_table.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <optional>
#include <set>

#include "core/place.h"
#include "cost_model/gemm.h"
#include "cost_model/kriging.h"
#include "cost_model/op_cost.h"
#include "cost_model/table_widths.h"
#include "cost_model/tables.h"

namespace tplan {

namespace {

// Of the kernel exp(-a |d log n| - a |d log k|), chosen by leaving fifths of the measured (n, k)
// out on A100, H100 and L40S: the least mean error, and flat around it.
constexpr double kLength = 0.7;          // a
constexpr double kNoise = 0.05;          // variance of a measurement over that of the residuals
constexpr std::size_t kNeighbours = 32;  // that kriging weighs

/// The points of one (n, k), as residuals over log m.
struct Group {
    double n = 0, k = 0, log_n = 0, log_k = 0;
    std::vector<double> log_m, residual;  // ascending
    std::vector<Residency> residency;

    /// Straight between points, none beyond them.
    std::optional<double> at(double x) const {
        constexpr double kSlack = 1e-9;
        if (x < log_m.front() - kSlack || x > log_m.back() + kSlack) return std::nullopt;
        return place_of(log_m, x).in(residual);
    }
    std::size_t index_of(double x) const {
        const auto at = std::lower_bound(log_m.begin(), log_m.end(), x - 1e-9);
        return std::min(static_cast<std::size_t>(at - log_m.begin()), log_m.size() - 1);
    }
    Residency residency_at(double x) const { return residency[index_of(x)]; }
};

using Points = std::vector<const GemmPoint*>;

/// Points of the dtype and of the nearest rank count, ordered by (n, k, m).
Points points_of(const HardwareProfile& hardware, const ProductKey& key) {
    Points points;
    int nearest = 0;
    const bool shared = hardware.backend == "cpu";
    for (const auto& p : hardware.tables.gemm) {
        if (p.dtype != key.dtype) continue;
        points.push_back(&p);
        nearest = nearer_ranks(nearest, p.ranks, key.ranks);
    }
    if (shared) std::erase_if(points, [&](const GemmPoint* p) { return p->ranks != nearest; });
    const auto before = [](const GemmPoint* a, const GemmPoint* b) {
        return std::tie(a->n, a->k, a->m) < std::tie(b->n, b->k, b->m);
    };
    if (!std::is_sorted(points.begin(), points.end(), before))
        std::stable_sort(points.begin(), points.end(), before);
    return points;
}

/// A stretch of ordered points with one n and k.
struct Stretch {
    std::size_t first = 0, last = 0;
    double n = 0, k = 0, log_n = 0, log_k = 0;
};

std::vector<Stretch> stretches_of(const Points& points) {
    std::vector<Stretch> all;
    for (std::size_t i = 0; i < points.size(); ++i) {
        const auto& p = *points[i];
        if (i == 0 || p.n != points[i - 1]->n || p.k != points[i - 1]->k) {
            const double n = double(p.n), k = double(p.k);
            all.push_back({i, i, n, k, std::log(n), std::log(k)});
        }
        all.back().last = i + 1;
    }
    return all;
}

/// Residuals of a stretch; repeated measurements of a size are averaged.
Group group_of(const HardwareProfile& hardware, const Points& points, const Stretch& s) {
    Group group{s.n, s.k, s.log_n, s.log_k, {}, {}, {}};
    const auto cold = analytic_products(hardware, points[s.first]->dtype, s.n, s.k);
    const auto warm =
        analytic_products(hardware, points[s.first]->dtype, s.n, s.k, Residency::warm);
    int repeats = 1;
    for (auto i = s.first; i < s.last; ++i) {
        const auto& p = *points[i];
        const auto residency = p.residency.value_or(Residency::cold);
        const double expected =
            residency == Residency::warm ? warm(double(p.m)) : cold(double(p.m));
        const double residual = std::log(p.time.value / expected);
        if (i > s.first && p.m == points[i - 1]->m) {
            ++repeats;
            group.residual.back() += (residual - group.residual.back()) / repeats;
            continue;
        }
        repeats = 1;
        group.log_m.push_back(std::log(double(p.m)));
        group.residual.push_back(residual);
        group.residency.push_back(residency);
    }
    return group;
}

/// How alike the residuals of two products are; `b` is a Stretch or a Group.
double likeness(double log_n, double log_k, const auto& b) {
    return std::exp(-kLength * (std::abs(log_n - b.log_n) + std::abs(log_k - b.log_k)));
}

/// The nearest measured values on either side of x; the value itself when it was measured.
std::array<double, 2> around(std::vector<double> values, double x) {
    std::sort(values.begin(), values.end());
    const auto above = std::lower_bound(values.begin(), values.end(), x);
    if (above == values.end()) return {values.back(), values.back()};
    if (*above == x || above == values.begin()) return {*above, *above};
    return {*(above - 1), *above};
}

/// The measured (n, k) that the key's residual is made of, nearest first: itself, the corners of
/// its cell, or the most similar ones.
std::vector<Stretch> neighbours(const std::vector<Stretch>& all, const ProductKey& key) {
    std::vector<double> ns, ks;
    for (const auto& s : all) {
        ns.push_back(s.n);
        ks.push_back(s.k);
    }
    const auto n = around(std::move(ns), key.n), k = around(std::move(ks), key.k);
    std::vector<Stretch> corners;
    for (const auto& s : all) {
        if ((s.n == n[0] || s.n == n[1]) && (s.k == k[0] || s.k == k[1])) corners.push_back(s);
    }
    const std::size_t needed = (n[0] == n[1] ? 1U : 2U) * (k[0] == k[1] ? 1U : 2U);
    if (corners.size() == needed) return corners;
    const double log_n = std::log(key.n), log_k = std::log(key.k);
    auto nearest = all;
    const auto count = std::min(nearest.size(), kNeighbours);
    std::partial_sort(nearest.begin(), nearest.begin() + std::ptrdiff_t(count), nearest.end(),
                      [&](const Stretch& a, const Stretch& b) {
                          return likeness(log_n, log_k, a) > likeness(log_n, log_k, b);
                      });
    nearest.resize(count);
    return nearest;
}

bool is_cell(const std::vector<Group>& groups) {
    if (groups.size() == 1) return true;
    const auto& g = groups;
    if (g.size() == 2) return g[0].n == g[1].n || g[0].k == g[1].k;
    return g.size() == 4 && g[0].n == g[1].n && g[2].n == g[3].n && g[0].k == g[2].k &&
           g[1].k == g[3].k;
}

/// Weights of the corners of a cell, ordered by (n, k): straight in log n and log k.
std::vector<double> cell_weights(const std::vector<Group>& g, double log_n, double log_k) {
    const auto share = [](double a, double b, double x) {
        return a == b ? 0.0 : std::clamp((x - a) / (b - a), 0.0, 1.0);
    };
    if (g.size() == 1) return {1};
    const double x = share(g.front().log_n, g.back().log_n, log_n);
    const double y = share(g.front().log_k, g.back().log_k, log_k);
    if (g.size() == 2) return {1 - std::max(x, y), std::max(x, y)};
    return {(1 - x) * (1 - y), (1 - x) * y, x * (1 - y), x * y};
}

/// Residuals of groups mixed at one m after another.
class GroupMixer {
  public:
    GroupMixer(const std::vector<Group>& groups, const ProductKey& key)
        : groups_(groups),
          asked_(key.residency),
          log_n_(std::log(key.n)),
          log_k_(std::log(key.k)),
          cell_(is_cell(groups)),
          mixer_({.count = groups.size(),
                  .between =
                      [&groups](std::size_t i, std::size_t j) {
                          return likeness(groups[i].log_n, groups[i].log_k, groups[j]);
                      },
                  .to = [this](std::size_t i) { return likeness(log_n_, log_k_, groups_[i]); },
                  .noise = kNoise}) {}

    std::optional<double> at(double log_m) {
        values_.clear();
        lie_.clear();
        bool all = true;
        for (const auto& g : groups_) {
            values_.push_back(g.at(log_m));
            lie_.push_back(g.residency_at(log_m));
            all = all && values_.back();
        }
        if (!cell_ || !all) return mixer_.mix(values_, lie_, asked_);
        const auto weights = cell_weights(groups_, log_n_, log_k_);
        double sum = 0;
        for (std::size_t i = 0; i < weights.size(); ++i) sum += weights[i] * *values_[i];
        return sum;
    }

  private:
    const std::vector<Group>& groups_;
    Residency asked_;
    double log_n_, log_k_;
    bool cell_;
    ResidualMixer mixer_;
    std::vector<std::optional<double>> values_;
    std::vector<Residency> lie_;
};

std::vector<double> distinct_m(const std::vector<Group>& groups) {
    std::vector<double> all;
    for (const auto& g : groups) all.insert(all.end(), g.log_m.begin(), g.log_m.end());
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
    return all;
}

/// The nearest non-decreasing times, in the squares of their logarithms (pool adjacent violators).
void make_monotone(ProductCurve& curve) {
    struct Pool {
        double log_seconds;
        std::size_t count;
    };
    std::vector<Pool> pools;
    for (const double seconds : curve.seconds) {
        pools.push_back({std::log(seconds), 1});
        while (pools.size() > 1 && pools[pools.size() - 2].log_seconds > pools.back().log_seconds) {
            const auto last = pools.back();
            pools.pop_back();
            auto& to = pools.back();
            const auto count = to.count + last.count;
            to.log_seconds =
                (to.log_seconds * double(to.count) + last.log_seconds * double(last.count)) /
                double(count);
            to.count = count;
        }
    }
    std::size_t i = 0;
    for (const auto& pool : pools) {
        for (std::size_t c = 0; c < pool.count; ++c, ++i) {
            if (pool.count == 1) continue;  // exactly what was measured
            curve.residual[i] += pool.log_seconds - std::log(curve.seconds[i]);
            curve.seconds[i] = std::exp(pool.log_seconds);
        }
    }
}

ProductCurve curve_from(const HardwareProfile& hardware, const Points& points,
                        const std::vector<Stretch>& stretches, const ProductKey& key,
                        const AnalyticProduct& analytic) {
    std::vector<Group> groups;
    for (const auto& s : neighbours(stretches, key))
        groups.push_back(group_of(hardware, points, s));
    ProductCurve curve;
    GroupMixer mix(groups, key);
    for (const double log_m : distinct_m(groups)) {
        const auto residual = mix.at(log_m);
        if (!residual) continue;
        curve.log_m.push_back(log_m);
        curve.residual.push_back(*residual);
        curve.seconds.push_back(analytic(std::exp(log_m)) * std::exp(*residual));
    }
    make_monotone(curve);
    const auto [n_low, n_high] = std::minmax_element(stretches.begin(), stretches.end(),
                                                     [](auto& a, auto& b) { return a.n < b.n; });
    const auto [k_low, k_high] = std::minmax_element(stretches.begin(), stretches.end(),
                                                     [](auto& a, auto& b) { return a.k < b.k; });
    curve.inside = key.n >= n_low->n && key.n <= n_high->n && key.k >= k_low->k &&
                   key.k <= k_high->k &&
                   (hardware.backend != "cpu" || points.front()->ranks == key.ranks);
    return curve;
}

/// Adds the errors of the rows of `left_out` whose weights lay in `residency`, predicted from
/// `others`. Every row counts: two frameworks that differ at one size are both to be covered.
void judge_left_out(const HardwareProfile& hardware, const Points& points,
                    const std::vector<Stretch>& others, const Stretch& left_out,
                    Residency residency, LeftOutErrors& errors) {
    std::vector<const GemmPoint*> rows;
    for (auto i = left_out.first; i < left_out.last; ++i) {
        if (points[i]->residency.value_or(Residency::cold) == residency) rows.push_back(points[i]);
    }
    if (rows.empty()) return;
    const auto dtype = rows.front()->dtype;
    const ProductKey key{.dtype = dtype, .n = left_out.n, .k = left_out.k, .residency = residency};
    const auto expected = analytic_products(hardware, dtype, key.n, key.k, residency);
    const auto curve = curve_from(hardware, points, others, key, expected);
    for (const auto* row : rows) {
        const double m = double(row->m);
        const double predicted = curve.at(std::log(m), expected(m));
        errors.next_shape();  // other m, other tiles: rows of one (n, k) hardly err alike
        errors.add(dtype, residency, gemm_regime(m), predicted / row->time.value - 1);
    }
}

}  // namespace

AnalyticProduct analytic_products(const HardwareProfile& hardware, DType dtype, double n, double k,
                                  Residency residency) {
    const auto compute = compute_dtype(hardware, dtype, dtype);
    const double activation = bytes_of(stored_dtype(dtype));
    const bool quantise = quantises(hardware, dtype, true);
    const auto quantisation = quantise ? quantiser(hardware, k) : Quantiser{};
    const auto more = [quantise, quantisation](double m) {
        return quantise ? quantisation.seconds(m) : 0;
    };
    if (const auto* parameters = gemm_parameters(hardware, compute)) {
        const auto kernel = gemm_kernel(gemm_device(hardware, compute), *parameters, n, k,
                                        gemm_elements(compute, bytes_of(dtype), activation));
        return [kernel, residency, more](double m) {
            return gemm_time(kernel, m, 1, residency).seconds + more(m);
        };
    }
    const StepShape shape{
        .n = n, .k = k, .weight_bytes = n * k * bytes_of(dtype), .activation = activation};
    const auto line = roofline(hardware, op_cost(OpKind::linear).engine, compute);
    return [shape, line, more](double m) {
        const WorkSize work{.batch = m, .tokens = m};
        const auto& row = op_cost(OpKind::linear);
        return line.seconds(row.flops(shape, work), row.bytes(shape, work)) + more(m);
    };
}

double analytic_product(const HardwareProfile& hardware, DType dtype, double m, double n, double k,
                        Residency residency) {
    return analytic_products(hardware, dtype, n, k, residency)(m);
}

double ProductCurve::at(double log_m_, double analytic) const {
    assert(!empty());
    const auto place = place_of(log_m, log_m_);
    const double time = analytic * std::exp(place.in(residual));
    if (place.share == 0) return time;
    return std::clamp(time, seconds[place.low], seconds[place.low + 1]);
}

bool ProductCurve::covers(double log_m_) const {
    constexpr double kSlack = 1e-9;
    return inside && log_m_ >= log_m.front() - kSlack && log_m_ <= log_m.back() + kSlack;
}

ProductCurve product_curve(const HardwareProfile& hardware, const ProductKey& key,
                           const AnalyticProduct& analytic) {
    const auto points = points_of(hardware, key);
    if (points.empty()) return {};
    auto curve = curve_from(hardware, points, stretches_of(points), key, analytic);
    curve.half_width = half_widths(hardware.tables, OpKind::linear, key.dtype, key.residency);
    return curve;
}

std::vector<TableWidth> product_widths(const HardwareProfile& hardware, std::size_t most_left_out) {
    LeftOutErrors errors;
    std::set<DType> dtypes;
    for (const auto& p : hardware.tables.gemm) dtypes.insert(p.dtype);
    for (const auto dtype : dtypes) {
        const auto points = points_of(hardware, {.dtype = dtype});
        const auto all = stretches_of(points);
        if (all.size() < 2) continue;
        const auto stride = std::max<std::size_t>(1, all.size() * dtypes.size() / most_left_out);
        for (std::size_t i = 0; i < all.size(); i += stride) {
            auto others = all;
            others.erase(others.begin() + std::ptrdiff_t(i));
            for (const auto residency : {Residency::cold, Residency::edge, Residency::warm})
                judge_left_out(hardware, points, others, all[i], residency, errors);
        }
    }
    return errors.widths(OpKind::linear);
}

}  // namespace tplan
