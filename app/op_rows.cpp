#include "app/op_rows.h"

#include <algorithm>
#include <array>

namespace tplan {

namespace {

constexpr std::int64_t kMostCount = std::int64_t{1} << 31;
constexpr std::int64_t kMostBytes = std::int64_t{1} << 44;

/// The cells of one row by name.
struct Cells {
    const CsvTable& table;
    std::size_t row;

    bool has(std::string_view name) const {
        const int at = table.column(name);
        return at >= 0 && !table.cell(row, static_cast<std::size_t>(at)).empty();
    }
    std::size_t column(std::string_view name) const {
        const int at = table.column(name);
        if (at < 0) {
            throw Error(fmt::format("{}:{}", table.file, table.lines[row]),
                        fmt::format("this op needs a column \"{}\"", name),
                        "add it to the header; columns of other ops may stay empty");
        }
        return static_cast<std::size_t>(at);
    }
    std::string_view text(std::string_view name) const { return table.cell(row, column(name)); }
    std::string where(std::string_view name) const { return table.where(row, column(name)); }
    std::int64_t count(std::string_view name, std::int64_t low = 1,
                       std::int64_t high = kMostCount) const {
        return csv_count(table, row, column(name), low, high);
    }
    template <class E>
    E choice(std::string_view name) const {
        return parse_enum<E>(text(name), fmt::format("{}: \"{}\"", where(name), name));
    }
};

Residency residency_of(const Cells& cells) {
    if (!cells.has("l2") || cells.text("l2") == "n/a") return Residency::cold;
    return cells.choice<Residency>("l2");
}

void read_product(const Cells& cells, OpRow& out) {
    out.dtype = cells.text("dtype");
    ProductSize size{.dtype = cells.choice<DType>("dtype"),
                     .m = cells.count("m"),
                     .n = cells.count("n"),
                     .k = cells.count("k"),
                     .residency = residency_of(cells)};
    out.regime = regime_of_rows(static_cast<double>(size.m));
    out.size = size;
}

void read_collective(const Cells& cells, OpRow& out) {
    CollectiveSize size;
    size.op = parse_enum<OpKind>(out.op, "op");
    out.dtype = cells.text("dtype");
    size.one_byte = out.dtype == "int8" || out.dtype == "uint8" || out.dtype.starts_with("fp8");
    size.ranks = static_cast<int>(cells.count("num_gpus", 2, 4096));
    size.bytes = static_cast<double>(cells.count("message_bytes", 1, kMostBytes));
    out.impl = cells.text("impl");
    const auto where = fmt::format("{}: \"impl\"", cells.where("impl"));
    size.implementation = parse_enum<CollectiveImpl>(
        out.impl.starts_with("cpu-shm") ? "cpu-shm" : out.impl.substr(0, out.impl.find('-')),
        where);
    if (cells.has("mode")) size.mode.value = cells.choice<CollectiveMode>("mode");
    constexpr std::array kRegimes = {"<=256KiB", "256KiB-16MiB", ">16MiB"};
    out.regime = kRegimes[collective_regime(size.bytes)];
    out.size = size;
}

void read_attention(const Cells& cells, OpRow& out) {
    const auto phase = cells.text("phase");
    if (phase != "context" && phase != "generation") {
        throw Error(fmt::format("{}: \"phase\"", cells.where("phase")),
                    fmt::format("expected context or generation, got \"{}\"", shown(phase)));
    }
    out.dtype = cells.text("kv_dtype");
    AttentionSize size{.decode = phase == "generation",
                       .kv_dtype = cells.choice<DType>("kv_dtype"),
                       .batch = cells.count("batch"),
                       .q_len = cells.count("q_len"),
                       .kv_len = cells.count("kv_len"),
                       .heads = cells.count("num_heads"),
                       .kv_heads = cells.count("num_kv_heads"),
                       .head_dim = cells.count("head_dim"),
                       .residency = residency_of(cells)};
    if (size.kv_len < size.q_len)
        throw Error(cells.where("kv_len"),
                    fmt::format("kv_len {} is less than q_len {}", size.kv_len, size.q_len),
                    "kv_len counts the new tokens too");
    if (size.heads % size.kv_heads != 0)
        throw Error(
            cells.where("num_kv_heads"),
            fmt::format("{} KV heads do not divide {} query heads", size.kv_heads, size.heads));
    constexpr std::array kRegimes = {"prefill<4k", "prefill>=4k", "decode"};
    out.regime = kRegimes[attention_regime(size.decode, static_cast<double>(size.batch),
                                           static_cast<double>(size.kv_len))];
    out.size = size;
}

void read_experts(const Cells& cells, OpRow& out) {
    out.dtype = cells.text("dtype");
    ExpertsSize size{.dtype = cells.choice<DType>("dtype"),
                     .tokens = cells.count("num_tokens"),
                     .hidden = cells.count("hidden"),
                     .inter = cells.count("inter"),
                     .top_k = cells.count("topk"),
                     .experts = cells.count("num_experts"),
                     .tp = cells.count("tp")};
    if (size.top_k > size.experts)
        throw Error(cells.where("topk"), fmt::format("{} experts a token, but only {} there are",
                                                     size.top_k, size.experts));
    if (size.inter % size.tp != 0)
        throw Error(cells.where("tp"),
                    fmt::format("{} ranks do not divide inter {}", size.tp, size.inter));
    out.regime = regime_of_rows(static_cast<double>(size.tokens));
    out.size = size;
}

/// One row per kind of op: its names in the `op` column, a column that no other kind has, and its
/// reader.
struct OpReader {
    std::string_view name;        // as figures name it
    std::string_view spelling;    // as a file may also spell it
    std::string_view own_column;  // tells the kind of a file without `op`; empty: it cannot
    void (*read)(const Cells&, OpRow&);
};
constexpr std::array kOpReaders = {
    OpReader{"gemm", "", "m", read_product},
    OpReader{"attention", "", "phase", read_attention},
    OpReader{"moe", "", "num_experts", read_experts},
    OpReader{"all_reduce", "allreduce", "", read_collective},
    OpReader{"all_gather", "allgather", "", read_collective},
    OpReader{"reduce_scatter", "reducescatter", "", read_collective},
    OpReader{"all_to_all", "alltoall", "", read_collective},
};

const OpReader& reader_named(const CsvTable& table, std::size_t row, std::size_t column) {
    const auto name = table.cell(row, column);
    std::vector<std::string> names;
    for (const auto& reader : kOpReaders) {
        if (name == reader.name || (!name.empty() && name == reader.spelling)) return reader;
        names.emplace_back(reader.name);
    }
    const auto near = did_you_mean(name, names);
    throw Error(table.where(row, column), fmt::format("unknown op \"{}\"", shown(name)),
                near.empty() ? "ops: " + join(names, ", ") : near);
}

/// The kind that all rows of a table without `op` have; nullptr when its columns do not tell.
const OpReader* reader_of_columns(const CsvTable& table) {
    for (const auto& reader : kOpReaders) {
        if (!reader.own_column.empty() && table.column(reader.own_column) >= 0) return &reader;
    }
    return nullptr;
}

}  // namespace

std::string regime_of_rows(double rows) {
    constexpr std::array kRegimes = {"m<=64", "64<m<1024", "m>=1024"};
    return kRegimes[gemm_regime(rows)];
}

bool holds_single_ops(const CsvTable& table) {
    return table.column("op") >= 0 || reader_of_columns(table) != nullptr;
}

std::vector<OpRow> read_op_rows(const CsvTable& table) {
    const int op = table.column("op");
    const auto* common = op < 0 ? reader_of_columns(table) : nullptr;
    if (op < 0 && common == nullptr) {
        throw Error(table.file + ":1",
                    "neither an \"op\" column nor the columns of a single op: m, n, k (gemm); "
                    "phase, kv_len, .. (attention); num_experts, .. (moe)",
                    "see `tplan predict --help`");
    }
    std::vector<OpRow> rows(table.rows());
    for (std::size_t r = 0; r < rows.size(); ++r) {
        const auto& reader =
            common ? *common : reader_named(table, r, static_cast<std::size_t>(op));
        rows[r].row = r;
        rows[r].op = reader.name;
        reader.read({table, r}, rows[r]);
    }
    return rows;
}

}  // namespace tplan
