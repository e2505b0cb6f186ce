#include "app/accuracy.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "app/layer_rows.h"
#include "core/statistics.h"

namespace tplan {

namespace {

/// One measured time beside its prediction.
struct Judged {
    double measured = 0, predicted = 0, low = 0, high = 0;
};

/// Judged rows of one (op, dtype, impl), in the order in which the file names them.
struct Family {
    std::string op, dtype, impl;
    std::vector<std::pair<std::string, Judged>> rows;  // regime first
};

/// A row that passes has the wanted value in each of these columns.
struct Wanted {
    std::size_t column;
    std::string value;
    bool prefix;  // the part before the first '-' is enough
};

bool matches(std::string_view cell, const Wanted& wanted) {
    return cell == wanted.value ||
           (wanted.prefix && cell.substr(0, cell.find('-')) == wanted.value);
}

std::vector<Wanted> wanted_cells(const CsvTable& table, const RowFilter& filter) {
    std::vector<Wanted> wanted;
    const auto add = [&](const std::string& column, const std::string& value, bool prefix) {
        const int at = table.column(column);
        if (at < 0) {
            const auto near = did_you_mean(column, table.columns);
            throw Error(table.file + ":1", fmt::format("no column \"{}\"", shown(column)),
                        near.empty() ? "columns: " + join(table.columns, ", ") : near);
        }
        wanted.push_back({static_cast<std::size_t>(at), value, prefix});
    };
    if (!filter.system.empty()) add("system", filter.system, false);
    if (!filter.impl.empty()) add("impl", filter.impl, true);
    if (!filter.mode.empty()) add("mode", filter.mode, false);
    for (const auto& [column, value] : filter.where) add(column, value, false);
    return wanted;
}

/// Which rows pass all conditions. Throws when none does, naming what the first column that lets
/// none through holds.
std::vector<bool> passing_rows(const CsvTable& table, const std::vector<Wanted>& wanted) {
    std::vector<bool> passes(table.rows(), true);
    for (const auto& want : wanted) {
        std::vector<std::string> seen;
        bool any = false;
        for (std::size_t r = 0; r < passes.size(); ++r) {
            if (!passes[r]) continue;
            const auto cell = table.cell(r, want.column);
            passes[r] = matches(cell, want);
            any = any || passes[r];
            if (seen.size() < 10 && !std::ranges::count(seen, cell)) seen.emplace_back(cell);
        }
        if (any) continue;
        throw Error(table.file,
                    fmt::format("no row is left with {} = \"{}\"", table.columns[want.column],
                                shown(want.value)),
                    "there it says: " + join(seen, ", "));
    }
    if (table.rows() == 0) throw Error(table.file, "no rows below the header");
    return passes;
}

double measured_time(const CsvTable& table, std::size_t row, std::size_t column) {
    const double us = csv_number(table, row, column);
    if (us > 0) return us * 1e-6;
    throw Error(table.where(row, column), fmt::format("a time of {}; expected more than 0", us));
}

Family& family_of(std::vector<Family>& families, std::string op, std::string dtype,
                  std::string impl) {
    for (auto& f : families) {
        if (f.op == op && f.dtype == dtype && f.impl == impl) return f;
    }
    return families.emplace_back(Family{std::move(op), std::move(dtype), std::move(impl), {}});
}

std::vector<Family> judge_ops(const HardwareProfile& hardware, const CsvTable& table,
                              const std::vector<bool>& passes) {
    const int latency = table.column("latency_us");
    if (latency < 0)
        throw Error(table.file + ":1", "no column \"latency_us\": nothing to compare with",
                    "use `tplan predict` to price rows that were not measured");
    std::vector<Family> families;
    SingleOpPricer pricer(hardware);
    for (auto& op : read_op_rows(table)) {
        if (!passes[op.row]) continue;
        const auto cost = price_row(pricer, op.size, table, op.row);
        const auto interval = interval_around(cost.time, cost.time * cost.half_width);
        family_of(families, std::move(op.op), std::move(op.dtype), std::move(op.impl))
            .rows.emplace_back(
                std::move(op.regime),
                Judged{measured_time(table, op.row, static_cast<std::size_t>(latency)),
                       cost.time.value, interval[0].value, interval[1].value});
    }
    return families;
}

CostKind kind_of(const OpSize& size) {
    if (std::holds_alternative<ProductSize>(size)) return CostKind::linear;
    if (std::holds_alternative<AttentionSize>(size)) return CostKind::attention;
    if (std::holds_alternative<ExpertsSize>(size)) return CostKind::moe;
    if (const auto* c = std::get_if<CollectiveSize>(&size)) return op_cost(c->op).kind;
    return op_cost(std::get<PassSize>(size).op).kind;
}

/// The sum of the parts, with its interval as in a step.
Judged price_parts(SingleOpPricer& pricer, const LayerOp& op, const CsvTable& table) {
    Judged out;
    KindSums kinds;
    for (const auto& part : op.parts) {
        const auto cost = price_row(pricer, part.size, table, op.row);
        const double time = part.times * cost.time.value;
        out.predicted += time;
        kinds.add(kind_of(part.size), time, cost.half_width, cost.shared);
    }
    const auto interval = kinds.interval(Seconds(out.predicted));
    out.low = interval[0].value;
    out.high = interval[1].value;
    return out;
}

std::vector<Family> judge_layers(const HardwareProfile& hardware, const CsvTable& table,
                                 const std::vector<bool>& passes) {
    std::vector<Family> families;
    SingleOpPricer pricer(hardware);
    for (auto& op : read_layer_rows(table)) {
        if (!passes[op.row]) continue;
        auto judged = price_parts(pricer, op, table);
        judged.measured = measured_time(table, op.row, op.column);
        family_of(families, op.op, op.dtype, "").rows.emplace_back(op.regime, judged);
    }
    return families;
}

AccuracyGroup summarise(const Family& family, const std::string& regime) {
    AccuracyGroup group{
        .op = family.op, .dtype = family.dtype, .impl = family.impl, .regime = regime};
    std::vector<double> errors, widths;
    double logs = 0;
    int inside = 0;
    for (const auto& [of, row] : family.rows) {
        if (regime != "all" && of != regime) continue;
        const double ratio = row.predicted / row.measured;
        errors.push_back(std::abs(ratio - 1));
        widths.push_back((row.high - row.low) / (2 * row.predicted));
        logs += std::log(ratio);
        inside += row.measured >= row.low && row.measured <= row.high;
    }
    group.n = static_cast<int>(errors.size());
    const auto n = static_cast<double>(errors.size());
    for (const double e : errors) group.mape += e / n;
    group.median_ape = quantile(errors, 0.5);
    group.p90_ape = quantile(errors, 0.9);
    group.bias = std::exp(logs / n);
    group.coverage_90 = inside / n;
    group.half_width_90 = quantile(widths, 0.5);
    return group;
}

/// In this order, whatever the file's.
constexpr std::array<std::string_view, 9> kRegimes = {"m<=64",      "64<m<1024",    "m>=1024",
                                                      "<=256KiB",   "256KiB-16MiB", ">16MiB",
                                                      "prefill<4k", "prefill>=4k",  "decode"};

}  // namespace

AccuracyDocument accuracy(const HardwareProfile& hardware, const CsvTable& table,
                          const RowFilter& filter) {
    const auto passes = passing_rows(table, wanted_cells(table, filter));
    const auto families = holds_layers(table) ? judge_layers(hardware, table, passes)
                                              : judge_ops(hardware, table, passes);
    AccuracyDocument document;
    document.hardware = hardware.name;
    document.file = table.file;
    for (const auto& family : families) {
        for (const auto regime : kRegimes) {
            const auto of = [&](const auto& row) { return row.first == regime; };
            if (std::ranges::any_of(family.rows, of))
                document.groups.push_back(summarise(family, std::string(regime)));
        }
        document.groups.push_back(summarise(family, "all"));
    }
    return document;
}

std::string accuracy_text(const AccuracyDocument& document) {
    std::vector<std::vector<std::string>> rows{{"op", "dtype", "impl", "regime", "n", "MAPE",
                                                "median", "P90", "bias", "in 90 %", "half width"}};
    for (const auto& g : document.groups) {
        rows.push_back({g.op, g.dtype, g.impl, g.regime, std::to_string(g.n),
                        format_percent(g.mape), format_percent(g.median_ape),
                        format_percent(g.p90_ape), fmt::format("{:.3f}", g.bias),
                        format_percent(g.coverage_90), format_percent(g.half_width_90)});
    }
    return fmt::format("{} on {}\n\n{}", document.file, document.hardware, format_table(rows));
}

}  // namespace tplan
