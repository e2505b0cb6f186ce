#include "cost_model/attention_table.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <map>
#include <optional>

#include "core/place.h"
#include "cost_model/attention.h"
#include "cost_model/kriging.h"
#include "cost_model/op_cost.h"
#include "cost_model/table_widths.h"
#include "cost_model/tables.h"

namespace tplan {

namespace {

// Of the kernel exp(-a |d log heads| - b |d log KV heads| - c |d log head size| - grouped), chosen
// by leaving head layouts out on A100, H100 and L40S.
constexpr double kHeads = 0.7, kKvHeads = 1.5, kHeadDim = 1.0;
constexpr double kGrouped = 1.0;  // between layouts that share KV heads and those that do not
constexpr double kNoise = 0.1;
constexpr std::size_t kNeighbours = 32;

struct Layout {
    std::int64_t heads = 1, kv_heads = 1, head_dim = 1;
    auto operator<=>(const Layout&) const = default;
};
struct Node {
    std::int64_t batch = 1, tokens = 1;
    auto operator<=>(const Node&) const = default;
};
struct Cell {
    double residual = 0;
    int count = 0;
    Residency residency = Residency::cold;
};
using Surface = std::map<Node, Cell>;
using Surfaces = std::map<Layout, Surface>;

/// exp(-...) of two layouts.
double likeness(double heads, double kv_heads, double head_dim, const Layout& b) {
    const double h = std::abs(std::log(heads / double(b.heads)));
    const double kv = std::abs(std::log(kv_heads / double(b.kv_heads)));
    const double d = std::abs(std::log(head_dim / double(b.head_dim)));
    const bool same = (heads > kv_heads) == (b.heads > b.kv_heads);
    return std::exp(-kHeads * h - kKvHeads * kv - kHeadDim * d - (same ? 0 : kGrouped));
}

/// Analytic time of one layout at a batch and number of tokens.
class Formula {
  public:
    Formula(const HardwareProfile& hardware, const Layout& layout, const AttentionKey& key)
        : key_(key),
          shape_{.kind = OpKind::attention,
                 .activation = bytes_of(stored_dtype(key.kv_dtype)),
                 .heads = double(layout.heads),
                 .kv_heads = double(layout.kv_heads),
                 .head_dim = double(layout.head_dim),
                 .v_head_dim = double(layout.head_dim)} {
        const auto activation = stored_dtype(key.kv_dtype);
        if (hardware.attention) {
            pricer_ = make_attention_pricer(hardware, shape_, activation);
        } else {
            line_ = roofline(hardware, Engine::attention, activation);
        }
    }

    double seconds(double batch, double tokens, Residency residency) const {
        const WorkSize work{.decode = key_.decode,
                            .batch = batch,
                            .query = key_.decode ? 1 : tokens,
                            .cached = tokens,
                            .tokens = batch * (key_.decode ? 1 : tokens),
                            .kv_bytes = bytes_of(key_.kv_dtype),
                            .residency = residency};
        if (pricer_) return attention_cost(*pricer_, work).seconds;
        const auto& row = op_cost(OpKind::attention);
        return line_.seconds(row.flops(shape_, work), row.bytes(shape_, work));
    }

