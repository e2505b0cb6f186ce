#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "app/study.h"

/// The steps of a study as a table: what the window lists, sorts and copies.

namespace tplan {

struct StepRow {
    std::string name, section, kind, bound;
    double times = 1;  // the model runs it
    Seconds each, together;
    double share = 0;      // of the whole step
    Seconds measured;      // all of them; 0 = not measured
    Flops flops;           // of one
    Bytes bytes, payload;  // likewise
    bool operator==(const StepRow&) const = default;
};

/// A column: its heading, the text of a cell, and whether one row comes before another.
struct StepColumn {
    std::string_view name;
    std::string (*text)(const StepRow&);
    bool (*before)(const StepRow&, const StepRow&);
};
/// The last two hold measurements and are left out where there is none.
std::span<const StepColumn> step_columns(bool measured);

/// One row per step of the program, in order; none for a degree that does not work.
std::vector<StepRow> step_rows(const Study& study);

/// Rows whose name holds `filter`.
std::vector<StepRow> filtered(std::vector<StepRow> rows, std::string_view filter);

void sort_rows(std::vector<StepRow>& rows, std::size_t column, bool descending);

/// All rows together: times, share and measurement added up, the rest empty.
StepRow sum_of(const std::vector<StepRow>& rows);

/// Plain numbers in SI units, with a header.
std::string csv_of(const std::vector<StepRow>& rows);

}  // namespace tplan
