#pragma once
#include <array>
#include <span>
#include <string_view>

#include "app/figures/display_list.h"
#include "app/study.h"

/// The figures of a study, as one table: the report, the window and the tests walk it.

namespace tplan {

struct FigureOptions {
    double width = 60;        // em there are; a figure that cannot do with them is wider
    double height = 16;       // em wanted, of figures that can stretch
    int layer = 0;            // shown by the figures of one layer; -1 the embedding, -2 the head
    bool activations = true;  // shard map: strips of what flows between the steps
    bool heads = false;       // shard map: lines at head boundaries
    int isolate = -1;         // shard map: show what this rank holds, dim the rest
};

using FigureFunction = DisplayList (*)(const Study&, const FigureOptions&, const TextMetrics&);

struct Figure {
    std::string_view name;   // "shard-map": of the display list, the view and the file
    std::string_view title;  // for a heading
    FigureFunction draw;
};

/// All figures, the most telling first. Each works for every study; one that has nothing to show
/// for a degree that does not work says so in a line of text.
std::span<const Figure> figures();

/// The figure of that name. Throws Error with the nearest.
const Figure& figure_named(std::string_view name);

/// A list with nothing but a sentence: what a figure shows when there is nothing to draw.
DisplayList empty_figure(std::string_view name, std::string_view sentence,
                         const FigureOptions& options, const TextMetrics& metrics);

}  // namespace tplan
