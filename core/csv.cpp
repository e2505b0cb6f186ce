#include "core/csv.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>

#include "core/error.h"
#include "core/files.h"
#include "core/text.h"

// Shafranovich, RFC 4180: Common format and MIME type for CSV files, 2005. Stricter: a quoted cell
// may not hold line ends, so that a forgotten quote is reported where it stands.

namespace tplan {

namespace {

/// Walks the text once, resolving quotes in place: a cell never grows.
struct Scanner {
    CsvTable& table;
    const CsvLimits& limits;
    std::size_t at = 0;
    std::size_t line_start = 0;
    std::uint32_t line = 1;

    [[noreturn]] void fail(std::size_t offset, const std::string& what,
                           const std::string& hint = {}) const {
        throw Error(fmt::format("{}:{}:{}", table.file, line, offset - line_start + 1), what, hint);
    }

    bool ended() const { return at >= table.text.size(); }
    bool at_line_end() const {
        return ended() || table.text[at] == '\n' ||
               (table.text[at] == '\r' && at + 1 < table.text.size() && table.text[at + 1] == '\n');
    }

    void next_line() {
        if (!ended() && table.text[at] == '\r') ++at;
        if (!ended()) ++at;
        line_start = at;
        ++line;
    }

    CsvTable::Cell quoted_cell() {
        auto& text = table.text;
        const auto open = at++;
        auto to = at;
        const auto from = at;
        while (true) {
            if (ended() || text[at] == '\n')
                fail(open, "a quote that is not closed on its line",
                     "close it, or double a quote that belongs to the text");
            if (text[at] == '"') {
                ++at;
                if (ended() || text[at] != '"') break;
            }
            text[to++] = text[at++];
        }
        if (!at_line_end() && text[at] != ',')
            fail(at, "text after a closing quote", "double a quote that belongs to the text");
        return {static_cast<std::uint32_t>(from), static_cast<std::uint32_t>(to - from)};
    }

    CsvTable::Cell cell() {
        if (!ended() && table.text[at] == '"') return quoted_cell();
        const auto from = at;
        while (!at_line_end() && table.text[at] != ',') {
            if (table.text[at] == '"')
                fail(at, "a quote inside an unquoted cell", "quote the whole cell");
            if (table.text[at] == '\0') fail(at, "a NUL byte", "give text, not binary data");
            ++at;
        }
        return {static_cast<std::uint32_t>(from), static_cast<std::uint32_t>(at - from)};
    }

    /// Appends the cells of one line to `out`.
    void row(std::vector<CsvTable::Cell>& out) {
        out.push_back(cell());
        while (!at_line_end()) {
            ++at;  // the comma
            if (out.size() >= limits.cells)
                fail(at,
                     fmt::format("more than {} cells", format_count(std::int64_t(limits.cells))),
                     "split the file");
            out.push_back(cell());
        }
    }
};

void read_header(Scanner& scan) {
    auto& table = scan.table;
    std::vector<CsvTable::Cell> names;
    if (scan.at_line_end()) scan.fail(scan.at, "expected a header row, found an empty line");
    scan.row(names);
    if (names.size() > scan.limits.columns)
        scan.fail(0, fmt::format("{} columns; {} are allowed", names.size(), scan.limits.columns));
    for (const auto& [offset, length] : names) {
        auto name = table.text.substr(offset, length);
        if (table.column(name) >= 0)
            scan.fail(offset, fmt::format("a second column \"{}\"", shown(name)), "rename one");
        table.columns.push_back(std::move(name));
    }
    scan.next_line();
}

}  // namespace

int CsvTable::column(std::string_view name) const {
    const auto at = std::find(columns.begin(), columns.end(), name);
    return at == columns.end() ? -1 : static_cast<int>(at - columns.begin());
}

std::string CsvTable::where(std::size_t row, std::size_t column) const {
    const auto& c = cells[row * columns.size() + column];
    return fmt::format("{}:{}:{}", file, lines[row], c.offset - starts[row] + 1);
}

CsvTable parse_csv(std::string text, const std::string& file, const CsvLimits& limits) {
    if (text.size() > limits.bytes) {
        throw Error(file,
                    fmt::format("{} is more than {}", format_bytes(Bytes(double(text.size()))),
                                format_bytes(Bytes(double(limits.bytes)))),
                    "split the file");
    }
    CsvTable table;
    table.file = file;
    table.text = std::move(text);
    Scanner scan{table, limits};
    if (table.text.starts_with("\xEF\xBB\xBF")) scan.at = scan.line_start = 3;
    if (scan.ended()) throw Error(file, "is empty; expected a header row");
    read_header(scan);
    const auto width = table.columns.size();
    while (!scan.ended()) {
        if (scan.at_line_end()) {
            scan.next_line();
            continue;
        }
        table.lines.push_back(scan.line);
        table.starts.push_back(static_cast<std::uint32_t>(scan.line_start));
        scan.row(table.cells);
        const auto got = table.cells.size() - (table.lines.size() - 1) * width;
        if (got != width)
            scan.fail(scan.at, fmt::format("{} cells, the header has {}", got, width),
                      got < width ? "leave cells empty, but keep their commas" : "quote commas");
        scan.next_line();
    }
    return table;
}

CsvTable load_csv(const std::string& path) {
    return parse_csv(read_file(path, CsvLimits{}.bytes), path);
}

double csv_number(const CsvTable& table, std::size_t row, std::size_t column) {
    const auto cell = table.cell(row, column);
    double value = 0;
    const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
    if (error != std::errc() || end != cell.data() + cell.size() || !std::isfinite(value)) {
        throw Error(table.where(row, column),
                    cell.empty() ? fmt::format("\"{}\" is empty; expected a number",
                                               shown(table.columns[column]))
                                 : fmt::format("\"{}\": expected a number, got \"{}\"",
                                               shown(table.columns[column]), shown(cell)));
    }
    return value;
}

std::int64_t csv_count(const CsvTable& table, std::size_t row, std::size_t column, std::int64_t low,
                       std::int64_t high) {
    const double value = csv_number(table, row, column);
    if (value != std::floor(value) || value < double(low) || value > double(high)) {
        throw Error(
            table.where(row, column),
            fmt::format("\"{}\": expected an integer from {} to {}, got {}",
                        shown(table.columns[column]), low, high, shown(table.cell(row, column))));
    }
    return static_cast<std::int64_t>(value);
}

std::string csv_cell(std::string_view value) {
    if (value.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(value);
    std::string quoted = "\"";
    for (const char c : value) {
        if (c == '"') quoted += '"';
        quoted += c;
    }
    return quoted + '"';
}

}  // namespace tplan
