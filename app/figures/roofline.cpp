#include "app/figures/roofline.h"

#include <algorithm>
#include <cmath>

#include "app/figures/chart.h"

namespace tplan {
namespace {

constexpr double kText = 0.8;

struct Dot {
    std::string name, title;
    double intensity = 0, rate = 0, total = 0;  // flop/byte, flop/s, seconds of the step
};

std::vector<Dot> dots_of(const Study& study) {
    std::vector<Dot> dots;
    const auto& program = *study.lowered->program;
    for (std::size_t s = 0; s < program.sections.size(); ++s) {
        for (std::size_t i = 0; i < program.sections[s].steps.size(); ++i) {
            const auto& step = program.sections[s].steps[i];
            const auto& priced = study.steps[s][i];
            const auto& cost = priced.cost;
            if (is_collective(step.kind) || cost.flops.value <= 0 || cost.bytes.value <= 0)
                continue;
            const bool again = std::ranges::count(dots, step.name, &Dot::name) > 0;
            dots.push_back(
                {again ? fmt::format("{} ({})", step.name, program.sections[s].name) : step.name,
                 fmt::format("{}\n{:.3g} flop per byte, {}\n{} each, {} times a step\nbound by {}",
                             step.name, cost.flops.value / cost.bytes.value,
                             format_flop_rate(cost.flops / cost.time), format_time(cost.time),
                             priced.repeats, name_of(cost.bound)),
                 cost.flops.value / cost.bytes.value, (cost.flops / cost.time).value,
                 cost.time.value * priced.repeats});
        }
    }
    return dots;
}

std::vector<Tick> decades(double low, double high, bool rate) {
    std::vector<Tick> ticks;
    for (double value = low; value <= high * 1.001; value *= 10) {
        auto label = fmt::format("{:g}", value);
        if (rate) {
            label = value >= 1e9 ? format_flop_rate(FlopRate(value))
                                 : fmt::format("{:g} MFLOP/s", value / 1e6);
        }
        ticks.push_back({value, std::move(label), false});
    }
    return ticks;
}

/// Names of the steps that take longest, where they cover no marker, no other name and not the
/// roof.
void label_dots(DisplayList& list, const TextMetrics& metrics, const Plot& plot,
                const std::vector<Point>& roof, std::vector<Dot> dots) {
    std::ranges::sort(dots, [](const Dot& a, const Dot& b) { return a.total > b.total; });
    std::vector<Box> taken;
    for (const auto& dot : dots) {
        const auto place = plot.at(dot.intensity, dot.rate);
        taken.push_back({place.x - 0.45, place.y - 0.45, 0.9, 0.9});
    }
    for (std::size_t i = 1; i < roof.size(); ++i) {
        constexpr int kPoints = 60;  // the roof as a row of points to keep clear of
        for (int p = 0; p <= kPoints; ++p) {
            const double share = static_cast<double>(p) / kPoints;
            taken.push_back({roof[i - 1].x + share * (roof[i].x - roof[i - 1].x) - 0.15,
                             roof[i - 1].y + share * (roof[i].y - roof[i - 1].y) - 0.15, 0.3, 0.3});
        }
    }
    constexpr std::size_t kMostLabels = 6;
    std::size_t labels = 0;
    for (const auto& dot : dots) {
        if (labels == kMostLabels) break;
        const auto part = dot.name.rfind('.');
        const auto name = part == std::string::npos ? dot.name : dot.name.substr(part + 1);
        const auto place = plot.at(dot.intensity, dot.rate);
        const double width = text_width(metrics, name, kText), height = line_height(kText);
        for (const auto& at :
             {Point{place.x + 0.6, place.y + 0.1}, Point{place.x - 0.6 - width, place.y - 0.9},
              Point{place.x - width / 2, place.y + 0.6}, Point{place.x + 0.6, place.y - 0.9}}) {
            const Box box{at.x, at.y, width, height};
            if (!contains(plot.area, box) ||
                std::ranges::any_of(taken, [&](const Box& other) { return overlap(box, other); }))
                continue;
            add_text(list, metrics, at, name, kText);
            taken.push_back(box);
            ++labels;
            break;
        }
    }
}

}  // namespace

DisplayList roofline_chart(const Study& study, const FigureOptions& options,
                           const TextMetrics& metrics) {
    if (!study.lowered->program) {
        return empty_figure("roofline", "This degree does not work, so its steps have no price.",
                            options, metrics);
    }
    const auto& hardware = *study.hardware;
    const auto dots = dots_of(study);
    const auto peak = peak_rate(hardware, study.request.workload.dtype);
    const double bandwidth = hardware.memory_bandwidth.value * hardware.memory_efficiency;
    const double roof = peak.value * hardware.gemm_efficiency;
    double low_x = 1, high_x = roof / bandwidth * 4, low_y = roof / 100;
    for (const auto& dot : dots) {
        low_x = std::min(low_x, dot.intensity);
        high_x = std::max(high_x, dot.intensity * 2);
        low_y = std::min(low_y, dot.rate);
    }
    const auto down = [](double v) { return std::pow(10, std::floor(std::log10(v))); };
    const auto up = [](double v) { return std::pow(10, std::ceil(std::log10(v))); };
    DisplayList list;
    list.name = "roofline";
    list.title = fmt::format("Roofline of {} at TP {} on {}", study.config->source,
                             study.request.plan.tp, hardware.name);
    list.description =
        "Arithmetic achieved over intensity: steps left of the ridge wait for "
        "memory, steps right of it for arithmetic, steps far below for launches.";
    list.width = options.width;
    list.height = options.height;
    const ChartAxis x{down(low_x), up(high_x), true}, y{down(low_y), up(roof), true};
    const auto y_ticks = decades(y.low, y.high, true);
    double labels = 0;
    for (const auto& tick : y_ticks)
        labels = std::max(labels, text_width(metrics, tick.label, kText));
    const Plot plot{{labels + 1, 2, std::max(10.0, options.width - labels - 3.2),
                     std::max(4.0, options.height - 5)},
                    x,
                    y};
    draw_axes(list, metrics, plot, decades(x.low, x.high, false), y_ticks,
              "arithmetic intensity, flop per byte", "arithmetic rate of one GPU");
    const double ridge = roof / bandwidth;
    const double from = std::max(x.low, y.low / bandwidth);
    const std::vector<Point> corners{plot.at(from, from * bandwidth), plot.at(ridge, roof),
                                     plot.at(x.high, roof)};
    auto& line = add_polyline(list, corners, {Role::text}, 0.12);
    line.id = "roof";
    line.title = fmt::format(
        "{} of memory bandwidth reached by streaming, {} {} of arithmetic reached by large "
        "products",
        format_bandwidth(Bandwidth(bandwidth)), format_flop_rate(FlopRate(roof)),
        name_of(usable_dtype(hardware, study.request.workload.dtype)));
    for (const auto& dot : dots) {
        auto& marker = add_marker(list, Marker::circle, plot.at(dot.intensity, dot.rate), 0.32,
                                  {Role::compute}, false);
        marker.id = "roof:" + dot.name;
        marker.title = dot.title;
    }
    label_dots(list, metrics, plot, corners, dots);
    fit_to_shapes(list, 0.2);
    return list;
}

}  // namespace tplan