  private:
    AttentionKey key_;
    StepShape shape_;
    std::optional<AttentionPricer> pricer_;
    Roofline line_;
};

bool usable(const AttentionPoint& p, const AttentionKey& key) {
    if (p.kv_dtype != key.kv_dtype || (p.q_len == 1) != key.decode) return false;
    return key.decode || p.q_len == p.kv_len;
}

int nearest_ranks(const HardwareProfile& hardware, const AttentionKey& key) {
    int nearest = 0;
    for (const auto& p : hardware.tables.attention) {
        if (usable(p, key)) nearest = nearer_ranks(nearest, p.ranks, key.ranks);
    }
    return nearest;
}

Layout layout_of(const AttentionPoint& p) {
    return {p.heads, p.kv_heads, p.head_dim};
}
Layout layout_of(const AttentionKey& key) {
    return {std::llround(key.heads), std::llround(key.kv_heads), std::llround(key.head_dim)};
}

/// The points of the key's dtype and phase by head layout, times so far: of the key's own layout if
/// `own`, else of all.
Surfaces surfaces_of(const HardwareProfile& hardware, const AttentionKey& key, int ranks,
                     bool own = false) {
    const auto wanted = layout_of(key);
    Surfaces surfaces;
    for (const auto& p : hardware.tables.attention) {
        if (!usable(p, key) || (hardware.backend == "cpu" && p.ranks != ranks)) continue;
        if (own && layout_of(p) != wanted) continue;
        auto& cell = surfaces[layout_of(p)][{p.batch, p.kv_len}];
        cell.residual += std::log(p.time.value);
        ++cell.count;
        cell.residency = p.residency.value_or(Residency::cold);
    }
    return surfaces;
}

/// Turns the times of a surface into residuals; repeated measurements are averaged.
void take_residuals(Surface& surface, const Formula& formula) {
    for (auto& [node, cell] : surface) {
        const double expected =
            formula.seconds(double(node.batch), double(node.tokens), cell.residency);
        cell.residual = cell.residual / cell.count - std::log(expected);
        cell.count = 1;
    }
}

/// Layouts that count for the key: itself, or the most alike.
std::vector<Layout> neighbours(const Surfaces& surfaces, const AttentionKey& key) {
    std::vector<Layout> all;
    for (const auto& [layout, surface] : surfaces) {
        if (double(layout.heads) == key.heads && double(layout.kv_heads) == key.kv_heads &&
            double(layout.head_dim) == key.head_dim)
            return {layout};
        all.push_back(layout);
    }
    const auto like = [&](const Layout& l) {
        return likeness(key.heads, key.kv_heads, key.head_dim, l);
    };
    std::stable_sort(all.begin(), all.end(),
                     [&](const Layout& a, const Layout& b) { return like(a) > like(b); });
    all.resize(std::min(all.size(), kNeighbours));
    return all;
}

double mean_residual(const std::vector<Surface>& surfaces) {
    double sum = 0, count = 0;
    for (const auto& surface : surfaces) {
        for (const auto& [node, cell] : surface) {
            sum += cell.residual;
            ++count;
        }
    }
    return sum / count;
}

/// The residuals of the key's layout at every measured batch and number of tokens.
std::map<Node, double> mixed(const HardwareProfile& hardware, const Surfaces& times,
                             const AttentionKey& key) {
    const auto layouts = neighbours(times, key);
    std::vector<Surface> surfaces;
    std::map<Node, double> nodes;
    for (const auto& layout : layouts) {
        surfaces.push_back(times.at(layout));
        take_residuals(surfaces.back(), Formula(hardware, layout, key));
        for (const auto& [node, cell] : surfaces.back()) nodes[node] = cell.residual;
    }
    if (layouts.size() == 1) return nodes;
    ResidualMixer mixer({.count = layouts.size(),
                         .between =
                             [&](std::size_t i, std::size_t j) {
                                 return likeness(double(layouts[i].heads),
                                                 double(layouts[i].kv_heads),
                                                 double(layouts[i].head_dim), layouts[j]);
                             },
                         .to =
                             [&](std::size_t i) {
                                 return likeness(key.heads, key.kv_heads, key.head_dim, layouts[i]);
                             },
                         .noise = kNoise,
                         .mean = mean_residual(surfaces)});
    for (auto& [node, residual] : nodes) {
        std::vector<std::optional<double>> values;
        std::vector<Residency> lie;
        for (const auto& surface : surfaces) {
            const auto at = surface.find(node);
            values.push_back(at == surface.end() ? std::nullopt
                                                 : std::optional(at->second.residual));
            lie.push_back(at == surface.end() ? Residency::cold : at->second.residency);
        }
        residual = *mixer.mix(values, lie, key.residency);
    }
    return nodes;
}

bool within(const std::vector<double>& ascending, double x) {
    constexpr double kSlack = 1e-9;
    return x >= ascending.front() - kSlack && x <= ascending.back() + kSlack;
}

AttentionGrid grid_of(const std::map<Node, double>& nodes) {
    AttentionGrid grid;
    std::vector<ScatteredPoint> scattered;
    for (const auto& [node, residual] : nodes) {
        const double b = std::log(double(node.batch)), t = std::log(double(node.tokens));
        scattered.push_back({b, t, residual});
        grid.log_batch.push_back(b);
        grid.log_tokens.push_back(t);
    }
    for (auto* list : {&grid.log_batch, &grid.log_tokens}) {
        std::sort(list->begin(), list->end());
        list->erase(std::unique(list->begin(), list->end()), list->end());
    }
    for (const double b : grid.log_batch) {
        for (const double t : grid.log_tokens)
            grid.residual.push_back(interpolate(scattered, b, t));
    }
    return grid;
}

/// Adds the errors of the rows of `layout`, predicted from the other layouts. Every row counts:
/// two measurements that differ are both to be covered.
void judge_left_out(const HardwareProfile& hardware, const Surfaces& all, const Layout& layout,
                    AttentionKey key, LeftOutErrors& errors) {
    auto others = all;
    others.erase(layout);
    key.heads = double(layout.heads);
    key.kv_heads = double(layout.kv_heads);
    key.head_dim = double(layout.head_dim);
    const Formula formula(hardware, layout, key);
    std::array<std::optional<std::map<Node, double>>, 3> predicted;
    for (const auto& p : hardware.tables.attention) {
        if (!usable(p, key) || layout_of(p) != layout) continue;
        key.residency = p.residency.value_or(Residency::cold);
        auto& residuals = predicted[std::size_t(key.residency)];
        if (!residuals) residuals = mixed(hardware, others, key);
        const auto at = residuals->find({p.batch, p.kv_len});
        if (at == residuals->end()) continue;
        const double batch = double(p.batch), tokens = double(p.kv_len);
        const double time = formula.seconds(batch, tokens, key.residency) * std::exp(at->second);
        errors.add(key.kv_dtype, key.residency, attention_regime(key.decode, batch, tokens),
                   time / p.time.value - 1);
    }
}

}  // namespace

double AttentionGrid::at(double log_batch_, double log_tokens_) const {
    assert(!empty());
    const auto batch = place_of(log_batch, log_batch_), tokens = place_of(log_tokens, log_tokens_);
    const auto row = [&](std::size_t i) {
        return tokens.in(std::span(residual).subspan(i * log_tokens.size(), log_tokens.size()));
    };
    const double low = row(batch.low);
    return batch.share == 0 ? low : low + batch.share * (row(batch.low + 1) - low);
}

bool AttentionGrid::covers(double log_batch_, double log_tokens_) const {
    return inside && within(log_batch, log_batch_) && within(log_tokens, log_tokens_);
}

AttentionGrid attention_grid(const HardwareProfile& hardware, const AttentionKey& key) {
    const int ranks = nearest_ranks(hardware, key);
    if (ranks == 0) return {};
    auto surfaces = surfaces_of(hardware, key, ranks, true);
    const bool measured = !surfaces.empty();
    if (!measured) surfaces = surfaces_of(hardware, key, ranks);
    auto grid = grid_of(mixed(hardware, surfaces, key));
    // Between measured layouts of a GPU is what the table was judged on; a CPU has too few.
    const bool cpu = hardware.backend == "cpu";
    grid.half_width = half_widths(hardware.tables, OpKind::attention, key.kv_dtype, key.residency);
    grid.inside = cpu ? measured && ranks == key.ranks : measured || surfaces.size() > 2;
    return grid;
}

std::vector<TableWidth> attention_widths(const HardwareProfile& hardware,
                                         std::size_t most_left_out) {
    LeftOutErrors errors;
    for (const auto kv_dtype : {DType::fp32, DType::fp16, DType::bf16, DType::fp8}) {
        for (const bool decode : {false, true}) {
            const AttentionKey key{.kv_dtype = kv_dtype, .decode = decode};
            const int ranks = nearest_ranks(hardware, key);
            if (ranks == 0) continue;
            const auto all = surfaces_of(hardware, key, ranks);
            if (all.size() < 3) continue;
            const auto stride = std::max<std::size_t>(1, all.size() / most_left_out);
            std::size_t i = 0;
            for (const auto& [layout, times] : all) {
                if (i++ % stride != 0) continue;
                errors.next_shape();
                judge_left_out(hardware, all, layout, key, errors);
            }
        }
    }
    return errors.widths(OpKind::attention);
}

}  // namespace tplan
