#include "app/figures/curves.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>

#include "app/figures/chart.h"

namespace tplan {
namespace {

constexpr double kLabel = 0.8;

Marker link_marker(std::string_view link) {
    return link == "nvlink" ? Marker::circle : link == "pcie" ? Marker::square : Marker::triangle;
}

/// What a chart over the degree shows of one point.
struct Quantity2D {
    std::string name, title, y_title;
    std::function<double(const Curve&, const CurvePoint&)> value;
    std::function<std::string(double)> label;
    bool interval = false;
};

const CurvePoint* smallest(const Curve& curve) {
    const auto found = std::ranges::find_if(curve.points, &CurvePoint::feasible);
    return found == curve.points.end() ? nullptr : &*found;
}

std::string point_title(const Curve& curve, const CurvePoint& point) {
    auto text = fmt::format("TP {} over {}\n", point.tp, curve.link);
    if (!point.feasible) return text + "does not work: " + point.reason;
    const auto& totals = point.totals;
    text += fmt::format("step {} ({} to {})\n", format_time(totals.step),
                        format_time(totals.interval_90[0]), format_time(totals.interval_90[1]));
    text +=
        fmt::format("compute {}, collectives {}, of both launch {}\n", format_time(totals.compute),
                    format_time(totals.collective), format_time(totals.launch));
    text += fmt::format("memory {} of {}{}\n{}", format_bytes(totals.memory.total),
                        format_bytes(totals.memory.capacity),
                        totals.memory.fits ? "" : ": does not fit", name_of(totals.provenance));
    return text;
}

/// Ends of the curves as labels right of the plot, pushed apart where they would touch.
void draw_link_labels(DisplayList& list, const TextMetrics& metrics, double x,
                      std::vector<std::pair<double, std::string>> ends, const Box& area) {
    std::ranges::sort(ends);
    double next = area.y - 1;
    for (auto& [y, link] : ends) {
        y = std::max(y - line_height(kLabel) / 2, next);
        next = y + line_height(kLabel);
    }
    const double excess = next - (area.bottom() + 0.6);
    for (const auto& [y, link] : ends) {
        add_text(list, metrics, {x, y - std::max(0.0, excess)}, link, kLabel, Anchor::start,
                 {link_role(link)}, true);
    }
}

void draw_refused(DisplayList& list, const Plot& plot, const Curve& curve,
                  const CurvePoint& point) {
    const auto centre = plot.at(point.tp, plot.y.low);
    const double size = 0.4, y = centre.y - 0.6;
    auto& room = add_rect(list, {centre.x - size, y - size, 2 * size, 2 * size}, {}, {});
    room.id = fmt::format("curve:{}/tp:{}", curve.link, point.tp);
    room.title = point_title(curve, point);
    add_line(list, {centre.x - size, y - size}, {centre.x + size, y + size}, {Role::error}, 0.14);
    add_line(list, {centre.x - size, y + size}, {centre.x + size, y - size}, {Role::error}, 0.14);
}

void draw_curve(DisplayList& list, const Plot& plot, const Study& study, const Curve& curve,
                const Quantity2D& what) {
    const auto role = link_role(curve.link);
    std::vector<Point> line, band, low;
    for (const auto& point : curve.points) {
        if (!point.feasible) continue;
        line.push_back(plot.at(point.tp, what.value(curve, point)));
        band.push_back(plot.at(point.tp, point.totals.interval_90[1].value));
        low.push_back(plot.at(point.tp, point.totals.interval_90[0].value));
    }
    if (what.interval && band.size() > 1) {
        band.insert(band.end(), low.rbegin(), low.rend());
        add_polygon(list, std::move(band), {role, 0, 0.14});
    }
    if (line.size() > 1) {
        add_polyline(list, line, {role}, 0.14).dashed = curve.link != "nvlink";
    }
    for (const auto& point : curve.points) {
        if (!point.feasible) {
            if (&curve == &study.curves.front()) draw_refused(list, plot, curve, point);
            continue;
        }
        const auto place = plot.at(point.tp, what.value(curve, point));
        const bool own = &curve == &study.curves.front() && point.tp == study.request.plan.tp;
        if (own) {
            auto& ring = add_ellipse(list, {place.x - 0.75, place.y - 0.75, 1.5, 1.5}, {},
                                     {Role::selection});
            ring.stroke_width = 0.14;
        }
        auto& marker = add_marker(list, link_marker(curve.link), place, 0.34, {role},
                                  !point.totals.memory.fits);
        marker.id = fmt::format("curve:{}/tp:{}", curve.link, point.tp);
        marker.title = point_title(curve, point);
    }
}

/// Measured steps, where the run had all layers.
void draw_measured(DisplayList& list, const Plot& plot, const Study& study) {
    if (!study.validation) return;
    const auto& measured = study.validation->measured;
    if (measured.layers != study.config->layers) return;
    const auto star = [&](int tp, const Spread& spread) {
        const auto place = plot.at(tp, spread.median.value);
        add_line(list, plot.at(tp, spread.p10.value), plot.at(tp, spread.p90.value),
                 {Role::measured}, 0.12);
        auto& shape = add_star(list, place, 0.6, {Role::measured});
        shape.id = fmt::format("measured:tp:{}", tp);
        shape.title =
            fmt::format("measured at TP {}: {} (p10 {}, p90 {})", tp, format_time(spread.median),
                        format_time(spread.p10), format_time(spread.p90));
    };
    star(measured.ranks, measured.step);
    if (measured.ranks != 1) star(1, measured.step_tp1);
}

double highest_measured(const Study& study) {
    if (!study.validation || study.validation->measured.layers != study.config->layers) return 0;
    const auto& measured = study.validation->measured;
    return std::max(measured.step.p90.value, measured.step_tp1.p90.value);
}

/// What the marks that occur stand for, as many as fit into `room` em.
std::string marks_in_words(const Study& study, const TextMetrics& metrics, double room) {
    bool refused = false, over = false;
    for (const auto& curve : study.curves) {
        for (const auto& point : curve.points) {
            refused = refused || !point.feasible;
            over = over || (point.feasible && !point.totals.memory.fits);
        }
    }
    std::string text = "TP degree";
    const auto add = [&](bool occurs, std::string_view words) {
        const auto longer = text + "; " + std::string(words);
        if (occurs && text_width(metrics, longer, kLabel) <= room) text = longer;
    };
    add(highest_measured(study) > 0, "star: measured");
    add(refused, "crossed: does not work");
    add(over, "hollow: does not fit");
    add(true, "thin dashes: ideal");
    return text;
}

DisplayList chart_over_degree(const Study& study, const FigureOptions& options,
                              const TextMetrics& metrics, const Quantity2D& what) {
    double most = what.interval ? highest_measured(study) : 0;
    int last = 1;
    double labels = 0;
    bool any = false;
    for (const auto& curve : study.curves) {
        labels = std::max(labels, text_width(metrics, curve.link, kLabel, true));
        for (const auto& point : curve.points) {
            last = std::max(last, point.tp);
            if (!point.feasible) continue;
            any = true;
            most = std::max(
                most, what.interval ? point.totals.interval_90[1].value : what.value(curve, point));
        }
    }
    if (!any) {
        return empty_figure(what.name, "No degree works, so there is no time to draw.", options,
                            metrics);
    }
    DisplayList list;
    list.name = what.name;
    list.title =
        fmt::format("{} of {} on {}", what.title, study.config->source, study.hardware->name);
    list.description = study.answer;
    list.width = options.width;
    list.height = options.height;
    std::vector<Tick> x_ticks, y_ticks;
    double y_labels = 0;
    for (const double value : round_ticks(most, 5)) {
        y_ticks.push_back({value, what.label(value), false});
        y_labels = std::max(y_labels, text_width(metrics, y_ticks.back().label, 0.8));
    }
    for (const auto& point : study.curves.front().points) {
        x_ticks.push_back({static_cast<double>(point.tp), std::to_string(point.tp),
                           point.tp == study.request.plan.tp});
    }
    const double left = y_labels + 1, right = labels + 2;
    const Plot plot{{left + 0.6, 2, std::max(8.0, options.width - left - right - 0.6),
                     std::max(4.0, options.height - 5)},
                    {0.93, std::max(2.0, static_cast<double>(last)), true},
                    {0, y_ticks.back().value, false}};
    draw_axes(list, metrics, plot, x_ticks, y_ticks,
              marks_in_words(study, metrics, plot.area.right() - 0.4), what.y_title);
    const auto& own = study.curves.front();
    if (const auto* base = smallest(own)) {
        std::vector<Point> ideal;
        const double start = what.value(own, *base);
        for (const auto& point : own.points) {
            if (point.tp < base->tp) continue;
            const double ratio = static_cast<double>(point.tp) / base->tp;
            const double value = what.interval ? start / ratio : start * ratio;
            if (value <= plot.y.high) ideal.push_back(plot.at(point.tp, value));
        }
        if (ideal.size() > 1) {
            auto& line = add_polyline(list, std::move(ideal), {Role::ideal}, 0.08);
            line.dashed = true;
            line.title = "ideal: as many times faster as there are GPUs";
        }
    }
    std::vector<std::pair<double, std::string>> ends;
    for (auto curve = study.curves.rbegin(); curve != study.curves.rend(); ++curve) {
        draw_curve(list, plot, study, *curve, what);
        const CurvePoint* end = nullptr;
        for (const auto& point : curve->points) end = point.feasible ? &point : end;
        if (end) ends.emplace_back(plot.at(end->tp, what.value(*curve, *end)).y, curve->link);
    }
    draw_link_labels(list, metrics, plot.area.right() + 1, std::move(ends), plot.area);
    if (what.interval) draw_measured(list, plot, study);
    fit_to_shapes(list, 0.2);
    return list;
}

}  // namespace

Role link_role(std::string_view link) {
    return link == "nvlink" ? Role::nvlink : link == "pcie" ? Role::pcie : Role::shared_memory;
}

std::vector<int> row_degrees(const Study& study) {
    std::vector<int> degrees;
    for (const auto& point : study.curves.front().points) {
        const bool own = point.tp == study.request.plan.tp;
        if (point.feasible && (own || std::has_single_bit(static_cast<unsigned>(point.tp))))
            degrees.push_back(point.tp);
    }
    return degrees;
}

DisplayList latency_curves(const Study& study, const FigureOptions& options,
                           const TextMetrics& metrics) {
    const bool decode = study.request.workload.phase == Phase::decode;
    return chart_over_degree(
        study, options, metrics,
        {"latency", "Time of a step over the TP degree",
         decode ? "time per token, with its 90 % interval"
                : "time to the first token, with its 90 % interval",
         [](const Curve&, const CurvePoint& point) { return point.totals.step.value; },
         [](double value) { return value == 0 ? std::string("0") : format_time(Seconds(value)); },
         true});
}

DisplayList speedup_curves(const Study& study, const FigureOptions& options,
                           const TextMetrics& metrics) {
    return chart_over_degree(
        study, options, metrics,
        {"speedup", "Speedup over the TP degree", "speedup over the smallest degree that works",
         [](const Curve& curve, const CurvePoint& point) {
             return smallest(curve)->totals.step / point.totals.step;
         },
         [](double value) { return fmt::format("{:g}x", value); }, false});
}

DisplayList time_bars(const Study& study, const FigureOptions& options,
                      const TextMetrics& metrics) {
    std::vector<Bar> bars;
    for (const int tp : row_degrees(study)) {
        for (const auto& curve : study.curves) {
            const auto* point = point_at(curve, tp);
            if (!point || !point->feasible) continue;
            const bool own = tp == study.request.plan.tp && &curve == &study.curves.front();
            const auto id = fmt::format("time:{}/tp:{}", curve.link, tp);
            const auto part = [&](std::string_view name, Seconds time, Role role, Pattern pattern) {
                return BarPart{
                    time.value,
                    {role},
                    pattern,
                    fmt::format("{}/{}", id, name),
                    fmt::format("TP {} over {}: {} {} ({})", tp, curve.link, name,
                                format_time(time), format_percent(time / point->totals.step))};
            };
            bars.push_back({fmt::format("TP {} {}", tp, curve.link),
                            own,
                            {part("compute", point->work, Role::compute, Pattern::none),
                             part("collectives", point->transfer, Role::collective, Pattern::hatch),
                             part("launch", point->launch, Role::launch, Pattern::dots)},
                            format_time(point->totals.step),
                            Role::text,
                            point_title(curve, *point),
                            id});
        }
    }
    if (bars.empty()) {
        return empty_figure("time", "No degree works, so there is no time to divide.", options,
                            metrics);
    }
    DisplayList list;
    list.name = "time";
    list.title = fmt::format("Where the time of a step goes: {} on {}", study.config->source,
                             study.hardware->name);
    list.description = "Compute, collectives and launches of one step, per degree and link.";
    list.width = options.width;
    list.height = draw_bars(list, metrics, 0.3, options.width, options.height, bars,
                            {{"compute", {Role::compute}, Pattern::none},
                             {"collectives", {Role::collective}, Pattern::hatch},
                             {"launches of both", {Role::launch}, Pattern::dots}},
                            0, {});
    fit_to_shapes(list, 0.2);
    return list;
}

DisplayList memory_bars(const Study& study, const FigureOptions& options,
                        const TextMetrics& metrics) {
    const auto& curve = study.curves.front();
    std::vector<Bar> bars;
    Bytes capacity;
    for (const int tp : row_degrees(study)) {
        const auto& memory = point_at(curve, tp)->totals.memory;
        capacity = memory.capacity;
        const auto id = fmt::format("memory:tp:{}", tp);
        const auto part = [&](std::string_view name, Bytes bytes, Role role, Pattern pattern) {
            return BarPart{
                bytes.value,
                {role},
                pattern,
                fmt::format("{}/{}", id, name),
                fmt::format("TP {}, each GPU: {} {} ({} of what it may use)", tp, name,
                            format_bytes(bytes), format_percent(bytes / memory.capacity))};
        };
        auto end = format_bytes(memory.total);
        if (!memory.fits) end += fmt::format(", +{} over", format_bytes(memory.total - capacity));
        bars.push_back(
            {fmt::format("TP {}", tp),
             tp == study.request.plan.tp,
             {part("weights", memory.weights, Role::weights, Pattern::none),
              part("KV cache", memory.kv_cache, Role::kv_cache, Pattern::hatch),
              part("activations", memory.activations + memory.logits, Role::activations,
                   Pattern::cross),
              part("workspace and communication", memory.workspace + memory.communication,
                   Role::buffers, Pattern::dots)},
             end,
             memory.fits ? Role::text : Role::error,
             fmt::format("largest batch {}, longest context {}", format_count(memory.max_batch),
                         format_count(memory.max_context)),
             id});
    }
    if (bars.empty()) {
        return empty_figure("memory", "No degree works, so nothing lies in memory.", options,
                            metrics);
    }
    DisplayList list;
    list.name = "memory";
    list.title =
        fmt::format("Memory per GPU: {} on {}", study.config->source, study.hardware->name);
    list.description = "Memory of the fullest GPU at every degree; the line is what it may use.";
    list.width = options.width;
    list.height = draw_bars(list, metrics, 0.3, options.width, options.height, bars,
                            {{"weights", {Role::weights}, Pattern::none},
                             {"KV cache", {Role::kv_cache}, Pattern::hatch},
                             {"activations, logits", {Role::activations}, Pattern::cross},
                             {"workspace, communication", {Role::buffers}, Pattern::dots}},
                            capacity.value, "may use " + format_bytes(capacity));
    fit_to_shapes(list, 0.2);
    return list;
}

}  // namespace tplan
