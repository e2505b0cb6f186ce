#include "app/figures/figure.h"

#include <algorithm>

#include "app/figures/curves.h"
#include "app/figures/interconnect.h"
#include "app/figures/overview.h"
#include "app/figures/roofline.h"
#include "app/figures/shard_map.h"
#include "app/figures/timeline.h"

namespace tplan {
namespace {

constexpr std::array kFigures = {Figure{"shard-map", "Who holds what of a layer", shard_map},
                                 Figure{"latency", "Time over the TP degree", latency_curves},
                                 Figure{"speedup", "Speedup over the TP degree", speedup_curves},
                                 Figure{"time", "Where the time goes", time_bars},
                                 Figure{"memory", "Memory per GPU", memory_bars},
                                 Figure{"timeline", "One layer in time", timeline},
                                 Figure{"roofline", "What bounds each step", roofline_chart},
                                 Figure{"overview", "All layers", overview},
                                 Figure{"interconnect", "How the GPUs are joined", interconnect}};

}  // namespace

std::span<const Figure> figures() {
    return kFigures;
}

const Figure& figure_named(std::string_view name) {
    std::vector<std::string> names;
    for (const auto& figure : kFigures) {
        if (figure.name == name) return figure;
        names.emplace_back(figure.name);
    }
    const auto nearest = did_you_mean(name, names);
    throw Error("figure", fmt::format("\"{}\" is not one of {}", name, join(names, ", ")), nearest);
}

DisplayList empty_figure(std::string_view name, std::string_view sentence,
                         const FigureOptions& options, const TextMetrics& metrics) {
    DisplayList list;
    list.name = name;
    list.title = sentence;
    list.description = sentence;
    list.width = options.width;
    double y = 0.5;
    for (const auto& line : wrapped(metrics, sentence, 1, options.width - 1)) {
        add_text(list, metrics, {0.5, y}, line, 1, Anchor::start, {Role::muted});
        y += line_height(1);
    }
    list.height = y + 0.5;
    return list;
}

}  // namespace tplan
