#pragma once
#include <array>
#include <map>
#include <tuple>
#include <vector>

#include "cost_model/hardware.h"

/// How far what tables correct is to be trusted: measured shapes are left out and predicted from
/// the others, and the half width covers nine in ten of their rows.

namespace tplan {

/// Errors of left-out rows of one kind of op.
class LeftOutErrors {
  public:
    /// Begins the rows of another left-out shape: they err alike, so shapes count, not rows.
    void next_shape() { ++shape_; }
    /// `error` of one row: predicted / measured - 1. `regime` indexes TableWidth::half_width.
    void add(DType dtype, Residency residency, std::size_t regime, double error);
    /// One entry per dtype and residency; 0 for a regime where too few rows tell. Of n shapes the
    /// quantile is 0.9 (1 + 1/n): that of the next shape, not of those seen (split conformal
    /// prediction, Lei et al. 2018).
    std::vector<TableWidth> widths(OpKind op) const;

  private:
    struct Errors {
        std::vector<double> rows;
        int shapes = 0, last = -1;
    };
    std::map<std::tuple<DType, Residency, std::size_t>, Errors> errors_;
    int shape_ = 0;
};

/// The half widths of one kind of op by regime: where its data lay there, else of those in memory;
/// 0 where neither is known.
std::array<double, 3> half_widths(const Tables& tables, OpKind op, DType dtype,
                                  Residency residency);

}  // namespace tplan
