#include "executor/gpu/device.h"

#include "core/error.h"
#include "core/text.h"

namespace tplan::gpu {

void require(const Device& device, const char* wrong, const std::string& doing) {
    if (wrong != nullptr)
        throw Error(fmt::format("rank {}", device.rank), fmt::format("{}: {}", doing, wrong));
}

tplan_matrix matrix_of(const Matrix& m) {
    return {m.data, m.rows, m.columns, m.stride, static_cast<int>(m.dtype)};
}

tplan_op op_of(int kind) {
    tplan_op op{};
    op.kind = kind;
    return op;
}

void launch(const Device& device, const tplan_op& op, const std::string& doing) {
    require(device, device.table->launch(device.context, &op), doing);
}

tplan_op copy_columns_op(const Matrix& in, std::int64_t from, const Matrix& out, std::int64_t to,
                         std::int64_t columns) {
    auto op = op_of(TPLAN_COPY_COLUMNS);
    op.in[0] = matrix_of(in);
    op.out[0] = matrix_of(out);
    op.inputs = op.outputs = 1;
    op.from_column = from;
    op.to_column = to;
    op.columns = columns;
    return op;
}

void copy_columns(const Device& device, const Matrix& in, std::int64_t from, const Matrix& out,
                  std::int64_t to, std::int64_t columns) {
    if (columns == 0 || out.rows == 0) return;
    launch(device, copy_columns_op(in, from, out, to, columns), "copying columns");
}

void copy_part(const Device& device, const Matrix& in, const Part& held, const Matrix& out,
               const Part& wanted) {
    const auto columns = overlaps(held.columns, wanted.columns);
    for (const auto& rows : overlaps(held.rows, wanted.rows)) {
        auto from = in;
        from.data = in.place(rows.from, 0);
        from.rows = rows.extent;
        auto to = out;
        to.data = out.place(rows.to, 0);
        to.rows = rows.extent;
        for (const auto& c : columns) copy_columns(device, from, c.from, to, c.to, c.extent);
    }
}

void sum(const Device& device, const std::vector<const void*>& sources, const Matrix& out,
         std::int64_t begin, std::int64_t end) {
    if (begin >= end) return;
    auto op = op_of(TPLAN_SUM);
    op.out[0] = matrix_of(out);
    op.outputs = 1;
    op.sources = sources.data();
    op.count = static_cast<int>(sources.size());
    op.begin = begin;
    op.end = end;
    launch(device, op, "summing");
}

}  // namespace tplan::gpu
