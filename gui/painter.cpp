#include "gui/painter.h"

#include <algorithm>
#include <cmath>

namespace tplan::gui {
namespace {

struct Canvas {
    ImDrawList& draw;
    const Paint& how;

    float pixels(double em) const { return static_cast<float>(em) * how.em; }
    float x(double em) const { return std::round(how.origin.x + pixels(em)); }
    float y(double em) const { return std::round(how.origin.y + pixels(em)); }
    ImVec2 exact(const Point& at) const {
        return {how.origin.x + pixels(at.x), how.origin.y + pixels(at.y)};
    }
    float thick(double em) const { return std::max(1.0f, pixels(em)); }
};

std::vector<ImVec2> outline_of(const Canvas& to, const Shape& shape) {
    const auto& box = shape.box;
    if (shape.kind == ShapeKind::rect) {
        return {{to.x(box.x), to.y(box.y)},
                {to.x(box.right()), to.y(box.y)},
                {to.x(box.right()), to.y(box.bottom())},
                {to.x(box.x), to.y(box.bottom())}};
    }
    std::vector<ImVec2> points;
    for (const auto& point : shape.points) points.push_back(to.exact(point));
    return points;
}

/// Lines x + sign y = c through a convex polygon, `pitch` pixels apart. They end inside of it:
/// AddLine() draws half a pixel further, with soft ends.
void hatch(const Canvas& to, const std::vector<ImVec2>& polygon, float sign, float pitch,
           ImU32 ink) {
    float low = 1e9f, high = -1e9f;
    for (const auto& p : polygon) {
        low = std::min(low, p.x + sign * p.y);
        high = std::max(high, p.x + sign * p.y);
    }
    for (float c = std::ceil(low / pitch) * pitch; c < high; c += pitch) {
        ImVec2 hits[2];
        int count = 0;
        for (std::size_t i = 0; i < polygon.size() && count < 2; ++i) {
            const auto a = polygon[i], b = polygon[(i + 1) % polygon.size()];
            const float va = a.x + sign * a.y - c, vb = b.x + sign * b.y - c;
            if ((va < 0) == (vb < 0)) continue;
            const float t = va / (va - vb);
            hits[count++] = {a.x + t * (b.x - a.x), a.y + t * (b.y - a.y)};
        }
        if (count < 2) continue;
        const auto [a, b] = hits;
        constexpr float kInside = 1.2f, kHalf = 0.5f;
        const float dx = b.x - a.x, dy = b.y - a.y, length = std::hypot(dx, dy);
        if (length < 3 * kInside) continue;
        const float x = kInside * dx / length, y = kInside * dy / length;
        to.draw.AddLine({a.x + x - kHalf, a.y + y - kHalf}, {b.x - x - kHalf, b.y - y - kHalf}, ink,
                        kInside);
    }
}

void dots(const Canvas& to, const Shape& shape, ImU32 ink) {
    const float pitch = std::max(4.0f, to.how.em * 0.32f), size = std::max(1.0f, to.how.em * 0.1f);
    const float right = to.x(shape.box.right()), bottom = to.y(shape.box.bottom());
    for (float y = to.y(shape.box.y) + pitch / 2; y + size <= bottom; y += pitch) {
        for (float x = to.x(shape.box.x) + pitch / 2; x + size <= right; x += pitch)
            to.draw.AddRectFilled({x, y}, {x + size, y + size}, ink);
    }
}

void pattern(const Canvas& to, const Shape& shape) {
    const auto ink = colour(to.how.theme, {Role::outline});
    const float pitch = std::max(5.0f, to.how.em * 0.62f);
    if (shape.pattern == Pattern::dots) return dots(to, shape, ink);
    const auto polygon = outline_of(to, shape);
    hatch(to, polygon, 1, pitch, ink);
    if (shape.pattern == Pattern::cross) hatch(to, polygon, -1, pitch, ink);
}

void dashed(const Canvas& to, ImVec2 a, ImVec2 b, ImU32 ink, float width) {
    const float on = to.how.em * 0.4f, off = to.how.em * 0.28f;
    const float dx = b.x - a.x, dy = b.y - a.y, length = std::hypot(dx, dy);
    if (!(length > 0)) return;
    for (float from = 0; from < length; from += on + off) {
        const float till = std::min(length, from + on);
        to.draw.AddLine({a.x + dx * from / length, a.y + dy * from / length},
                        {a.x + dx * till / length, a.y + dy * till / length}, ink, width);
    }
}

void lines(const Canvas& to, const Shape& shape, ImU32 ink) {
    const float width = to.thick(shape.stroke_width);
    std::vector<ImVec2> points;
    for (const auto& point : shape.points) points.push_back(to.exact(point));
    if (shape.dashed) {
        for (std::size_t i = 1; i < points.size(); ++i)
            dashed(to, points[i - 1], points[i], ink, width);
        return;
    }
    to.draw.AddPolyline(points.data(), static_cast<int>(points.size()), ink, ImDrawFlags_None,
                        width);
}

/// Convex pieces one by one. Opaque polygons of more corners are stars: fans around their middle;
/// the others are bands.
void fill_polygon(const Canvas& to, const std::vector<ImVec2>& points, ImU32 fill) {
    if (points.size() <= 4) {
        to.draw.AddConvexPolyFilled(points.data(), static_cast<int>(points.size()), fill);
        return;
    }
    if ((fill >> IM_COL32_A_SHIFT) == 0xFF) {
        ImVec2 middle{0, 0};
        for (const auto& point : points) {
            middle.x += point.x / static_cast<float>(points.size());
            middle.y += point.y / static_cast<float>(points.size());
        }
        for (std::size_t i = 0; i < points.size(); ++i)
            to.draw.AddTriangleFilled(middle, points[i], points[(i + 1) % points.size()], fill);
        return;
    }
    // A band between two curves: its points run forth along one and back along the other.
    const auto n = points.size();
    for (std::size_t i = 0; i + 1 < n / 2; ++i) {
        const ImVec2 quad[4] = {points[i], points[i + 1], points[n - 2 - i], points[n - 1 - i]};
        to.draw.AddTriangleFilled(quad[0], quad[1], quad[2], fill);
        to.draw.AddTriangleFilled(quad[0], quad[2], quad[3], fill);
    }
}

void text(const Canvas& to, const Shape& shape) {
    const auto& face = face_for(*to.how.fonts, to.pixels(shape.size), shape.bold);
    // At a zoom the face nearest in size is drawn enlarged; otherwise as it was rasterised.
    const float wanted = to.pixels(shape.size);
    const float size = std::abs(wanted - face.size) < 1.0f ? face.size : wanted;
    const float width = face.font->CalcTextSizeA(size, 1e9f, 0, shape.text.c_str()).x;
    const float left = to.how.origin.x + to.pixels(shape.box.x);
    const float room = to.pixels(shape.box.width);
    const float shift = shape.anchor == Anchor::start    ? 0
                        : shape.anchor == Anchor::middle ? (room - width) / 2
                                                         : room - width;
    const float top =
        to.how.origin.y + to.pixels(shape.box.y) + (to.pixels(line_height(shape.size)) - size) / 2;
    to.draw.AddText(face.font, size, {std::round(left + shift), std::round(top)},
                    colour(to.how.theme, shape.fill), shape.text.c_str());
}

void shape(const Canvas& to, const Shape& what) {
    const auto fill = colour(to.how.theme, what.fill), stroke = colour(to.how.theme, what.stroke);
    const bool filled = what.fill.role != Role::none, stroked = what.stroke.role != Role::none;
    const float width = to.thick(what.stroke_width);
    const auto& box = what.box;
    switch (what.kind) {
        case ShapeKind::rect: {
            const ImVec2 a{to.x(box.x), to.y(box.y)}, b{to.x(box.right()), to.y(box.bottom())};
            if (filled) to.draw.AddRectFilled(a, b, fill);
            if (what.pattern != Pattern::none) pattern(to, what);
            if (stroked) to.draw.AddRect(a, b, stroke, 0, 0, width);
            break;
        }
        case ShapeKind::ellipse: {
            const auto centre = to.exact(box.centre());
            const float radius = to.pixels(box.width / 2);
            if (filled) to.draw.AddCircleFilled(centre, radius, fill);
            if (stroked) to.draw.AddCircle(centre, radius, stroke, 0, width);
            break;
        }
        case ShapeKind::polyline:
            lines(to, what, stroke);
            break;
        case ShapeKind::polygon: {
            const auto points = outline_of(to, what);
            if (filled) fill_polygon(to, points, fill);
            if (what.pattern != Pattern::none) pattern(to, what);
            if (stroked) {
                to.draw.AddPolyline(points.data(), static_cast<int>(points.size()), stroke,
                                    ImDrawFlags_Closed, width);
            }
            break;
        }
        case ShapeKind::text:
            text(to, what);
            break;
    }
}

}  // namespace

ImU32 colour(Theme theme, const Ink& ink) {
    if (ink.role == Role::none) return 0;
    const auto value = colour_of(theme, ink);
    return IM_COL32(value.r, value.g, value.b, std::lround(255 * ink.opacity));
}

void paint(ImDrawList& draw, const DisplayList& list, const Paint& how) {
    const Canvas to{draw, how};
    const auto low = draw.GetClipRectMin(), high = draw.GetClipRectMax();
    const auto visible = [&](const Box& box) {
        const float slack = how.em;
        return how.origin.x + to.pixels(box.right()) + slack > low.x &&
               how.origin.x + to.pixels(box.x) - slack < high.x &&
               how.origin.y + to.pixels(box.bottom()) + slack > low.y &&
               how.origin.y + to.pixels(box.y) - slack < high.y;
    };
    for (const auto& each : list.shapes) {
        if (visible(each.box)) shape(to, each);
    }
    // Outlines of the selection last: a neighbour drawn later would cover half of them.
    if (!how.selected) return;
    const auto ink = colour(how.theme, {Role::selection});
    for (const auto& each : list.shapes) {
        if (each.id.empty() || !visible(each.box) || !how.selected(each)) continue;
        const auto& box = each.box;
        draw.AddRect({to.x(box.x) - 2, to.y(box.y) - 2},
                     {to.x(box.right()) + 2, to.y(box.bottom()) + 2}, ink, 0, 0,
                     std::max(2.0f, how.em * 0.14f));
    }
}

}  // namespace tplan::gui
