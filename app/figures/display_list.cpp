#include "app/figures/display_list.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace tplan {
namespace {

/// Hundredths of an em, rounded up.
constexpr std::array<int, 95> kAdvances = {
    32, 41, 46, 84, 64, 96, 78, 28, 40,  40, 50, 84, 32, 37, 32, 34, 64, 64, 64, 64, 64, 64, 64, 64,
    64, 64, 34, 34, 84, 84, 84, 54, 100, 69, 69, 70, 78, 64, 58, 78, 76, 30, 30, 66, 56, 87, 75, 79,
    61, 79, 70, 64, 62, 74, 69, 99, 69,  62, 69, 40, 34, 40, 84, 50, 50, 62, 64, 55, 64, 62, 36, 64,
    64, 28, 28, 58, 28, 98, 64, 62, 64,  64, 42, 53, 40, 64, 60, 82, 60, 60, 53, 64, 34, 64, 84};

Box bounds(const std::vector<Point>& points) {
    if (points.empty()) return {};
    auto low = points.front(), high = points.front();
    for (const auto& point : points) {
        low = {std::min(low.x, point.x), std::min(low.y, point.y)};
        high = {std::max(high.x, point.x), std::max(high.y, point.y)};
    }
    return {low.x, low.y, high.x - low.x, high.y - low.y};
}

Shape& append(DisplayList& list, ShapeKind kind, const Box& box, Ink fill, Ink stroke) {
    auto& shape = list.shapes.emplace_back();
    shape.kind = kind;
    shape.box = box;
    shape.fill = fill;
    shape.stroke = stroke;
    return shape;
}

}  // namespace

Ink rank_ink(int rank) {
    return {Role::rank, rank, 1};
}

bool overlap(const Box& a, const Box& b, double slack) {
    return a.x + slack < b.right() && b.x + slack < a.right() && a.y + slack < b.bottom() &&
           b.y + slack < a.bottom();
}

bool contains(const Box& outer, const Box& inner, double slack) {
    return inner.x >= outer.x - slack && inner.y >= outer.y - slack &&
           inner.right() <= outer.right() + slack && inner.bottom() <= outer.bottom() + slack;
}

const TextMetrics& standard_metrics() {
    static const TextMetrics metrics = [] {
        TextMetrics made;
        for (const int advance : kAdvances) made.advance.push_back(advance / 100.0);
        return made;
    }();
    return metrics;
}

double text_width(const TextMetrics& metrics, std::string_view text, double size, bool bold) {
    double width = 0;
    for (const char c : text) {
        const auto code = static_cast<unsigned char>(c);
        if (code >= 0x80 && code < 0xC0) continue;  // the tail of a UTF-8 sequence
        const auto at = static_cast<std::size_t>(code) - ' ';
        width += code >= ' ' && at < metrics.advance.size() ? metrics.advance[at] : metrics.other;
    }
    return width * size * (bold ? metrics.bold : 1);
}

std::string fitted(const TextMetrics& metrics, std::string_view text, double size, double width,
                   bool bold) {
    if (text_width(metrics, text, size, bold) <= width) return std::string(text);
    std::string cut(text);
    while (!cut.empty() && text_width(metrics, cut + "..", size, bold) > width) {
        do {
            cut.pop_back();
        } while (!cut.empty() && (static_cast<unsigned char>(cut.back()) & 0xC0) == 0x80);
    }
    return cut + "..";
}

std::vector<std::string> wrapped(const TextMetrics& metrics, std::string_view text, double size,
                                 double width) {
    std::vector<std::string> lines(1);
    while (!text.empty()) {
        const auto end = std::min(text.find(' '), text.size());
        const auto word = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        auto& line = lines.back();
        const auto longer = line.empty() ? std::string(word) : line + ' ' + std::string(word);
        if (line.empty() || text_width(metrics, longer, size) <= width) {
            line = longer;
        } else {
            lines.emplace_back(word);
        }
    }
    return lines;
}

double line_height(double size) {
    return 1.2 * size;
}

double baseline(double size) {
    return 0.95 * size;
}

Shape& add_rect(DisplayList& list, const Box& box, Ink fill, Ink stroke) {
    return append(list, ShapeKind::rect, box, fill, stroke);
}

Shape& add_ellipse(DisplayList& list, const Box& box, Ink fill, Ink stroke) {
    return append(list, ShapeKind::ellipse, box, fill, stroke);
}

Shape& add_line(DisplayList& list, Point from, Point to, Ink stroke, double width) {
    return add_polyline(list, {from, to}, stroke, width);
}

Shape& add_polyline(DisplayList& list, std::vector<Point> points, Ink stroke, double width) {
    auto& shape = append(list, ShapeKind::polyline, bounds(points), {}, stroke);
    shape.points = std::move(points);
    shape.stroke_width = width;
    return shape;
}

Shape& add_polygon(DisplayList& list, std::vector<Point> points, Ink fill, Ink stroke) {
    auto& shape = append(list, ShapeKind::polygon, bounds(points), fill, stroke);
    shape.points = std::move(points);
    return shape;
}

Shape& add_text(DisplayList& list, const TextMetrics& metrics, Point at, std::string_view text,
                double size, Anchor anchor, Ink ink, bool bold) {
    const double width = text_width(metrics, text, size, bold);
    const double shift = anchor == Anchor::start ? 0 : anchor == Anchor::middle ? width / 2 : width;
    auto& shape =
        append(list, ShapeKind::text, {at.x - shift, at.y, width, line_height(size)}, ink, {});
    shape.text = std::string(text);
    shape.size = size;
    shape.anchor = anchor;
    shape.bold = bold;
    return shape;
}

const Shape* find_shape(const DisplayList& list, std::string_view id) {
    const auto found = std::ranges::find(list.shapes, id, &Shape::id);
    return found == list.shapes.end() ? nullptr : &*found;
}

const Shape* shape_at(const DisplayList& list, Point at) {
    for (auto shape = list.shapes.rbegin(); shape != list.shapes.rend(); ++shape) {
        if (shape->id.empty() || shape->kind == ShapeKind::polyline) continue;
        const auto& box = shape->box;
        if (at.x >= box.x && at.x < box.right() && at.y >= box.y && at.y < box.bottom())
            return &*shape;
    }
    return nullptr;
}

void fit_to_shapes(DisplayList& list, double margin) {
    for (const auto& shape : list.shapes) {
        list.width = std::max(list.width, shape.box.right() + margin);
        list.height = std::max(list.height, shape.box.bottom() + margin);
    }
}

}  // namespace tplan
