#include "app/figures/slices.h"

#include <algorithm>
#include <map>

namespace tplan {
namespace {

constexpr double kOutlineFrom = 0.3;  // thinner slices have no outline: it would be all there is
constexpr double kDigitSize = 0.72, kSmallestDigit = 0.55;

struct Part {
    int rank = 0, piece = 0;
    Slice slice;
};

/// What every rank holds, pieces that touch as one; a piece that several ranks hold stays alone.
std::vector<Part> parts_of(const Split& split, std::int64_t extent,
                           std::map<std::int64_t, int>& sharers) {
    for (int rank = 0; rank < split.parts; ++rank) {
        for (const auto& slice : slices(split, extent, rank))
            if (slice.extent > 0) ++sharers[slice.offset];
    }
    std::vector<Part> parts;
    for (int rank = 0; rank < split.parts; ++rank) {
        int piece = 0;
        for (const auto& slice : slices(split, extent, rank)) {
            if (slice.extent == 0) continue;
            if (piece > 0 && sharers[slice.offset] == 1) {
                auto& last = parts.back().slice;
                if (last.offset + last.extent == slice.offset && sharers[last.offset] == 1) {
                    last.extent += slice.extent;
                    continue;
                }
            }
            parts.push_back({rank, piece++, slice});
        }
    }
    return parts;
}

}  // namespace

double idle_tail(const Split& split, std::int64_t extent, double length) {
    if (split.kind == SplitKind::whole || split.kind == SplitKind::packed || extent == 0) return 0;
    if (split.shares) return 0;  // other devices have other room
    // Their ranks hold copies: what they hold together is more than there is.
    if (split.kind == SplitKind::covering || split.kind == SplitKind::qkv) return 0;
    if (split.kind == SplitKind::grouped && extent / split.unit < split.parts) return 0;
    const auto room = largest_extent(split, extent) * split.parts;
    // Half the box at most: eight ranks for one row would otherwise dwarf it.
    return std::min(0.5, static_cast<double>(room - extent) / static_cast<double>(extent)) * length;
}

void draw_slices(DisplayList& list, const TextMetrics& metrics, const SlicedBox& what) {
    const auto& box = what.box;
    const double length = what.bands ? box.height : box.width;
    const double across = what.bands ? box.width : box.height;
    const double scale = length / static_cast<double>(what.extent);
    std::map<std::int64_t, int> sharers, seen;
    const auto parts = parts_of(what.split, what.extent, sharers);
    for (const auto& part : parts) {
        const int share = sharers[part.slice.offset], place = seen[part.slice.offset]++;
        const double from = static_cast<double>(part.slice.offset) * scale;
        const double size = static_cast<double>(part.slice.extent) * scale;
        const double side = across / share, shift = side * place;
        const Box slice = what.bands ? Box{box.x + shift, box.y + from, side, size}
                                     : Box{box.x + from, box.y + shift, size, side};
        const bool dim = what.isolate >= 0 && part.rank != what.isolate;
        auto fill = rank_ink(part.rank);
        fill.opacity = dim ? 0.25 : 1;
        auto& rect = add_rect(list, slice, fill,
                              std::min(size, side) >= kOutlineFrom ? Ink{Role::outline} : Ink{});
        rect.stroke_width = 0.05;
        rect.id = what.id + "/r:" + std::to_string(part.rank) +
                  (part.piece > 0 ? "." + std::to_string(part.piece) : "");
        if (what.title) rect.title = what.title(part.rank);
        if ((part.rank / 8) % 2 == 1) rect.pattern = Pattern::dots;  // hues repeat from 8 on
        const auto digit = std::to_string(part.rank);
        const double fits =
            std::min(slice.height * 0.82, (slice.width - 0.15) / text_width(metrics, digit, 1));
        const double written = std::min(kDigitSize, fits);
        if (what.digits && !dim && written >= kSmallestDigit) {
            const auto centre = slice.centre();
            add_text(list, metrics, {centre.x, centre.y - line_height(written) / 2}, digit, written,
                     Anchor::middle, {Role::on_rank, part.rank});
        }
    }
    if (const double tail = idle_tail(what.split, what.extent, length); tail > 0) {
        auto& idle = add_rect(list,
                              what.bands ? Box{box.x, box.bottom(), box.width, tail}
                                         : Box{box.right(), box.y, tail, box.height},
                              {Role::idle}, tail >= kOutlineFrom ? Ink{Role::outline} : Ink{});
        idle.pattern = Pattern::dots;
        idle.dashed = true;
        idle.id = what.id + "/idle";
        idle.title =
            "the cut is uneven: some ranks hold less than the first, which the group waits for; "
            "this "
            "is the room that they leave";
    }
}

void draw_replicated(DisplayList& list, const Box& box, const std::string& id,
                     const std::string& title) {
    auto& rect = add_rect(list, box, {Role::replicated}, {Role::outline});
    rect.id = id + "/all";
    rect.title = title;
    rect.pattern = Pattern::hatch;
    rect.stroke_width = 0.05;
}

}  // namespace tplan
