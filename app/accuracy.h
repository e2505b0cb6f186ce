#pragma once
#include <string>
#include <utility>
#include <vector>

#include "app/predict.h"

namespace tplan {

/// Which rows count: exact matches on columns. `impl` also matches the part before the first '-'.
struct RowFilter {
    std::string system{}, impl{}, mode{};                      // empty = any
    std::vector<std::pair<std::string, std::string>> where{};  // column, value
};

/// How far the predictions of a group of rows are off. Percentages are fractions.
struct AccuracyGroup {
    std::string op, dtype, impl, regime;  // regime "all": every row of (op, dtype, impl)
    int n = 0;
    double mape = 0, median_ape = 0, p90_ape = 0;  // of |predicted / measured - 1|
    double bias = 1;                               // geometric mean of predicted / measured
    double coverage_90 = 0;                        // share of measurements inside the 90 % interval
    double half_width_90 = 0;                      // median of (high - low) / (2 predicted)
    static void fields(auto& self, auto&& field) {
        field("op", self.op);
        field("dtype", self.dtype);
        field("impl", self.impl);
        field("regime", self.regime);
        field("n", self.n);
        field("mape", self.mape);
        field("median_ape", self.median_ape);
        field("p90_ape", self.p90_ape);
        field("bias", self.bias);
        field("coverage_90", self.coverage_90);
        field("half_width_90", self.half_width_90);
    }
};

/// `tplan.accuracy/1`.
struct AccuracyDocument {
    std::string schema = "tplan.accuracy/1";
    std::string hardware, file;
    std::vector<AccuracyGroup> groups;
    static void fields(auto& self, auto&& field) {
        field("schema", self.schema);
        field("hardware", self.hardware);
        field("file", self.file);
        field("groups", self.groups);
    }
};

/// Prices every row of a file of single ops or of layers and compares it with its measured time
/// (`latency_us`, or a layer's `<op>_us`). Throws Error for what cannot be read or priced, for a
/// time that is not above 0, for a filter on a column that is not there, and when no row is left.
AccuracyDocument accuracy(const HardwareProfile& hardware, const CsvTable& table,
                          const RowFilter& filter);

/// The groups as a table for a terminal.
std::string accuracy_text(const AccuracyDocument& document);

}  // namespace tplan
