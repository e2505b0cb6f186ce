#pragma once
#include <memory>

#include "executor/communicator.h"
#include "executor/cpu/shared_group.h"
#include "executor/gpu/device.h"

namespace tplan::gpu {

/// One rank's end of a group of ranks in one process whose devices read each other's memory:
/// several GPUs of one host, or several ranks on one GPU ("virtual ranks"). The ranks meet on the
/// host, then each sums one part of the elements, in rank order, and writes it to all ("two-shot"),
/// so that all hold bitwise equal sums. Right for numerics; between virtual ranks its times mean
/// nothing. `group` must outlive this.
std::unique_ptr<Communicator> make_local_communicator(cpu::SharedGroup& group,
                                                      const Device& device);

}  // namespace tplan::gpu
