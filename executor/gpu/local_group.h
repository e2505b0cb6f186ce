#pragma once
#include <memory>

#include "executor/communicator.h"
#include "executor/cpu/shared_group.h"
#include "executor/gpu/device.h"
#include "executor/gpu/peer_reduce.h"

namespace tplan::gpu {

/// One rank's end of a group of ranks in one process whose devices read each other's memory:
/// several GPUs of one host, or several ranks on one GPU ("virtual ranks"). The ranks meet on the
/// host, then each sums one part of the elements, in rank order, and writes it to all ("two-shot"),
/// so that all hold bitwise equal sums. Right for numerics; between virtual ranks its times mean
/// nothing.
///
/// `peers`, of ranks that share one GPU or null, run the small all-reduces of all of them in one
/// launch of rank 0: the kernel that ranks with GPUs of their own run, in the way that the step
/// names or, where it names one of NCCL, shots_for() chooses. `group` and `peers` must outlive
/// this.
std::unique_ptr<Communicator> make_local_communicator(cpu::SharedGroup& group, const Device& device,
                                                      PeerReduce* peers = nullptr);

}  // namespace tplan::gpu
