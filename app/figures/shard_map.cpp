#include "app/figures/shard_map.h"

#include <algorithm>
#include <cmath>

#include "app/figures/shard_legend.h"
#include "app/figures/slices.h"

namespace tplan {
namespace {

constexpr double kName = 0.85, kSmall = 0.8;  // sizes of text
constexpr double kGap = 0.8;                  // between weights of one step
constexpr double kAbove = 0.15;               // between a name and its box
constexpr double kStrip = 0.7;                // width of an activation
constexpr double kTokenStrip = 1.3;           // of one that is cut by tokens
constexpr double kFlow = 2.2;                 // between steps: arrow, strip, arrow
constexpr double kDiamond = 3.0;
constexpr double kVector = 0.9;  // width of a parameter with one dimension
constexpr double kPlus = 1.3;    // the residual addition

/// Side of a box by the logarithm of what it counts, so that 64 and 128,256 both read.
double side(std::int64_t extent) {
    return std::clamp(0.62 * (std::log2(static_cast<double>(extent)) - 4), 1.2, 8.0);
}

double small_line() {
    return line_height(kSmall);
}

/// A weight with its captions.
struct Column {
    const FlowWeight* weight = nullptr;
    std::string name;
    double box_width = 0, box_height = 0, stack = 0;
    std::vector<std::string> captions;
    double width = 0, up = 0, down = 0;
};

/// A step on the drawing: its weights, or a box of its own, or a collective, or an addition.
struct Cell {
    const FlowItem* item = nullptr;
    bool plus = false;
    std::vector<Column> columns;
    std::vector<std::string> captions;
    double width = 0, up = 0, down = 0;  // from the centre line of its row
};

struct Painter {
    const Study& study;
    const FlowSection& section;
    const FigureOptions& options;
    const TextMetrics& metrics;
    DisplayList list{};

