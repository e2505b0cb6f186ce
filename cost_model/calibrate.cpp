#include "cost_model/calibrate.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <optional>
#include <tuple>

#include "core/statistics.h"
#include "cost_model/attention_table.h"
#include "cost_model/expert_table.h"
#include "cost_model/op_cost.h"
#include "cost_model/product_table.h"
#include "cost_model/tables.h"

namespace tplan {

namespace {

constexpr double kNarrowest = 0.10;  // run-to-run spread of a quiet machine; see derivation.md
constexpr double kWidest = 0.5;
constexpr std::size_t kMostLayoutsLeftOut = 120;  // of a table laid over a profile
constexpr double kUnknownWidth = 0.2;
constexpr std::size_t kLeastPoints = 8;    // left-out points that make a quantile
constexpr std::size_t kMostLeftOut = 200;  // of a large table, evenly spaced ones
constexpr double kFewRows = 2;             // products of so few rows read weights and little else

double share(double value) {
    return std::clamp(value, 1e-3, 1.0);
}

double rate_of(const GemmPoint& p) {
    return 2.0 * double(p.m) * double(p.n) * double(p.k) / p.time.value;
}

double traffic_of(const GemmPoint& p) {
    const double m = double(p.m), n = double(p.n), k = double(p.k);
    return (n * k * bytes_of(p.dtype) + m * (n + k) * bytes_of(stored_dtype(p.dtype))) /
           p.time.value;
}

template <class Point, class Value>
std::vector<double> values_of(const std::vector<Point>& points, Value value) {
    std::vector<double> values;
    for (const auto& p : points) {
        if (const std::optional<double> v = value(p)) values.push_back(*v);
    }
    return values;
}

/// Arithmetic: the best rate per dtype, and the usual share of it at the most rows measured.
void fit_products(HardwareProfile& out, const std::vector<GemmPoint>& points) {
    std::int64_t most_rows = 0;
    for (const auto& p : points) most_rows = std::max(most_rows, p.m);
    for (const auto dtype : {DType::fp32, DType::fp16, DType::bf16, DType::fp8, DType::mxfp4}) {
        const auto rates = values_of(points, [&](const GemmPoint& p) -> std::optional<double> {
            return p.dtype == dtype ? std::optional(rate_of(p)) : std::nullopt;
        });
        if (rates.empty()) continue;
        out.peaks.push_back({dtype, FlopRate(*std::max_element(rates.begin(), rates.end()))});
    }
    out.gemm_efficiency =
        share(quantile(values_of(points,
                                 [&](const GemmPoint& p) -> std::optional<double> {
                                     if (p.m != most_rows) return std::nullopt;
                                     return rate_of(p) / peak_rate(out, p.dtype).value;
                                 }),
                       0.5));
}

/// Memory: products of few rows while as many devices work as were measured together.
void fit_memory(HardwareProfile& out, const std::vector<GemmPoint>& points, Bandwidth streaming) {
    int most_ranks = 1;
    for (const auto& p : points) most_ranks = std::max(most_ranks, p.ranks);
    const auto rates = values_of(points, [&](const GemmPoint& p) -> std::optional<double> {
        if (double(p.m) > kFewRows || p.ranks != most_ranks) return std::nullopt;
        return traffic_of(p);
    });
    double best = streaming.value;
    for (const double rate : rates) best = std::max(best, rate);
    if (best <= 0) {
        throw Error("calibration", "neither a streaming bandwidth nor a product of few rows",
                    "measure one of them");
    }
    out.memory_bandwidth = Bandwidth(best);
    out.memory_efficiency = rates.empty() ? 1 : share(quantile(rates, 0.5) / best);
}

void fit_attention(HardwareProfile& out, const std::vector<AttentionPoint>& points) {
    const auto shares = values_of(points, [&](const AttentionPoint& p) -> std::optional<double> {
        if (p.q_len < 2) return std::nullopt;
        const double pairs = attended_pairs(double(p.q_len), double(p.kv_len), 0);
        const double flops = 4 * double(p.batch) * double(p.heads) * double(p.head_dim) * pairs;
        return flops / p.time.value / peak_rate(out, stored_dtype(p.kv_dtype)).value;
    });
    out.attention_efficiency = shares.empty() ? out.gemm_efficiency : share(quantile(shares, 0.9));
}

/// A step's fixed cost: the shortest pass over memory seen.
void fit_launch(HardwareProfile& out, const std::vector<ElementwisePoint>& points) {
    if (points.empty()) return;
    double least = points.front().time.value;
    for (const auto& p : points) {
        least = std::min(least, std::max(p.time.value - p.bytes / out.memory_bandwidth.value, 0.0));
    }
    out.launch = Seconds(least);
}

/// A line through the smallest and the largest all-reduce of the most ranks measured.
void fit_link(HardwareProfile& out, const std::vector<CollectivePoint>& points, LinkKind kind) {
    if (out.devices < 2) return;
    const CollectivePoint *small = nullptr, *large = nullptr;
    for (const auto& p : points) {
        if (p.op != OpKind::all_reduce) continue;
        if (small == nullptr || p.ranks > small->ranks) small = large = &p;
        if (p.ranks < small->ranks) continue;
        if (p.bytes < small->bytes) small = &p;
        if (p.bytes > large->bytes) large = &p;
    }
    if (small == nullptr || small->bytes == large->bytes) {
        throw Error("calibration", "several devices, but no all-reduce of two sizes",
                    "measure collectives too");
    }
    const double n = small->ranks;
    const double slope =
        std::max((large->time - small->time).value, 1e-12) / (large->bytes - small->bytes);
    LinkProfile link;
    link.kind = kind;
    link.topology =
        kind == LinkKind::shared_memory ? Topology::shared_memory : Topology::all_to_all;
    link.devices = out.devices;
    link.bandwidth = Bandwidth(2 * (n - 1) / n / slope);
    const double fixed = std::max(small->time.value - slope * small->bytes, 0.0);
    link.base_latency = Seconds(fixed / 2);
    link.latency = Seconds(fixed / 2 / (2 * (n - 1)));
    out.links.push_back(link);
}

/// Predicts each product whose sides lie inside those of the others from products of other sides,
/// as a model's own are; the half width covers nine in ten. 0 when too few lie inside.
double left_out_width(const HardwareProfile& profile) {
    std::vector<double> errors;
    const auto& points = profile.tables.gemm;
    const auto stride = std::max<std::size_t>(1, points.size() / kMostLeftOut);
    HardwareProfile without = profile;
    for (std::size_t i = 0; i < points.size(); i += stride) {
        const auto& p = points[i];
        without.tables.gemm = points;
        std::erase_if(without.tables.gemm,
                      [&](const GemmPoint& other) { return other.n == p.n && other.k == p.k; });
        const double n = double(p.n), k = double(p.k), log_m = std::log(double(p.m));
        const auto analytic = [&](double m) { return analytic_product(profile, p.dtype, m, n, k); };
        const auto curve =
            product_curve(without, {.dtype = p.dtype, .ranks = p.ranks, .n = n, .k = k}, analytic);
        if (curve.empty() || !curve.covers(log_m)) continue;
        errors.push_back(std::abs(curve.at(log_m, analytic(double(p.m))) / p.time.value - 1));
    }
    return errors.size() < kLeastPoints ? 0 : quantile(errors, 0.9);
}

void set_source(HardwareProfile& profile, const std::string& key, const Source& source) {
    for (auto& [existing, value] : profile.sources) {
        if (existing != key) continue;
        value = source;
        return;
    }
    profile.sources.emplace_back(key, source);
}

/// What the fit misses and what the machine does not repeat are independent.
void fit_interval(HardwareProfile& out, double repeatability, const Source& measured) {
    const double width = left_out_width(out);
    if (width <= 0) {
        out.interval_compute = std::max(kUnknownWidth, repeatability);
        set_source(out, "interval_compute",
                   {SourceKind::assumed, "too few points to judge the fit", measured.date});
        return;
    }
    out.interval_compute = std::clamp(std::hypot(width, repeatability), kNarrowest, kWidest);
    set_source(out, "interval_compute", measured);
}

}  // namespace

HardwareProfile fit_profile(const MachineFacts& facts, const Tables& tables) {
    if (tables.gemm.empty()) throw Error("calibration", "no product was measured");
    HardwareProfile out;
    out.name = facts.name;
    out.description = facts.description;
    out.backend = facts.backend;
    out.architecture = facts.architecture;
    out.devices = facts.devices;
    out.sm_count = facts.sm_count;
    out.memory = facts.memory;
    out.l2_cache = facts.l2_cache;

    fit_products(out, tables.gemm);
    fit_memory(out, tables.gemm, facts.streaming);
    fit_attention(out, tables.attention);
    fit_launch(out, tables.elementwise);
    fit_link(out, tables.collectives, facts.link);
    out.attention_launch = out.launch;
    out.interval_attention = std::max(kUnknownWidth, facts.repeatability);
    out.interval_collective = std::max(kUnknownWidth, facts.repeatability);
    out.tables = tables;

    const Source measured{SourceKind::measured, facts.method, facts.date};
    for (const auto& key : figure_keys(out)) set_source(out, key, measured);
    const auto assume = [&](const char* key, const char* why) {
        set_source(out, key, {SourceKind::assumed, why, facts.date});
    };
    assume("quantise_s", "no fp8 product was measured");
    assume("attention_launch_s", "as of other steps");
    assume("interval_attention", "too few head layouts to judge the fit");
    assume("interval_collective", "waiting for a preempted peer is not modelled");
    assume("workspace_bytes", "none: the kernels' scratch is small against the activations");
    assume("communication_buffer_bytes", "none: ranks read each other's activations");
    if (tables.attention.empty()) assume("attention_efficiency", "as products: none was measured");
    if (tables.elementwise.empty()) assume("launch_s", "no small step was measured");
    fit_interval(out, facts.repeatability, measured);
    return out;
}

HardwareProfile with_tables(HardwareProfile base, const Tables& tables, const Source& source) {
    if (tables.empty()) return base;
    auto& own = base.tables;
    if (!tables.gemm.empty()) own.gemm = tables.gemm;
    if (!tables.attention.empty()) own.attention = tables.attention;
    if (!tables.elementwise.empty()) own.elementwise = tables.elementwise;
    if (!tables.collectives.empty()) own.collectives = tables.collectives;
    if (!tables.moe.empty()) own.moe = tables.moe;
    // As lookups need them, so that they need not sort: by matrix, then by rows.
    std::ranges::stable_sort(own.gemm, {},
                             [](const GemmPoint& p) { return std::tuple(p.dtype, p.n, p.k, p.m); });
    set_source(base, "tables", source);
    base.tables.widths = product_widths(base, kMostLayoutsLeftOut);
    for (const auto& more : {attention_widths(base, kMostLayoutsLeftOut), expert_widths(base)})
        base.tables.widths.insert(base.tables.widths.end(), more.begin(), more.end());
    return base;
}

}  // namespace tplan
