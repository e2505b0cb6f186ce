#pragma once
#include "app/figures/figure.h"

/// The figures over the TP degree.

namespace tplan {

/// Time of a step over the degree, one curve per link with its 90 % interval, the ideal of dividing
/// by the degree, measured points as stars, the degree in question ringed. Degrees that do not
/// work stand struck through on the axis. Ids "curve:<link>/tp:<n>".
DisplayList latency_curves(const Study& study, const FigureOptions& options,
                           const TextMetrics& metrics);

/// The same as speedup over the smallest degree that works.
DisplayList speedup_curves(const Study& study, const FigureOptions& options,
                           const TextMetrics& metrics);

/// Compute, collectives and launches of a step as bars, per degree and link.
/// Ids "time:<link>/tp:<n>/<part>".
DisplayList time_bars(const Study& study, const FigureOptions& options, const TextMetrics& metrics);

/// Memory of the fullest GPU at every degree, with what it may use as a line.
/// Ids "memory:tp:<n>/<part>".
DisplayList memory_bars(const Study& study, const FigureOptions& options,
                        const TextMetrics& metrics);

/// The colour of a link's curve.
Role link_role(std::string_view link);

/// Degrees for a figure with one row each: powers of two and the one in question, those that work.
std::vector<int> row_degrees(const Study& study);

}  // namespace tplan
