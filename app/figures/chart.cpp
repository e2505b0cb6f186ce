#include "app/figures/chart.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace tplan {
namespace {

constexpr double kTick = 0.8;  // text of ticks and legends

}  // namespace

double ChartAxis::share(double value) const {
    if (!logarithmic) return (value - low) / (high - low);
    return std::log(value / low) / std::log(high / low);
}

std::vector<double> round_ticks(double high, int count) {
    if (!(high > 0)) return {0, 1};
    const double raw = high / count;
    const double ten = std::pow(10, std::floor(std::log10(raw)));
    const double step = raw <= ten       ? ten
                        : raw <= 2 * ten ? 2 * ten
                        : raw <= 5 * ten ? 5 * ten
                                         : 10 * ten;
    std::vector<double> ticks;
    for (int i = 0; ticks.empty() || ticks.back() < high * (1 - 1e-9); ++i)
        ticks.push_back(i * step);
    return ticks;
}

Point Plot::at(double x_value, double y_value) const {
    return {area.x + x.share(x_value) * area.width, area.bottom() - y.share(y_value) * area.height};
}

void draw_axes(DisplayList& list, const TextMetrics& metrics, const Plot& plot,
               const std::vector<Tick>& x_ticks, const std::vector<Tick>& y_ticks,
               std::string_view x_title, std::string_view y_title) {
    const auto& area = plot.area;
    double above = area.bottom() + line_height(kTick);  // of the label below
    for (const auto& tick : y_ticks) {
        const double y = plot.at(plot.x.low, tick.value).y;
        add_line(list, {area.x, y}, {area.right(), y}, {Role::grid});
        if (above - y < line_height(kTick)) continue;
        above = y;
        add_text(list, metrics, {area.x - 0.4, y - line_height(kTick) / 2}, tick.label, kTick,
                 Anchor::end, {Role::muted});
    }
    std::vector<Box> taken;
    for (const bool bold : {true, false}) {
        for (const auto& tick : x_ticks) {
            if (tick.bold != bold) continue;
            const double x = plot.at(tick.value, plot.y.low).x;
            add_line(list, {x, area.bottom()}, {x, area.bottom() + 0.3}, {Role::outline});
            const double width = text_width(metrics, tick.label, kTick, bold);
            const Box box{x - width / 2 - 0.2, area.bottom() + 0.5, width + 0.4, 0.95};
            if (std::ranges::any_of(taken, [&](const Box& other) { return overlap(box, other); }))
                continue;
            taken.push_back(box);
            add_text(list, metrics, {x, box.y}, tick.label, kTick, Anchor::middle,
                     {bold ? Role::text : Role::muted}, bold);
        }
    }
    add_line(list, {area.x, area.y}, {area.x, area.bottom()}, {Role::outline});
    add_line(list, {area.x, area.bottom()}, {area.right(), area.bottom()}, {Role::outline});
    const double room = area.right() - 0.4;
    add_text(list, metrics, {area.right(), area.bottom() + 1.6},
             fitted(metrics, x_title, kTick, room), kTick, Anchor::end, {Role::muted});
    add_text(list, metrics, {0.2, area.y - 1.6}, fitted(metrics, y_title, kTick, room), kTick,
             Anchor::start, {Role::muted});
}

Shape& add_marker(DisplayList& list, Marker marker, Point at, double size, Ink ink, bool hollow) {
    const Ink fill = hollow ? Ink{Role::background} : ink;
    const Box box{at.x - size, at.y - size, 2 * size, 2 * size};
    Shape* shape = nullptr;
    switch (marker) {
        case Marker::circle:
            shape = &add_ellipse(list, box, fill, ink);
            break;
        case Marker::square:
            shape = &add_rect(list, box, fill, ink);
            break;
        case Marker::triangle:
            shape = &add_polygon(
                list, {{at.x - size, at.y + size}, {at.x, at.y - size}, {at.x + size, at.y + size}},
                fill, ink);
            break;
    }
    shape->stroke_width = 0.12;
    return *shape;
}

