#include "app/predict.h"

#include <array>

#include "app/op_rows.h"

namespace tplan {

namespace {

constexpr std::array<std::string_view, 5> kAppended = {"predicted_us", "low_us", "high_us",
                                                       "provenance", "domain"};

std::string microseconds(Seconds time) {
    return fmt::format("{:.6g}", time.value * 1e6);
}

}  // namespace

StepCost price_row(SingleOpPricer& pricer, const OpSize& size, const CsvTable& table,
                   std::size_t row) {
    try {
        return pricer.price(size);
    } catch (const Error& error) {
        throw Error(fmt::format("{}:{}", table.file, table.lines[row]),
                    error.where + ": " + error.what_happened, error.hint);
    }
}

PredictDocument predict(const HardwareProfile& hardware, const CsvTable& table) {
    PredictDocument document;
    document.hardware = hardware.name;
    document.file = table.file;
    SingleOpPricer pricer(hardware);
    for (const auto& op : read_op_rows(table)) {
        const auto cost = price_row(pricer, op.size, table, op.row);
        const auto interval = interval_around(cost.time, cost.time * cost.half_width);
        document.rows.push_back({.line = static_cast<int>(table.lines[op.row]),
                                 .time = cost.time,
                                 .low = interval[0],
                                 .high = interval[1],
                                 .provenance = cost.provenance,
                                 .domain = cost.domain});
    }
    return document;
}

std::string predict_csv(const PredictDocument& document, const CsvTable& table) {
    std::string text;
    for (const auto& name : table.columns) text += csv_cell(name) + ",";
    for (const auto name : kAppended) {
        if (table.column(name) >= 0)
            throw Error(table.file + ":1", fmt::format("has a column \"{}\" already", name),
                        "drop or rename it");
        text += name;
        text += name == kAppended.back() ? '\n' : ',';
    }
    for (std::size_t r = 0; r < document.rows.size(); ++r) {
        const auto& row = document.rows[r];
        for (std::size_t c = 0; c < table.columns.size(); ++c)
            text += csv_cell(table.cell(r, c)) + ",";
        text += fmt::format("{},{},{},{},{}\n", microseconds(row.time), microseconds(row.low),
                            microseconds(row.high), name_of(row.provenance), name_of(row.domain));
    }
    return text;
}

}  // namespace tplan
