#pragma once
#include <string>
#include <vector>

#include "core/csv.h"
#include "cost_model/single_op.h"

/// CSV of single ops, one a row, as `predict`, `accuracy` and `calibrate --from` read it.

namespace tplan {

struct OpRow {
    std::size_t row = 0;  // of the table
    OpSize size;
    std::string op;     // "gemm", "attention", "moe" or the collective's name
    std::string dtype;  // kv_dtype for attention
    std::string impl;   // as the file has it, "nccl-2.27.3"; empty without such a column
    std::string regime;
};

/// Whether a table holds single ops: it has an `op` column or the columns of one kind of op.
bool holds_single_ops(const CsvTable& table);

/// Reads every row. Throws Error naming file, line and column for a cell that does not fit, an
/// unknown op (with the nearest), a row whose op lacks a column, and a table without an `op` column
/// whose columns belong to no kind of op.
std::vector<OpRow> read_op_rows(const CsvTable& table);

/// Regimes that figures are given for: products and experts by rows, collectives by bytes.
std::string regime_of_rows(double rows);

}  // namespace tplan
