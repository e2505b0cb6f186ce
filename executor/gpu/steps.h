#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "executor/backend.h"
#include "executor/gpu/device.h"

/// The steps of a program as launches of the plugin: bound once, launched many times.

namespace tplan::gpu {

/// Memory of a device that frees itself. The device must outlive it.
std::shared_ptr<void> device_bytes(const Device& device, std::size_t bytes);

/// What steps of one rank share.
struct SharedSteps {
    std::map<std::string, std::shared_ptr<void>>
        rope;  // cosines, then sines; by spec and positions
    std::shared_ptr<void> workspace;
    std::size_t workspace_bytes = 0;
};

/// Why there is no kernel for a step; empty when there is one. `weights`: type of the linears'.
std::string step_refusal(const Step& step, DType weights);

/// What launch_step() needs, for BoundStep::prepared. The step's views must stay where they are.
std::shared_ptr<void> prepare_step(const Device& device, const BoundStep& step,
                                   SharedSteps& shared);
void launch_step(const Device& device, const BoundStep& step, const SharedSteps& shared);

/// Weights of a linear in the type it runs in, for PackedWeights.
std::shared_ptr<void> pack_weights(const Device& device, const Matrix& plain, DType dtype);

}  // namespace tplan::gpu
