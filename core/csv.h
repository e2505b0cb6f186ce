#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// Comma-separated values with a header row, read strictly: every row has as many cells as the
/// header, quotes are closed on their own line, names are distinct. Line ends may be LF or CRLF;
/// blank lines are skipped; a byte order mark at the start is allowed.

namespace tplan {

/// What a file may ask of us.
struct CsvLimits {
    std::size_t bytes = std::size_t{64} << 20;
    std::size_t columns = 1000;
    std::size_t cells = 8'000'000;
};

struct CsvTable {
    struct Cell {
        std::uint32_t offset = 0, length = 0;  // into `text`, quotes resolved
    };
    std::string file;
    std::string text;
    std::vector<std::string> columns;
    std::vector<Cell> cells;            // [rows, columns]
    std::vector<std::uint32_t> starts;  // per row, offset of its line
    std::vector<std::uint32_t> lines;   // per row, line number from 1

    std::size_t rows() const { return lines.size(); }
    std::string_view cell(std::size_t row, std::size_t column) const {
        const auto& c = cells[row * columns.size() + column];
        return std::string_view(text).substr(c.offset, c.length);
    }
    /// Index of a column; -1 when there is none of that name.
    int column(std::string_view name) const;
    /// "file:line:column" of a cell, the column counted in bytes from 1.
    std::string where(std::size_t row, std::size_t column) const;
};

/// Throws Error with file, line and column for a row of another length than the header, a quote
/// that is not closed on its line or followed by text, a repeated or missing header, a NUL byte,
/// and for more bytes, columns or cells than allowed. Time and memory are linear in the text.
CsvTable parse_csv(std::string text, const std::string& file, const CsvLimits& limits = {});

/// Reads and parses a file (see parse_csv). Throws Error when it cannot be read.
CsvTable load_csv(const std::string& path);

/// The number a cell spells, which must be finite. Throws Error naming cell and column.
double csv_number(const CsvTable& table, std::size_t row, std::size_t column);

/// A whole number from `low` to `high`; "4096.0" counts as one, because other programs write counts
/// so where a column has gaps. Throws Error naming cell and column.
std::int64_t csv_count(const CsvTable& table, std::size_t row, std::size_t column, std::int64_t low,
                       std::int64_t high);

/// A cell as a file holds it: quoted where commas, quotes or line ends ask for it.
std::string csv_cell(std::string_view value);

}  // namespace tplan
