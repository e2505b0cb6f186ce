#pragma once
#include <string>
#include <vector>

#include "app/figures/display_list.h"

/// What charts share: axes, ticks, markers and bars.

namespace tplan {

/// From `low` to `high`; logarithmic ones need both above 0.
struct ChartAxis {
    double low = 0, high = 1;
    bool logarithmic = false;
    /// 0 at low, 1 at high.
    double share(double value) const;
};

struct Tick {
    double value = 0;
    std::string label;
    bool bold = false;
};

/// Round values from 0 to at least `high`, at most `count` of them besides 0.
std::vector<double> round_ticks(double high, int count);

/// The area of a chart inside its axes.
struct Plot {
    Box area;
    ChartAxis x, y;
    Point at(double x_value, double y_value) const;
};

/// Grid, ticks and titles around the plot: y labels end left of it, x labels stand below. A
/// label that would touch the one before it is left out; bold x labels come first.
void draw_axes(DisplayList& list, const TextMetrics& metrics, const Plot& plot,
               const std::vector<Tick>& x_ticks, const std::vector<Tick>& y_ticks,
               std::string_view x_title, std::string_view y_title);

enum class Marker { circle, square, triangle };
/// A marker of radius `size` around a point; hollow without fill.
Shape& add_marker(DisplayList& list, Marker marker, Point at, double size, Ink ink, bool hollow);

/// Five-pointed, hollow: a measurement.
Shape& add_star(DisplayList& list, Point at, double size, Ink ink);

/// A horizontal bar made of parts.
struct BarPart {
    double value = 0;
    Ink fill;
    Pattern pattern = Pattern::none;
    std::string id, title;
};
struct Bar {
    std::string label;
    bool bold = false;
    std::vector<BarPart> parts;
    std::string end;  // written behind the bar
    Role end_role = Role::text;
    std::string title;  // of the whole row
    std::string id;
};
struct BarLegend {
    std::string label;
    Ink fill;
    Pattern pattern = Pattern::none;
};

/// Bars below each other over one scale from 0, a legend above, and a limit as a vertical line
/// (0 = none) with what lies beyond it crossed out. Rows stand closer together where `height` asks
/// for it. Grows the list downwards from `top` and returns its new bottom.
double draw_bars(DisplayList& list, const TextMetrics& metrics, double top, double width,
                 double height, const std::vector<Bar>& bars, const std::vector<BarLegend>& legend,
                 double limit, const std::string& limit_label);

}  // namespace tplan
