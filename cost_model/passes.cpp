#include "cost_model/passes.h"

#include <algorithm>
#include <cassert>

#include "core/error.h"
#include "cost_model/op_cost.h"

namespace tplan {

namespace {

/// Wider interval of a pass priced as another.
constexpr double kUnmeasuredOp = 1.5;
constexpr double kWidest = 0.9;

const PassModel* find_row(const std::vector<PassModel>& models, OpKind op) {
    const auto it = std::find_if(models.begin(), models.end(),
                                 [op](const PassModel& row) { return row.op == op; });
    return it == models.end() ? nullptr : &*it;
}

/// The op whose kernel stands for this one where it has no row: one that moves rows in the same
/// way, which is one of the same document kind but for select_last, a lookup of rows, and largest,
/// which reduces every row as a norm does.
OpKind stand_in(OpKind op) {
    if (op == OpKind::select_last) return OpKind::embedding;
    if (op == OpKind::largest) return OpKind::norm;
    switch (op_cost(op).kind) {
        case CostKind::norm:
            return OpKind::norm;
        case CostKind::embedding:
            return OpKind::embedding;
        default:
            return OpKind::add;
    }
}

}  // namespace

void check_pass_models(const std::vector<PassModel>& models, const std::string& where) {
    for (std::size_t i = 0; i < models.size(); ++i) {
        const auto& m = models[i];
        const auto at = fmt::format("{}/{}", where, i);
        require_not_negative(m.launch.value, at, "launch_s");
        require_not_negative(m.element.value, at, "element_s");
        require_positive(m.rows_per_sm, at, "rows_per_sm");
        require_fraction(m.memory_share, at, "memory_share");
        require_share(m.overlap, at, "overlap");
        require_fraction(m.half_width, at, "half_width");
        if (find_row(models, m.op) != &m) {
            throw Error(at + "/op", fmt::format("a second {}", name_of(m.op)));
        }
    }
    if (find_row(models, OpKind::add) == nullptr) {
        throw Error(where, "expected a row for add, which stands for passes without one");
    }
}

PassPricer make_pass_pricer(const HardwareProfile& hardware, OpKind op, double columns,
                            double row_bytes, double fixed_bytes) {
    assert(hardware.passes.has_value());
    const auto& models = *hardware.passes;
    const auto* row = find_row(models, op);
    const bool own = row != nullptr;
    if (!own) row = find_row(models, stand_in(op));
    const bool of_kind = row != nullptr;
    if (!of_kind) row = find_row(models, OpKind::add);
    const bool transferred = is_assumed(hardware, "passes");
    const double per_byte = 1 / (hardware.memory_bandwidth.value * row->memory_share);
    return {.launch = row->launch.value,
            .row = row->element.value * columns,
            .rows_at_once = hardware.sm_count * row->rows_per_sm,
            .row_bytes_time = row_bytes * per_byte,
            .fixed_bytes_time = fixed_bytes * per_byte,
            .overlap = row->overlap,
            .half_width = std::min(row->half_width * (own ? 1 : kUnmeasuredOp), kWidest),
            // No norm is as wide as a vocabulary.
            .inside = of_kind && op != OpKind::largest && !transferred,
            .transferred = transferred};
}

KernelCost pass_cost(const PassPricer& p, double rows) {
    KernelCost cost{.half_width = p.half_width,
                    .inside = p.inside,
                    .waits = true,
                    .transferred = p.transferred};
    cost.launch = p.launch;
    cost.compute = p.row * std::max(1.0, rows / p.rows_at_once);
    cost.memory = p.fixed_bytes_time + rows * p.row_bytes_time;
    cost.seconds = cost.launch + together(cost.compute, cost.memory, p.overlap);
    return cost;
}

}  // namespace tplan
