#pragma once
#include <string>
#include <vector>

#include "app/op_rows.h"
#include "core/schema.h"

/// Files that hold one layer a row: measured times of its ops side by side, `<op>_us` each. Two
/// kinds of header are known: every op of a layer beside the layer's sizes, and linears, passes and
/// all-reduces beside the name of a model.

namespace tplan {

/// One measured column of one row.
struct LayerOp {
    struct Part {
        OpSize size;
        double times = 1;
    };
    std::size_t row = 0, column = 0;  // of the measured time in the table
    std::string op;                   // the column without "_us"
    std::string dtype;
    std::string regime;       // by tokens, as for products
    std::vector<Part> parts;  // what it is made of
};

/// The keys of data/layer_shapes.json, for data/schema.md.
SchemaOf layer_shapes_schema();

/// Whether a table holds one layer a row.
bool holds_layers(const CsvTable& table);

/// Every op of every row that was measured (a cell that is empty or 0 was not). Throws Error naming
/// file, line and column for a cell that does not fit, and for a model whose sizes are neither in
/// the row nor in data/layer_shapes.json.
std::vector<LayerOp> read_layer_rows(const CsvTable& table);

}  // namespace tplan
