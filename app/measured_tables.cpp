#include "app/measured_tables.h"

#include <algorithm>

#include "app/nccl_tests.h"
#include "app/op_rows.h"
#include "core/files.h"
#include "cost_model/collectives.h"

namespace tplan {

namespace {

void add_point(Tables& tables, const ProductSize& size, Seconds time) {
    auto& p = tables.gemm.emplace_back();
    p = {size.dtype, 1, size.m, size.n, size.k, time, {}};
    if (size.residency != Residency::cold) p.residency = size.residency;
}

void add_point(Tables& tables, const AttentionSize& size, Seconds time) {
    // A prefill of one token is told apart from a decode by nothing a point holds.
    if (!size.decode && (size.q_len == 1 || size.q_len != size.kv_len)) return;
    if (size.decode && size.q_len != 1) return;
    auto& p = tables.attention.emplace_back();
    p = {size.kv_dtype, 1,    size.batch, size.q_len, size.kv_len, size.heads, size.kv_heads,
         size.head_dim, time, {}};
    if (size.residency != Residency::cold) p.residency = size.residency;
}

void add_point(Tables& tables, const ExpertsSize& size, Seconds time) {
    tables.moe.push_back({size.dtype, size.tokens, size.hidden, size.inter / size.tp, size.top_k,
                          size.experts, time});
}

void add_point(Tables& tables, const CollectiveSize& size, Seconds time) {
    if (size.one_byte) return;
    const double whole = size.op == OpKind::all_to_all ? size.bytes * size.ranks : size.bytes;
    auto& p = tables.collectives.emplace_back();
    p = {size.op, size.implementation, size.ranks, whole, time, {}};
    const auto& mode = size.mode.value;
    if (mode && *mode != usual_mode(size.implementation)) p.mode = mode;
}

void add_point(Tables&, const PassSize&, Seconds) {
    // No file of single ops holds passes over memory.
}

std::size_t points_in(const Tables& t) {
    return t.gemm.size() + t.attention.size() + t.collectives.size() + t.moe.size();
}

std::string name_as_column(std::string name) {
    std::ranges::replace(name, '-', '_');
    return name;
}

/// Which rows are of `system`, or, if it is empty, of the profile where the file has several.
std::vector<bool> rows_of_system(const CsvTable& table, const std::string& system,
                                 const HardwareProfile& hardware) {
    std::vector<bool> keep(table.rows(), true);
    const int column = table.column("system");
    if (column < 0) return keep;
    std::vector<std::string> seen;
    for (std::size_t r = 0; r < table.rows(); ++r) {
        const auto cell = table.cell(r, std::size_t(column));
        if (!std::ranges::count(seen, cell)) seen.emplace_back(cell);
    }
    if (system.empty() && seen.size() <= 1) return keep;
    const auto wanted = system.empty() ? name_as_column(hardware.name) : system;
    if (!std::ranges::count(seen, wanted))
        throw Error(table.file, fmt::format("no rows of system \"{}\"", shown(wanted)),
                    "name one with --system: " + join(seen, ", "));
    for (std::size_t r = 0; r < keep.size(); ++r)
        keep[r] = table.cell(r, std::size_t(column)) == wanted;
    return keep;
}

void require_latency(const CsvTable& table) {
    if (table.column("latency_us") >= 0) return;
    throw Error(table.file + ":1", "no column \"latency_us\": a table is made of measured times",
                did_you_mean("latency_us", table.columns));
}

void add_csv(Tables& tables, const CsvTable& table, const std::vector<bool>& keep) {
    require_latency(table);
    const auto latency = std::size_t(table.column("latency_us"));
    for (const auto& op : read_op_rows(table)) {
        if (!keep[op.row]) continue;
        const double us = csv_number(table, op.row, latency);
        if (us <= 0)
            throw Error(table.where(op.row, latency),
                        fmt::format("a time of {}; expected more than 0", us));
        std::visit([&](const auto& size) { add_point(tables, size, Seconds(us * 1e-6)); }, op.size);
    }
}

/// More ranks than devices would be another node's.
void require_ranks(const Tables& tables, std::size_t from, const std::string& file,
                   const HardwareProfile& hardware) {
    for (auto i = from; i < tables.collectives.size(); ++i) {
        const int ranks = tables.collectives[i].ranks;
        if (ranks <= hardware.devices) continue;
        throw Error(file,
                    fmt::format("a collective of {} GPUs; {} has {} in a node", ranks,
                                hardware.name, hardware.devices),
                    "leave such rows out");
    }
}

}  // namespace

Tables read_measured_tables(const std::vector<std::string>& files, const std::string& system,
                            const HardwareProfile& hardware) {
    Tables tables;
    bool known = system.empty();
    for (const auto& file : files) {
        const auto before = points_in(tables), collectives = tables.collectives.size();
        auto text = read_file(file, CsvLimits{}.bytes);
        if (looks_like_nccl_tests(text)) {
            const auto points = parse_nccl_tests(text, file);
            tables.collectives.insert(tables.collectives.end(), points.begin(), points.end());
        } else {
            const auto table = parse_csv(std::move(text), file);
            known = known || table.column("system") >= 0;
            add_csv(tables, table, rows_of_system(table, system, hardware));
        }
        require_ranks(tables, collectives, file, hardware);
        if (points_in(tables) == before) throw Error(file, "no row that a table can use");
    }
    if (!known)
        throw Error("--system " + system, "no file has a column \"system\"", "leave it out");
    return tables;
}

}  // namespace tplan
