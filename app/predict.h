#pragma once
#include <string>
#include <vector>

#include "core/csv.h"
#include "cost_model/single_op.h"

namespace tplan {

/// `tplan.predict/1`: one entry per row of the file, in its order.
struct PredictedRow {
    int line = 0;  // of the file
    Seconds time, low, high;
    Provenance provenance = Provenance::datasheet;
    Domain domain = Domain::datasheet_only;
    static void fields(auto& self, auto&& field) {
        field("line", self.line);
        field("predicted_s", self.time);
        field("low_s", self.low);
        field("high_s", self.high);
        field("provenance", self.provenance);
        field("domain", self.domain);
    }
};
struct PredictDocument {
    std::string schema = "tplan.predict/1";
    std::string hardware, file;
    std::vector<PredictedRow> rows;
    static void fields(auto& self, auto&& field) {
        field("schema", self.schema);
        field("hardware", self.hardware);
        field("file", self.file);
        field("rows", self.rows);
    }
};

/// Prices every row of a CSV of single ops. Throws Error naming the line for what cannot be read or
/// priced there.
PredictDocument predict(const HardwareProfile& hardware, const CsvTable& table);

/// The file with predicted_us, low_us, high_us, provenance and domain appended to each row. Throws
/// Error when it has a column of one of these names.
std::string predict_csv(const PredictDocument& document, const CsvTable& table);

/// The price of a row: an Error also names the row's line.
StepCost price_row(SingleOpPricer& pricer, const OpSize& size, const CsvTable& table,
                   std::size_t row);

}  // namespace tplan
