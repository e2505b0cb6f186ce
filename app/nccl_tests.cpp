#include "app/nccl_tests.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <set>
#include <sstream>

#include "core/error.h"
#include "core/text.h"
#include "cost_model/collective_fit.h"

// NVIDIA/nccl-tests: src/common.cu (what is printed), doc/PERFORMANCE.md (bus bandwidth).

namespace tplan {

namespace {

using Words = std::vector<std::string>;

Words words_of(const std::string& line) {
    std::istringstream in(line);
    Words words;
    for (std::string word; in >> word;) words.push_back(word);
    return words;
}

/// The programs of the suite by the collective they time.
struct Program {
    std::string_view name;
    OpKind op;
};
constexpr std::array kPrograms = {Program{"all_reduce_perf", OpKind::all_reduce},
                                  Program{"all_gather_perf", OpKind::all_gather},
                                  Program{"reduce_scatter_perf", OpKind::reduce_scatter},
                                  Program{"alltoall_perf", OpKind::all_to_all}};

/// What the head of a log says; figures come after it.
struct Log {
    std::string file;
    std::optional<OpKind> op;
    int ranks = 0;
    std::set<std::string> hosts;
    bool graph = false;
    std::ptrdiff_t size = -1, redop = -1, time = -1, algbw = -1, busbw = -1;  // columns
};

void read_heading(Log& log, const std::string& line) {
    for (const auto& program : kPrograms) {
        if (line.find(program.name) != std::string::npos) log.op = program.op;
    }
    auto words = words_of(line);
    const auto after = [&](const char* key) {
        const auto at = std::find(words.begin(), words.end(), key);
        return at == words.end() || at + 1 == words.end() ? std::string() : *(at + 1);
    };
    if (words.size() > 2 && words[1] == "Rank") {
        ++log.ranks;
        log.hosts.insert(after("on"));
    }
    if (const auto graph = after("graph:"); !graph.empty()) log.graph = graph != "0";
    if (words.size() < 4 || words[1] != "size") return;
    words.erase(words.begin());  // the '#'
    const auto column = [&](const char* name) {
        const auto at = std::find(words.begin(), words.end(), name);
        return at == words.end() ? std::ptrdiff_t{-1} : at - words.begin();
    };
    log.size = column("size");
    log.redop = column("redop");
    log.time = column("time");
    log.algbw = column("algbw");
    log.busbw = column("busbw");
}

double number(const Words& words, std::ptrdiff_t column, const Log& log, int line) {
    double value = 0;
    if (column < std::ptrdiff_t(words.size())) {
        const auto& word = words[std::size_t(column)];
        const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
        if (error == std::errc() && end == word.data() + word.size() && std::isfinite(value))
            return value;
    }
    throw Error(fmt::format("{}:{}", log.file, line),
                fmt::format("expected a number in column {}", column + 1),
                "give what nccl-tests printed, unchanged");
}

/// An older log does not name its program: the ratio of bus to algorithm bandwidth, and whether
/// something is reduced, tell the collective.
std::optional<OpKind> op_from_figures(const Words& words, const Log& log, int line) {
    if (log.algbw < 0 || log.busbw < 0 || log.redop < 0) return std::nullopt;
    const double ratio = number(words, log.busbw, log, line) / number(words, log.algbw, log, line);
    const auto fits = [&](OpKind op) {
        return std::abs(ratio / bus_factor(op, log.ranks) - 1) < 0.04;  // three digits are printed
    };
    if (words[std::size_t(log.redop)] == "none") return std::nullopt;  // all-gather or all-to-all
    if (fits(OpKind::all_reduce)) return OpKind::all_reduce;
    if (fits(OpKind::reduce_scatter)) return OpKind::reduce_scatter;
    return std::nullopt;
}

void require_head(const Log& log, bool figures) {
    if (log.size < 0 || log.time < 0 || !figures)
        throw Error(log.file,
                    "no figures of nccl-tests: a heading \"#  size .. time ..\" and rows below it",
                    "give the whole output, or a CSV with a header row");
    if (log.ranks < 2)
        throw Error(
            log.file,
            fmt::format("{} lines \"#  Rank ..\"; expected one per GPU, at least 2", log.ranks),
            "give the whole output, its heading included");
    if (log.hosts.size() > 1)
        throw Error(log.file, fmt::format("ran on {} hosts", log.hosts.size()),
                    "tables are of one node: give a log of one");
}

}  // namespace

bool looks_like_nccl_tests(std::string_view text) {
    return text.starts_with("#") || text.find("\n#") != std::string_view::npos;
}

std::vector<CollectivePoint> parse_nccl_tests(const std::string& text, const std::string& file) {
    Log log;
    log.file = file;
    std::istringstream in(text);
    std::vector<std::pair<int, Words>> figures;
    int line = 0;
    for (std::string row; std::getline(in, row);) {
        ++line;
        const auto words = words_of(row);
        if (words.empty()) continue;
        if (row.find('#') == row.find_first_not_of(" \t")) {
            read_heading(log, row);
        } else if (words[0].find_first_not_of("0123456789") == std::string::npos) {
            figures.emplace_back(line, words);
        }
    }
    require_head(log, !figures.empty());
    if (!log.op) log.op = op_from_figures(figures.back().second, log, figures.back().first);
    if (!log.op)
        throw Error(file, "does not say which collective it timed",
                    "put its program's name first, \"# all_gather_perf\"; all_reduce, all_gather, "
                    "reduce_scatter and alltoall are read");
    std::vector<CollectivePoint> points;
    for (const auto& [at, words] : figures) {
        const double bytes = number(words, log.size, log, at);
        const double us = number(words, log.time, log, at);
        if (bytes <= 0) continue;  // sizes below one element per rank are printed as 0
        if (us <= 0) throw Error(fmt::format("{}:{}", file, at), "a time that is not above 0");
        const double whole = *log.op == OpKind::all_to_all ? bytes * log.ranks : bytes;
        auto& point = points.emplace_back();
        point = {*log.op, CollectiveImpl::nccl, log.ranks, whole, Seconds(us * 1e-6), {}};
        if (log.graph) point.mode = CollectiveMode::graph;
    }
    return points;
}

}  // namespace tplan