Shape& add_star(DisplayList& list, Point at, double size, Ink ink) {
    std::vector<Point> points;
    for (int i = 0; i < 10; ++i) {
        const double radius = i % 2 == 0 ? size : size * 0.45;
        const double angle = std::numbers::pi * (i / 5.0 - 0.5);
        points.push_back({at.x + radius * std::cos(angle), at.y + radius * std::sin(angle)});
    }
    auto& star = add_polygon(list, std::move(points), {Role::background}, ink);
    star.stroke_width = 0.12;
    return star;
}

double draw_bars(DisplayList& list, const TextMetrics& metrics, double top, double width,
                 double height, const std::vector<Bar>& bars, const std::vector<BarLegend>& legend,
                 double limit, const std::string& limit_label) {
    constexpr double kText = 0.85, kTightest = 1.15, kWidest = 1.75;
    double x = 0.2;
    for (const auto& entry : legend) {
        const double room = 1.6 + text_width(metrics, entry.label, kTick) + 1;
        if (x + room > width && x > 0.2) {
            x = 0.2;
            top += 1.4;
        }
        auto& chip = add_rect(list, {x, top + 0.05, 1.3, 0.9}, entry.fill, {Role::outline});
        chip.pattern = entry.pattern;
        chip.stroke_width = 0.05;
        add_text(list, metrics, {x + 1.6, top}, entry.label, kTick, Anchor::start, {Role::muted});
        x += room;
    }
    top += legend.empty() ? 0 : 1.6;
    if (limit > 0) top += 1.3;

    double labels = 0, ends = 0, most = limit;
    for (const auto& bar : bars) {
        labels = std::max(labels, text_width(metrics, bar.label, kText, bar.bold));
        ends = std::max(ends, text_width(metrics, bar.end, kText));
        double total = 0;
        for (const auto& part : bar.parts) total += part.value;
        most = std::max(most, total);
    }
    const double left = labels + 0.8, room = std::max(6.0, width - left - ends - 1);
    const double scale = most > 0 ? room / most : 0;
    // Rows stand closer where the height would otherwise end before they do.
    const double pitch =
        std::clamp((height - top) / static_cast<double>(bars.size()), kTightest, kWidest);
    const double thick = pitch * 0.72;
    const double text_top = (thick - line_height(kText)) / 2;
    const double first = top;
    for (const auto& bar : bars) {
        add_text(list, metrics, {left - 0.5, top + text_top}, bar.label, kText, Anchor::end,
                 {bar.bold ? Role::text : Role::muted}, bar.bold)
            .title = bar.title;
        double from = left, total = 0;
        for (const auto& part : bar.parts) {
            total += part.value;
            if (part.value * scale < 0.01) continue;
            auto& rect =
                add_rect(list, {from, top, part.value * scale, thick}, part.fill, {Role::outline});
            rect.stroke_width = 0.05;
            rect.pattern = part.pattern;
            rect.id = part.id;
            rect.title = part.title;
            from += part.value * scale;
        }
        if (limit > 0 && total > limit) {
            auto& over = add_rect(list, {left + limit * scale, top, (total - limit) * scale, thick},
                                  {}, {Role::error});
            over.pattern = Pattern::cross;
            over.stroke_width = 0.12;
        }
        // Not across the limit's line.
        const double line = left + limit * scale;
        if (limit > 0 && from < line && from + 0.6 + text_width(metrics, bar.end, kText) > line)
            from = line;
        add_text(list, metrics, {from + 0.4, top + text_top}, bar.end, kText, Anchor::start,
                 {bar.end_role})
            .title = bar.title;
        top += pitch;
    }
    if (limit > 0) {
        const double at = left + limit * scale;
        add_line(list, {at, first - 0.3}, {at, top - 0.2}, {Role::error}, 0.12).dashed = true;
        const double half = text_width(metrics, limit_label, kTick) / 2;
        const double centre = std::clamp(at, half + 0.2, std::max(half + 0.2, width - half - 0.2));
        add_text(list, metrics, {centre, first - 1.4}, limit_label, kTick, Anchor::middle,
                 {Role::error});
    }
    return top;
}

}  // namespace tplan
