#pragma once
#include <array>
#include <functional>
#include <vector>

#include "cost_model/hardware.h"

/// Measured products made ready for pricing. The analytic formula knows the shape of the curve, the
/// table its height: what is interpolated is log(measured / analytic).

namespace tplan {

/// Residual of one product [m, n, k] with n and k fixed, over log m. Between two points the time is
/// kept between theirs, so that it never falls as m grows.
struct ProductCurve {
    std::vector<double> log_m;           // ascending
    std::vector<double> residual;        // log(measured / analytic)
    std::vector<double> seconds;         // at these points
    bool inside = true;                  // n, k and ranks lie on or inside the measured grid
    std::array<double, 3> half_width{};  // of the 90 % interval by gemm_regime(); 0: unknown

    bool empty() const { return log_m.empty(); }
    /// Corrects the analytic time of m rows.
    double at(double log_m_, double analytic) const;
    bool covers(double log_m_) const;
};

/// What a lookup is made for.
struct ProductKey {
    DType dtype = DType::fp32;
    int ranks = 1;  // that share the machine's memory; on GPUs each has its own
    double n = 0, k = 0;
    Residency residency = Residency::cold;  // of the weights
};

/// Analytic time of the product at m rows, as the step that looks up prices it.
using AnalyticProduct = std::function<double(double m)>;

/// Builds the curve of one product from the points of its dtype and of the nearest rank count;
/// empty when the dtype was not measured. A measured (n, k) is its own curve; inside a cell of four
/// measured ones the residual is bilinear in (log n, log k); else the nearest ones are weighed by
/// kriging. Repeated points are averaged.
ProductCurve product_curve(const HardwareProfile& hardware, const ProductKey& key,
                           const AnalyticProduct& analytic);

/// The analytic time of products n x k with weights and activations of one dtype, by rows m.
AnalyticProduct analytic_products(const HardwareProfile& hardware, DType dtype, double n, double k,
                                  Residency residency = Residency::cold);
double analytic_product(const HardwareProfile& hardware, DType dtype, double m, double n, double k,
                        Residency residency = Residency::cold);

/// Half widths of the 90 % interval of products taken from the table, by rows: measured (n, k) are
/// left out one at a time, at most `most_left_out` of them, and their rows predicted from the rest.
std::vector<TableWidth> product_widths(const HardwareProfile& hardware, std::size_t most_left_out);

}  // namespace tplan
