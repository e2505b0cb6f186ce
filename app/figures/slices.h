#pragma once
#include <functional>

#include "app/figures/display_list.h"
#include "models/layout.h"

namespace tplan {

/// What is cut, for draw_slices().
struct SlicedBox {
    Box box;
    Split split;
    std::int64_t extent = 0;  // of the dimension that is cut
    bool bands = true;        // cut into horizontal bands (outputs); else into columns (inputs)
    std::string id;           // slices become "<id>/r:<rank>"
    std::function<std::string(int rank)> title;
    bool digits = true;
    int isolate = -1;  // others are dimmed to a quarter
};

/// The parts of a box by owner: a rect per rank and piece that together cover it exactly, with the
/// rank's digit where it fits. Ranks that hold the same part share it side by side. A short or
/// empty tail of an uneven cut is drawn beyond the box, dotted, as the room that its rank leaves
/// idle.
void draw_slices(DisplayList& list, const TextMetrics& metrics, const SlicedBox& what);

/// A box that every rank holds whole: grey and hatched, id "<id>/all".
void draw_replicated(DisplayList& list, const Box& box, const std::string& id,
                     const std::string& title);

/// Length of the dotted tail that draw_slices() adds beyond a box of that length.
double idle_tail(const Split& split, std::int64_t extent, double length);

}  // namespace tplan
