#pragma once
#include <memory>
#include <string>

#include "executor/backend.h"
#include "executor/cuda_plugin.h"

namespace tplan::gpu {

/// NVIDIA GPUs through libtplan_cuda.so. In one process every rank is a thread with a stream; where
/// there are fewer GPUs than ranks they share them ("virtual ranks": the numbers are right, the
/// times of collectives mean nothing, and notes() says so). With a world the process has one rank
/// on the GPU of its local rank, and NCCL joins them. Activations and caches have the type of the
/// weights.
///
/// Throws Error naming every part found and the one that is missing.
std::unique_ptr<Backend> make_cuda_backend(int ranks, const World* world);

/// The same over a table that is at hand; for tests.
std::unique_ptr<Backend> make_cuda_backend(const tplan_cuda_v1& table, int ranks,
                                           const World* world);

/// The table of the plugin that load_plugin() finds. Throws Error when there is none, or it speaks
/// another version of the interface.
const tplan_cuda_v1& cuda_plugin();

/// One line per part: driver, runtime, cuBLASLt, NCCL, devices.
std::string cuda_parts_text(const tplan_cuda_parts& parts);

}  // namespace tplan::gpu
