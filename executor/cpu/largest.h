#pragma once
#include "executor/bound_step.h"

namespace tplan::cpu {

/// OpKind::largest of one rank: per row of the input as many (value, index) pairs as the output
/// holds, in falling order, of equals the lower index first. Indices of plain columns are those of
/// the whole (BoundStep::columns). A NaN counts as the largest, so that it is not lost.
void keep_largest(const BoundStep& s);

}  // namespace tplan::cpu