    int tp() const { return study.request.plan.tp; }
    const PricedStep* price(const FlowItem& item) const {
        if (section.section < 0 || item.step < 0) return nullptr;
        return &study.steps[static_cast<std::size_t>(section.section)]
                           [static_cast<std::size_t>(item.step)];
    }
    double wide(std::string_view text, double size) const {
        return text_width(metrics, text, size);
    }
};

std::string last_part(const std::string& name) {
    // A bias keeps the name it belongs to: "q_proj.bias".
    auto end = name.size();
    if (name.ends_with(".bias")) end -= 5;
    const auto dot = name.rfind('.', end - 1);
    return dot == std::string::npos ? name : name.substr(dot + 1);
}

/// What is written into the box of a step without weights.
std::string box_label(const FlowItem& item) {
    return item.kind == OpKind::add ? "add" : last_part(item.name);
}

Column measure(const Painter& to, const FlowItem& item, const FlowWeight& weight) {
    Column column;
    column.weight = &weight;
    column.name = (item.next ? "next " : "") + last_part(weight.name);
    const auto& shape = weight.shape;
    const bool matrix = shape.size() >= 2;
    column.box_height = side(matrix ? shape[shape.size() - 2] : shape.back());
    column.box_width = matrix ? side(shape.back()) : kVector;
    column.stack = shape.size() > 2 ? 0.6 : 0;
    column.captions.push_back(fmt::format("{}", fmt::join(shape, " x ")));
    for (const auto& part : cut_words(weight, to.tp())) {
        for (auto& line : wrapped(to.metrics, part, kSmall, std::max(column.box_width, 9.0)))
            column.captions.push_back(std::move(line));
    }
    const auto dim = static_cast<std::size_t>(weight.split.dim);
    const bool bands = !matrix || dim + 1 < shape.size();
    const double tail =
        weight.split.kind == SplitKind::whole
            ? 0
            : idle_tail(weight.split, shape[dim], bands ? column.box_height : column.box_width);
    column.width =
        std::max(column.box_width + column.stack + (bands ? 0 : tail), to.wide(column.name, kName));
    for (const auto& line : column.captions)
        column.width = std::max(column.width, to.wide(line, kSmall));
    column.up = column.box_height / 2 + column.stack + kAbove + line_height(kName);
    column.down = column.box_height / 2 + (bands ? tail : 0) + 0.2 +
                  small_line() * static_cast<double>(column.captions.size());
    return column;
}

std::vector<std::string> step_captions(const Painter& to, const FlowItem& item) {
    const auto* priced = to.price(item);
    if (is_collective(item.kind)) {
        std::vector<std::string> lines{std::string(name_of(item.kind))};
        std::ranges::replace(lines.front(), '_', '-');
        if (priced) {
            lines.push_back(format_bytes(priced->cost.payload));
            lines.push_back(format_time(priced->cost.time));
        }
        return lines;
    }
    if (!priced) return {};
    // A step that is called like its only weight, or is a box with its name in it, needs no second
    // name.
    const bool named =
        item.weights.empty() ||
        (item.weights.size() == 1 && last_part(item.weights.front().name) == last_part(item.name));
    const auto time = format_time(priced->cost.time);
    return {named ? time : last_part(item.name) + " " + time};
}

Cell measure(const Painter& to, const FlowItem& item, bool plus) {
    Cell cell;
    cell.item = &item;
    cell.plus = plus;
    if (plus) {
        cell.width = kPlus;
        cell.up = cell.down = kPlus / 2;
        return cell;
    }
    cell.captions = step_captions(to, item);
    for (const auto& line : cell.captions) cell.width = std::max(cell.width, to.wide(line, kSmall));
    double inner = 0;
    for (const auto& weight : item.weights) {
        cell.columns.push_back(measure(to, item, weight));
        const auto& column = cell.columns.back();
        inner += column.width + (cell.columns.size() > 1 ? kGap : 0);
        cell.up = std::max(cell.up, column.up);
        cell.down = std::max(cell.down, column.down);
    }
    if (is_collective(item.kind)) {
        inner = kDiamond;
        cell.up = cell.down = kDiamond / 2;
    } else if (item.weights.empty()) {
        inner = to.wide(box_label(item), kName) + 0.8;
        cell.up = cell.down = 0.9;
    }
    cell.width = std::max(cell.width, inner);
    cell.down += 0.1 + small_line() * static_cast<double>(cell.captions.size());
    return cell;
}

/// Cells of the section: a residual addition fused with a norm is drawn as an addition that ends a
/// row and a norm that starts the next.
std::vector<Cell> cells_of(const Painter& to) {
    std::vector<Cell> cells;
    for (const auto& item : to.section.items) {
        if (item.residual) cells.push_back(measure(to, item, true));
        if (item.residual && item.kind == OpKind::add) continue;
        cells.push_back(measure(to, item, false));
    }
    return cells;
}

/// A new row after each residual addition, unless only its norm is left, and wherever the width
/// ends. An addition stays with the step before it.
std::vector<std::vector<Cell>> rows_of(const Painter& to, std::vector<Cell> cells) {
    std::vector<std::vector<Cell>> rows(1);
    double x = 0;
    for (std::size_t i = 0; i < cells.size(); ++i) {
        const bool after_block = i > 0 && cells[i - 1].plus && i + 1 < cells.size();
        const bool added = i + 1 < cells.size() && cells[i + 1].plus;
        const double end = x + cells[i].width + (added ? kFlow + kPlus : 0);
        const bool full = x > 0 && !cells[i].plus && end > to.options.width - 1;
        if (!rows.back().empty() && (after_block || full)) {
            rows.emplace_back();
            x = 0;
        }
        x += cells[i].width + kFlow;
        rows.back().push_back(std::move(cells[i]));
    }
    return rows;
}

void draw_heads(Painter& to, const FlowWeight& weight, const Box& box, bool bands) {
    const auto extent = weight.shape[static_cast<std::size_t>(weight.split.dim)];
    const auto heads = weight.unit > 0 ? extent / weight.unit : 0;
    const double length = bands ? box.height : box.width;
    if (heads < 2 || length / static_cast<double>(heads) < 0.05) return;
    const auto line = [&](double share, Ink ink, double width) -> Shape& {
        return bands ? add_line(to.list, {box.x, box.y + share * box.height},
                                {box.right(), box.y + share * box.height}, ink, width)
                     : add_line(to.list, {box.x + share * box.width, box.y},
                                {box.x + share * box.width, box.bottom()}, ink, width);
    };
    for (std::int64_t h = 1; h < heads; ++h) {
        line(static_cast<double>(h) / static_cast<double>(heads), {Role::outline, 0, 0.6}, 0.03);
    }
    for (int rank = 0; rank < weight.split.parts; ++rank) {
        for (const auto& slice : slices(weight.split, extent, rank)) {
            if (slice.offset % weight.unit == 0) continue;
            line(static_cast<double>(slice.offset) / static_cast<double>(extent), {Role::error},
                 0.14)
                .title = fmt::format("cuts through head {}", slice.offset / weight.unit);
        }
    }
}

void draw_column(Painter& to, const Column& column, double x, double y) {
    const auto& weight = *column.weight;
    const double centre = x + column.width / 2;
    const Box box{centre - (column.box_width + column.stack) / 2, y - column.box_height / 2,
                  column.box_width, column.box_height};
    const double top = box.y - column.stack;
    add_text(to.list, to.metrics, {centre, top - kAbove - line_height(kName)}, column.name, kName,
             Anchor::middle);
    for (double shift = column.stack; shift > 0.05; shift -= 0.3) {
        add_rect(to.list, {box.x + shift, box.y - shift, box.width, box.height}, {Role::panel},
                 {Role::outline})
            .stroke_width = 0.05;
    }
    const auto id = "w:" + weight.name;
    double tail = 0;
    if (weight.split.kind == SplitKind::whole) {
        draw_replicated(to.list, box, id, slice_title(weight, 0, to.tp()));
    } else {
        const auto dim = static_cast<std::size_t>(weight.split.dim);
        const bool bands = weight.shape.size() < 2 || dim + 1 < weight.shape.size();
        SlicedBox what{box, weight.split, weight.shape[dim], bands, id,
                       {},  true,         to.options.isolate};
        what.title = [&](int rank) { return slice_title(weight, rank, to.tp()); };
        draw_slices(to.list, to.metrics, what);
        if (bands) tail = idle_tail(weight.split, weight.shape[dim], box.height);
        if (to.options.heads || !to.study.lowered->program) draw_heads(to, weight, box, bands);
    }
    double line = box.bottom() + tail + 0.2;
    for (const auto& caption : column.captions) {
        add_text(to.list, to.metrics, {centre, line}, caption, kSmall, Anchor::middle,
                 {Role::muted});
        line += small_line();
    }
}

std::string step_title(const Painter& to, const FlowItem& item) {
    auto text = item.name;
    if (const auto* priced = to.price(item)) {
        text += fmt::format("\n{}, bound by {}", format_time(priced->cost.time),
                            name_of(priced->cost.bound));
        if (is_collective(item.kind)) {
            text += fmt::format("\n{} of the whole tensor, {}", format_bytes(priced->cost.payload),
                                priced->algorithm);
        }
        text +=
            fmt::format("\n{} times a step, {}", priced->repeats, name_of(priced->cost.provenance));
    }
    return text;
}

void draw_cell(Painter& to, const Cell& cell, double x, double y) {
    const auto& item = *cell.item;
    const double centre = x + cell.width / 2;
    if (cell.plus) {
        auto& circle = add_ellipse(to.list, {x, y - kPlus / 2, kPlus, kPlus}, {Role::background},
                                   {Role::text});
        circle.id = "op:" + item.name + "/add";
        circle.title = "residual addition: the block's output joins the stream";
        add_line(to.list, {centre - 0.35, y}, {centre + 0.35, y}, {Role::text}, 0.1);
        add_line(to.list, {centre, y - 0.35}, {centre, y + 0.35}, {Role::text}, 0.1);
        return;
    }
    if (is_collective(item.kind)) {
        const double half = kDiamond / 2;
        auto& diamond = add_polygon(
            to.list,
            {{centre - half, y}, {centre, y - half}, {centre + half, y}, {centre, y + half}},
            {Role::collective}, {Role::outline});
        diamond.id = "c:" + item.name;
        diamond.title = step_title(to, item);
        diamond.pattern = Pattern::hatch;
    } else if (item.weights.empty()) {
        const auto label = box_label(item);
        const double width = to.wide(label, kName) + 0.8;
        auto& box = add_rect(to.list, {centre - width / 2, y - 0.9, width, 1.8}, {Role::panel},
                             {Role::outline});
        box.id = "op:" + item.name;
        box.title = step_title(to, item);
        add_text(to.list, to.metrics, {centre, y - line_height(kName) / 2}, label, kName,
                 Anchor::middle);
    } else {
        double inner = -kGap;
        for (const auto& column : cell.columns) inner += column.width + kGap;
        double left = centre - inner / 2;
        for (const auto& column : cell.columns) {
            draw_column(to, column, left, y);
            left += column.width + kGap;
        }
    }
    double line = y + cell.down - small_line() * static_cast<double>(cell.captions.size());
    for (const auto& caption : cell.captions) {
        const bool named = !item.weights.empty();
        auto& text = add_text(to.list, to.metrics, {centre, line}, caption, kSmall, Anchor::middle,
                              {Role::text});
        if (named) {
            text.id = "op:" + item.name;
            text.title = step_title(to, item);
        }
        line += small_line();
    }
}

/// What flows between two steps: thin lines, one per rank, into a collective; a thick one out of
/// it.
void draw_flow(Painter& to, const FlowItem& from, const FlowItem* next, double x, double y) {
    const bool into = next && is_collective(next->kind);
    if (into) {
        const int lines = std::min(to.tp(), 8);
        for (int i = 0; i < lines; ++i) {
            const double shift = lines > 1 ? 1.8 * (i / (lines - 1.0) - 0.5) : 0;
            add_line(to.list, {x, y + shift}, {x + kFlow, y + shift * 0.4}, {Role::muted}, 0.05);
        }
    } else {
        const double weight = is_collective(from.kind) ? 0.22 : 0.08;
        add_line(to.list, {x, y}, {x + kFlow - 0.3, y}, {Role::muted}, weight);
        add_polygon(to.list,
                    {{x + kFlow - 0.5, y - 0.3}, {x + kFlow, y}, {x + kFlow - 0.5, y + 0.3}},
                    {Role::muted});
    }
    if (!to.options.activations || from.out == FlowLayout::unknown || from.out_width < 1) return;
    const double height = side(from.out_width);
    const bool tokens = from.out == FlowLayout::tokens;
    const double strip = tokens ? kTokenStrip : kStrip;
    const Box box{x + (kFlow - strip) / 2 - 0.1, y - height / 2, strip, height};
    const auto id = "a:" + from.name;
    const auto title = [&](std::string_view layout) {
        return fmt::format("output of {}: {} columns, {}", from.name, from.out_width, layout);
    };
    if (from.out == FlowLayout::split) {
        SlicedBox what{box, from.out_split, from.out_width, true, id, {}, true, to.options.isolate};
        what.title = [&](int rank) {
            return title(fmt::format("rank {} has {}", rank,
                                     local_extent(from.out_split, from.out_width, rank)));
        };
        draw_slices(to.list, to.metrics, what);
        return;
    }
    if (tokens) {
        // Their number depends on the workload: drawn as equal shares.
        SlicedBox what{box, from.out_split, to.tp(), false, id, {}, true, to.options.isolate};
        what.title = [&](int rank) {
            return title(fmt::format("rank {} has its own tokens, all columns of them", rank));
        };
        draw_slices(to.list, to.metrics, what);
        return;
    }
    draw_replicated(to.list, box, id,
                    title(from.out == FlowLayout::partial ? "a partial sum on each rank"
                                                          : "whole on every rank"));
    if (from.out == FlowLayout::partial) to.list.shapes.back().pattern = Pattern::cross;
}

void draw_row(Painter& to, const std::vector<Cell>& row, bool first, double& top) {
    double up = 0, down = 0;
    bool skip = false;
    for (const auto& cell : row) {
        up = std::max(up, cell.up);
        down = std::max(down, cell.down);
        skip = skip || cell.plus;
        const auto& item = *cell.item;
        if (to.options.activations && item.out_width > 0) {
            up = std::max(up, side(item.out_width) / 2);
            down = std::max(down, side(item.out_width) / 2 * 1.5 + 0.1);
        }
    }
    if (skip) up += 0.7;
    const double y = top + up;
    double x = 0.6;
    if (!first || skip) add_line(to.list, {0.1, y}, {x, y}, {Role::muted}, 0.08);
    for (std::size_t i = 0; i < row.size(); ++i) {
        const auto& cell = row[i];
        if (cell.plus) {
            // The stream passes over the block from where the row starts.
            const double centre = x + cell.width / 2;
            add_polyline(to.list,
                         {{0.3, y}, {0.3, top + 0.3}, {centre, top + 0.3}, {centre, y - kPlus / 2}},
                         {Role::muted}, 0.08);
        }
        draw_cell(to, cell, x, y);
        x += cell.width;
        const auto* next = i + 1 < row.size() ? row[i + 1].item : nullptr;
        if (cell.plus && next == cell.item) {
            add_line(to.list, {x, y}, {x + kFlow, y}, {Role::muted}, 0.08);
        } else if (!cell.plus) {
            draw_flow(to, *cell.item, next, x, y);
        }
        x += kFlow;
    }
    top = y + down + 0.8;
}

std::string heading(const Study& study, const FlowSection& section) {
    if (section.layers.empty()) return section.name;
    auto text = fmt::format("{}, {} of {} layers", section.name, section.layers.size(),
                            study.config->layers);
    if (section.section < 0) return text;
    Seconds time;
    for (const auto& step : study.steps[static_cast<std::size_t>(section.section)])
        time += step.cost.time;
    return text + fmt::format(", {} each", format_time(time));
}

}  // namespace

DisplayList section_map(const Study& study, const FlowSection& section,
                        const FigureOptions& options, const TextMetrics& metrics, bool legend) {
    Painter to{study, section, options, metrics};
    to.list.name = "shard-map";
    to.list.title = fmt::format("Shard map of {} at TP {}: {}", study.config->source,
                                study.request.plan.tp, section.name);
    to.list.description =
        "Each weight as a box, rows are outputs and columns inputs, cut into the part of each "
        "rank; "
        "hatched weights are whole on every rank; "
        "diamonds are collectives. Steps stand in the order they run.";
    double top = 0.2;
    if (legend) {
        top += draw_shard_legend(to.list, metrics, section, to.tp(), options.width, top);
    }
    add_text(to.list, metrics, {0.1, top}, heading(study, section), 1, Anchor::start, {Role::text},
             true);
    top += 1.7;
    const auto rows = rows_of(to, cells_of(to));
    for (const auto& row : rows) draw_row(to, row, &row == &rows.front(), top);
    fit_to_shapes(to.list, 0.4);
    return std::move(to.list);
}

DisplayList shard_map(const Study& study, const FigureOptions& options,
                      const TextMetrics& metrics) {
    const auto sections = layer_flow(study);
    return section_map(
        study, sections[static_cast<std::size_t>(section_of_layer(sections, options.layer))],
        options, metrics);
}

DisplayList shard_maps(const Study& study, const FigureOptions& options,
                       const TextMetrics& metrics) {
    DisplayList all;
    all.name = "shard-map";
    all.title = fmt::format("Shard map of {}{} at TP {}",
                            study.training ? "the forward pass of a training step of " : "",
                            study.config->source, study.request.plan.tp);
    constexpr double kTitle = 1.2;
    double top = 0.2;
    for (const auto& line : wrapped(metrics, all.title, kTitle, options.width - 1)) {
        add_text(all, metrics, {0.1, top}, line, kTitle, Anchor::start, {Role::text}, true);
        top += line_height(kTitle);
    }
    top += 0.5;
    const auto sections = layer_flow(study);
    FlowSection together;  // for the legend
    for (const auto& section : sections)
        together.items.insert(together.items.end(), section.items.begin(), section.items.end());
    all.height =
        top + draw_shard_legend(all, metrics, together, study.request.plan.tp, options.width, top);
    for (const auto& section : sections) {
        auto one = section_map(study, section, options, metrics, false);
        all.description = one.description;
        for (auto& shape : one.shapes) {
            if (!shape.id.empty()) shape.id = section.name + "/" + shape.id;
            std::ranges::replace(shape.id, ' ', '-');
            shape.box.y += all.height;
            for (auto& point : shape.points) point.y += all.height;
            all.shapes.push_back(std::move(shape));
        }
        all.width = std::max(all.width, one.width);
        all.height += one.height + 1;
    }
    return all;
}

}  // namespace tplan
