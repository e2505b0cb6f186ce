#include "app/figures/svg.h"

#include <fmt/format.h>

#include <cmath>

namespace tplan {
namespace {

constexpr double kPixels = 16;  // per em

struct RoleName {
    Role role;
    std::string_view name;
};
constexpr std::array kNames = {RoleName{Role::background, "background"},
                               RoleName{Role::panel, "panel"},
                               RoleName{Role::text, "text"},
                               RoleName{Role::muted, "muted"},
                               RoleName{Role::outline, "outline"},
                               RoleName{Role::grid, "grid"},
                               RoleName{Role::replicated, "replicated"},
                               RoleName{Role::idle, "idle"},
                               RoleName{Role::compute, "compute"},
                               RoleName{Role::collective, "collective"},
                               RoleName{Role::launch, "launch"},
                               RoleName{Role::weights, "weights"},
                               RoleName{Role::kv_cache, "kv"},
                               RoleName{Role::activations, "activations"},
                               RoleName{Role::buffers, "buffers"},
                               RoleName{Role::nvlink, "nvlink"},
                               RoleName{Role::pcie, "pcie"},
                               RoleName{Role::shared_memory, "shm"},
                               RoleName{Role::ideal, "ideal"},
                               RoleName{Role::measured, "measured"},
                               RoleName{Role::good, "good"},
                               RoleName{Role::warning, "warning"},
                               RoleName{Role::error, "error"},
                               RoleName{Role::selection, "selection"},
                               RoleName{Role::on_compute, "on-compute"}};

/// At most two decimals, none that say nothing: "12", "0.5".
std::string number(double em) {
    const double value = std::round(em * kPixels * 100) / 100;
    return fmt::format("{:g}", std::abs(value) < 0.005 ? 0 : value);
}

std::string class_of(const Ink& ink) {
    if (ink.role == Role::rank) return fmt::format("rank{}", ink.rank % kRankHues);
    if (ink.role == Role::on_rank) return fmt::format("on{}", ink.rank % kRankHues);
    for (const auto& row : kNames) {
        if (row.role == ink.role) return std::string(row.name);
    }
    return {};
}

std::string paint(const Shape& shape) {
    std::string classes;
    if (shape.fill.role != Role::none) classes += "f-" + class_of(shape.fill);
    if (shape.stroke.role != Role::none) {
        classes += (classes.empty() ? "s-" : " s-") + class_of(shape.stroke);
    }
    auto text = classes.empty() ? std::string() : " class=\"" + classes + "\"";
    if (shape.fill.role == Role::none) text += " fill=\"none\"";
    if (shape.fill.opacity < 1) text += fmt::format(" fill-opacity=\"{:g}\"", shape.fill.opacity);
    if (shape.stroke.role != Role::none) {
        text += " stroke-width=\"" + number(shape.stroke_width) + "\"";
        if (shape.stroke.opacity < 1)
            text += fmt::format(" stroke-opacity=\"{:g}\"", shape.stroke.opacity);
        if (shape.dashed) text += " stroke-dasharray=\"6 4\"";
    }
    return text;
}

std::string path_of(const Shape& shape) {
    const auto& box = shape.box;
    if (shape.kind == ShapeKind::rect) {
        return fmt::format("M{} {}h{}v{}h{}z", number(box.x), number(box.y), number(box.width),
                           number(box.height), number(-box.width));
    }
    std::string path;
    for (const auto& point : shape.points) {
        path += fmt::format("{}{} {}", path.empty() ? "M" : "L", number(point.x), number(point.y));
    }
    return path + "z";
}

std::string element(const Shape& shape, std::string_view prefix) {
    const auto& box = shape.box;
    std::string_view tag;
    std::string geometry, content;
    switch (shape.kind) {
        case ShapeKind::rect:
            tag = "rect";
            geometry = fmt::format(" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"", number(box.x),
                                   number(box.y), number(box.width), number(box.height));
            break;
        case ShapeKind::ellipse:
            tag = "ellipse";
            geometry =
                fmt::format(" cx=\"{}\" cy=\"{}\" rx=\"{}\" ry=\"{}\"", number(box.centre().x),
                            number(box.centre().y), number(box.width / 2), number(box.height / 2));
            break;
        case ShapeKind::polyline:
        case ShapeKind::polygon: {
            tag = shape.kind == ShapeKind::polyline ? "polyline" : "polygon";
            std::string points;
            for (const auto& point : shape.points) {
                points += fmt::format("{}{},{}", points.empty() ? "" : " ", number(point.x),
                                      number(point.y));
            }
            geometry = " points=\"" + points + "\"";
            break;
        }
        case ShapeKind::text: {
            tag = "text";
            const double x = shape.anchor == Anchor::start    ? box.x
                             : shape.anchor == Anchor::middle ? box.centre().x
                                                              : box.right();
            geometry = fmt::format(" x=\"{}\" y=\"{}\" font-size=\"{}\"", number(x),
                                   number(box.y + baseline(shape.size)), number(shape.size));
            if (shape.anchor != Anchor::start) {
                geometry += fmt::format(" text-anchor=\"{}\"",
                                        shape.anchor == Anchor::middle ? "middle" : "end");
            }
            if (shape.bold) geometry += " font-weight=\"bold\"";
            content = escaped(shape.text);
            break;
        }
    }
    std::string id;
    if (!shape.id.empty()) id = fmt::format(" id=\"{}{}\"", prefix, escaped(shape.id));
    const auto title =
        shape.title.empty() ? std::string() : "<title>" + escaped(shape.title) + "</title>";
    const auto inside = title + content;
    auto text = inside.empty() ? fmt::format("<{}{}{}{}/>\n", tag, id, geometry, paint(shape))
                               : fmt::format("<{0}{1}{2}{3}>{4}</{0}>\n", tag, id, geometry,
                                             paint(shape), inside);
    if (shape.pattern != Pattern::none) {
        // A path, so that rectangles are one to one with those of the list; it lets the pointer
        // through to the shape below and its tooltip.
        constexpr std::array<std::string_view, 4> kPatterns{"", "hatch", "cross", "dots"};
        text += fmt::format("<path d=\"{}\" fill=\"url(#tplan-{})\" pointer-events=\"none\"/>\n",
                            path_of(shape), kPatterns[static_cast<std::size_t>(shape.pattern)]);
    }
    return text;
}

std::string hex(Rgb colour) {
    return fmt::format("#{:02x}{:02x}{:02x}", colour.r, colour.g, colour.b);
}

std::string rules(Theme theme) {
    std::string text;
    const auto rule = [&](const Ink& ink) {
        const auto name = class_of(ink);
        const auto colour = hex(colour_of(theme, ink));
        text += fmt::format(".f-{0}{{fill:{1}}}.s-{0}{{stroke:{1}}}\n", name, colour);
    };
    for (const auto& row : kNames) rule({row.role});
    for (int rank = 0; rank < kRankHues; ++rank) {
        rule(rank_ink(rank));
        rule({Role::on_rank, rank});
    }
    return text;
}

constexpr std::string_view kPatternShapes =
    "<defs>"
    "<pattern id=\"tplan-hatch\" width=\"7\" height=\"7\" patternUnits=\"userSpaceOnUse\" "
    "patternTransform=\"rotate(45)\"><path d=\"M0 0V7\" class=\"s-outline\" "
    "stroke-width=\"1.6\"/></pattern>"
    "<pattern id=\"tplan-cross\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" "
    "patternTransform=\"rotate(45)\"><path d=\"M0 0V6M0 0H6\" class=\"s-outline\" "
    "stroke-width=\"1.4\"/></pattern>"
    "<pattern id=\"tplan-dots\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\">"
    "<circle cx=\"1.5\" cy=\"1.5\" r=\"0.9\" class=\"f-outline\"/></pattern>"
    "</defs>";

}  // namespace

std::string escaped(std::string_view text) {
    std::string out;
    for (const char c : text) {
        switch (c) {
            case '&':
                out += "&amp;";
                break;
            case '<':
                out += "&lt;";
                break;
            case '>':
                out += "&gt;";
                break;
            case '"':
                out += "&quot;";
                break;
            case '\n':
                out += "&#10;";
                break;
            default:
                if (static_cast<unsigned char>(c) >= ' ') out += c;  // XML has no other controls
        }
    }
    return out;
}

std::string svg_style() {
    return "svg.tplan{font-family:\"DejaVu Sans\",Verdana,Arial,sans-serif;max-width:100%;"
           "height:auto}\n" +
           rules(Theme::light) + "@media (prefers-color-scheme:dark){\n" + rules(Theme::dark) +
           "}\n@media print{\n" + rules(Theme::light) + "}\n";
}

std::string svg_patterns() {
    return fmt::format(
        "<svg width=\"0\" height=\"0\" style=\"position:absolute\" aria-hidden=\"true\">{}</svg>\n",
        kPatternShapes);
}

std::string svg_text(const DisplayList& list, bool standalone) {
    const auto width = number(list.width), height = number(list.height);
    auto text = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"tplan\" width=\"{0}\" height=\"{1}\" "
        "viewBox=\"0 0 {0} {1}\" role=\"img\" aria-labelledby=\"{2}-title {2}-description\">\n"
        "<title id=\"{2}-title\">{3}</title>\n<desc id=\"{2}-description\">{4}</desc>\n",
        width, height, escaped(list.name), escaped(list.title), escaped(list.description));
    if (standalone) {
        text +=
            "<style>\n" + svg_style() + "</style>\n" + std::string(kPatternShapes) +
            fmt::format("\n<path d=\"M0 0H{}V{}H0z\" class=\"f-background\"/>\n", width, height);
    }
    const auto prefix = escaped(list.name) + ":";
    for (const auto& shape : list.shapes) text += element(shape, prefix);
    return text + "</svg>\n";
}

}  // namespace tplan
