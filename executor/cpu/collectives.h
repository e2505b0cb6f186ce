#pragma once
#include <memory>

#include "executor/communicator.h"
#include "executor/cpu/shared_group.h"

namespace tplan::cpu {

constexpr int kMaxRanks = 64;

/// One rank's end of a SharedGroup, which must outlive it. Matrices are fp32.
///
/// all_reduce: up to SharedGroup::kSlotFloats elements each rank leaves its values in its slot and
/// sums all slots after one meeting ("one-shot"); above, each rank sums one part of the elements
/// and writes it to all ranks ("two-shot": the same traffic as reduce-scatter and all-gather).
/// The others read from the peers' buffers what they need.
/// Requires at most kMaxRanks ranks.
std::unique_ptr<Communicator> make_shared_communicator(SharedGroup& group, int rank);

}  // namespace tplan::cpu
