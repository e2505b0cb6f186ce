#pragma once
#include <array>
#include <vector>

#include "cost_model/hardware.h"
#include "cost_model/op_cost.h"

namespace tplan {

/// Residual log(measured / analytic) of the experts of one layer over log tokens.
struct ExpertCurve {
    std::vector<double> log_tokens, residual;  // ascending
    std::array<double, 3> half_width{};        // of the 90 % interval by gemm_regime(); 0: unknown

    bool empty() const { return residual.empty(); }
    /// Straight between points, that of the edge beyond them.
    double at(double log_tokens_) const;
    bool covers(double log_tokens_) const;
};

/// The curve of a layer from the measured points of its own experts: the same hidden size, number
/// of experts and experts per token, at this width, or between the two nearest measured widths
/// (other degrees of the same model) where those agree. Empty otherwise: engines choose kernels by
/// layer and width, and one tells nothing about another.
ExpertCurve expert_curve(const HardwareProfile& hardware, const StepShape& shape, DType dtype);

/// Half widths of the 90 % interval of experts taken from the table, by tokens as products:
/// measured widths are left out one at a time and predicted from the others of the layer.
std::vector<TableWidth> expert_widths(const HardwareProfile& hardware);

}  // namespace tplan
