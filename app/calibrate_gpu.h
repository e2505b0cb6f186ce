#pragma once
#include "app/calibrate.h"

namespace tplan {

/// The profile request.hardware with points measured on this machine's GPUs laid over it: products,
/// attention cores and, where there are several GPUs, NCCL's collectives, each as a replayed graph
/// of layers whose weights have left the cache. `date` goes into its source. Throws Error without a
/// GPU (with what was found of its parts), without request.hardware, and when stopped.
HardwareProfile calibrate_gpu(const CalibrateRequest& request, const std::string& date);

}  // namespace tplan
