#include "app/figures/timeline.h"

#include <algorithm>

#include "app/figures/chart.h"
#include "app/figures/layer_flow.h"

namespace tplan {
namespace {

constexpr double kText = 0.8, kLane = 1.7, kPitch = 2.0;

/// A step on a lane.
struct Span {
    std::string id, name, title;
    double start = 0, length = 0, wait = 0;  // seconds; `wait` lies before `start`
    bool collective = false;
};

struct Lane {
    std::string label;
    std::vector<Span> spans;
};

/// Steps begin when those they come after have ended.
std::vector<Span> predicted_spans(const Study& study, const FlowSection& section) {
    const auto& steps =
        study.lowered->program->sections[static_cast<std::size_t>(section.section)].steps;
    const auto& prices = study.steps[static_cast<std::size_t>(section.section)];
    std::vector<Span> spans;
    for (std::size_t s = 0; s < steps.size(); ++s) {
        auto& span = spans.emplace_back();
        span.name = steps[s].name;
        span.id = "t:" + span.name;
        span.collective = is_collective(steps[s].kind);
        span.length = prices[s].cost.time.value;
        if (steps[s].after.empty() && s > 0) {
            span.start = spans[s - 1].start + spans[s - 1].length;
        }
        for (const int before : steps[s].after) {
            const auto& other = spans[static_cast<std::size_t>(before)];
            span.start = std::max(span.start, other.start + other.length);
        }
        span.title = fmt::format("{}\npredicted {}, bound by {}", span.name,
                                 format_time(prices[s].cost.time), name_of(prices[s].cost.bound));
    }
    return spans;
}

/// The measured steps of a layer, one after the other.
std::vector<Span> measured_spans(const Study& study, const FlowSection& section, int layer) {
    std::vector<Span> spans;
    const auto& steps =
        study.lowered->program->sections[static_cast<std::size_t>(section.section)].steps;
    double now = 0;
    for (const auto& step : steps) {
        const auto id = step_id(step, layer);
        const auto& ops = study.validation->measured.ops;
        const auto op = std::ranges::find(ops, id, &MeasuredOp::id);
        if (op == ops.end()) continue;
        auto& span = spans.emplace_back();
        span.name = step.name;
        span.id = "m:" + span.name;
        span.collective = is_collective(step.kind);
        span.wait = op->wait.value;
        span.start = now + span.wait;
        span.length = op->time.value;
        now = span.start + span.length;
        span.title = fmt::format(
            "{}\nmeasured {}{}", span.name, format_time(op->time),
            op->wait > Seconds{} ? ", before it waited " + format_time(op->wait) : std::string());
    }
    return spans;
}

/// A layer that the run had, of the section.
int measured_layer(const Study& study, const FlowSection& section, int wanted) {
    if (section.layers.empty()) return -1;
    const bool in = std::ranges::count(section.layers, wanted) > 0;
    const int layer = in ? wanted : section.layers.front();
    return layer < study.validation->measured.layers ? layer : section.layers.front();
}

void add_lanes(std::vector<Lane>& lanes, const std::string& what, const std::vector<Span>& spans) {
    for (const bool collective : {false, true}) {
        Lane lane{what + (collective ? ", comm" : ", compute"), {}};
        std::ranges::copy_if(spans, std::back_inserter(lane.spans),
                             [&](const Span& span) { return span.collective == collective; });
        if (!lane.spans.empty()) lanes.push_back(std::move(lane));
    }
}

void draw_lane(DisplayList& list, const TextMetrics& metrics, const Plot& plot, const Lane& lane,
               double y) {
    for (const auto& span : lane.spans) {
        const double from = plot.at(span.start, 0).x, to = plot.at(span.start + span.length, 0).x;
        if (span.wait > 0) {
            const double before = plot.at(span.start - span.wait, 0).x;
            auto& wait =
                add_rect(list, {before, y, from - before, kLane}, {Role::idle}, {Role::outline});
            wait.pattern = Pattern::dots;
            wait.stroke_width = 0.04;
            wait.title = "waiting for another rank: " + format_time(Seconds(span.wait));
        }
        auto& rect =
            add_rect(list, {from, y, std::max(0.05, to - from), kLane},
                     {span.collective ? Role::collective : Role::compute}, {Role::background});
        rect.stroke_width = 0.06;
        rect.pattern = span.collective ? Pattern::hatch : Pattern::none;
        rect.id = span.id;
        rect.title = span.title;
        // Names stand on plain fills only, where the hatch does not run through them.
        const auto dot = span.name.rfind('.');
        const auto name = dot == std::string::npos ? span.name : span.name.substr(dot + 1);
        if (!span.collective && text_width(metrics, name, kText) + 0.4 < to - from) {
            add_text(list, metrics, {(from + to) / 2, y + (kLane - line_height(kText)) / 2}, name,
                     kText, Anchor::middle, {Role::on_compute});
        }
    }
}

}  // namespace

DisplayList timeline(const Study& study, const FigureOptions& options, const TextMetrics& metrics) {
    if (!study.lowered->program) {
        return empty_figure("timeline", "This degree does not work, so it has no timeline.",
                            options, metrics);
    }
    const auto sections = layer_flow(study);
    const auto& section =
        sections[static_cast<std::size_t>(section_of_layer(sections, options.layer))];
    const int tp = study.request.plan.tp;
    std::vector<Lane> lanes;
    const auto ranks = tp == 1 ? std::string("rank 0") : fmt::format("ranks 0-{}", tp - 1);
    const auto predicted = predicted_spans(study, section);
    add_lanes(lanes, ranks, predicted);
    double most = 0;
    for (const auto& span : predicted) most = std::max(most, span.start + span.length);
    if (study.validation) {
        const auto spans =
            measured_spans(study, section, measured_layer(study, section, options.layer));
        for (const auto& span : spans) most = std::max(most, span.start + span.length);
        add_lanes(lanes, "measured", spans);
    }
    double labels = 0;
    for (const auto& lane : lanes)
        labels = std::max(labels, text_width(metrics, lane.label, kText));
    DisplayList list;
    list.name = "timeline";
    list.title = fmt::format("{} of {} at TP {} in time", section.name, study.config->source, tp);
    list.description =
        "Steps of one layer from left to right, compute above communication; all "
        "ranks do the same, the slowest is shown.";
    list.width = options.width;
    auto ticks = round_ticks(most, 6);
    while (ticks.back() > most) ticks.pop_back();
    const double left = labels + 0.8;
    const double right = 0.5 + text_width(metrics, format_time(Seconds(ticks.back())), kText) / 2;
    Plot plot{{left, 0.6, std::max(10.0, options.width - left - right),
               kPitch * static_cast<double>(lanes.size())},
              {0, most > 0 ? most : 1, false},
              {0, 1, false}};
    for (const double value : ticks) {
        const double x = plot.at(value, 0).x;
        add_line(list, {x, plot.area.y - 0.2}, {x, plot.area.bottom()}, {Role::grid});
        add_text(list, metrics, {x, plot.area.bottom() + 0.2},
                 value == 0 ? std::string("0") : format_time(Seconds(value)), kText, Anchor::middle,
                 {Role::muted});
    }
    double y = plot.area.y;
    for (const auto& lane : lanes) {
        add_text(list, metrics, {left - 0.4, y + (kLane - line_height(kText)) / 2}, lane.label,
                 kText, Anchor::end, {Role::muted});
        draw_lane(list, metrics, plot, lane, y);
        y += kPitch;
    }
    fit_to_shapes(list, 0.3);
    return list;
}

}  // namespace tplan
