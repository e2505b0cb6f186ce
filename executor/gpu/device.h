#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "executor/cuda_plugin.h"
#include "executor/matrix.h"
#include "executor/part.h"

/// One rank's device behind the plugin's table. Throws Error where the table says what went wrong.

namespace tplan::gpu {

struct Device {
    const tplan_cuda_v1* table = nullptr;
    void* context = nullptr;
    int rank = 0;
};

/// Throws Error naming rank and `doing` for anything but null.
void require(const Device& device, const char* wrong, const std::string& doing);

tplan_matrix matrix_of(const Matrix& m);

/// An op with its kind set and everything else zero.
tplan_op op_of(int kind);

void launch(const Device& device, const tplan_op& op, const std::string& doing);

/// The op that makes out[:, to ..] = in[:, from ..], `columns` of them; and its launch, where there
/// is anything to copy.
tplan_op copy_columns_op(const Matrix& in, std::int64_t from, const Matrix& out, std::int64_t to,
                         std::int64_t columns);
void copy_columns(const Device& device, const Matrix& in, std::int64_t from, const Matrix& out,
                  std::int64_t to, std::int64_t columns);

/// What is in both parts: `in` holds `held` of an activation, `out` has place for `wanted` of it.
void copy_part(const Device& device, const Matrix& in, const Part& held, const Matrix& out,
               const Part& wanted);

/// Elements [begin, end) of out = sum of the sources, in their order. Contiguous, one type.
void sum(const Device& device, const std::vector<const void*>& sources, const Matrix& out,
         std::int64_t begin, std::int64_t end);

}  // namespace tplan::gpu
