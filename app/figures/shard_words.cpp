// What the shard map says in words.
#include <algorithm>

#include "app/figures/shard_map.h"

namespace tplan {
namespace {

std::string shape_text(const std::vector<std::int64_t>& shape) {
    return fmt::format("{}", fmt::join(shape, " x "));
}

double elements(const std::vector<std::int64_t>& shape) {
    double n = 1;
    for (const auto extent : shape) n *= static_cast<double>(extent);
    return n;
}

/// How often each group stands when there are more ranks than groups; 1 otherwise.
std::int64_t copies(const FlowWeight& weight) {
    const auto& split = weight.split;
    if (split.kind != SplitKind::grouped || split.unit < 1) return 1;
    const auto groups = weight.shape[static_cast<std::size_t>(split.dim)] / split.unit;
    return groups > 0 && split.parts > groups ? split.parts / groups : 1;
}

}  // namespace

std::string cut_words(const FlowWeight& weight, int tp) {
    const auto& split = weight.split;
    if (split.kind == SplitKind::whole)
        return tp == 1 ? "whole" : fmt::format("replicated x{}", tp);
    const auto from_end = static_cast<int>(weight.shape.size()) - split.dim;
    const std::string_view where = weight.shape.size() == 1 ? "split"
                                   : from_end == 1          ? "split in"
                                   : from_end == 2          ? "split out"
                                                            : "split experts";
    auto text = fmt::format("{} / {}", where, split.parts);
    if (split.kind == SplitKind::packed) text += ", each half";
    if (const auto times = copies(weight); times > 1) text += fmt::format(", KV heads x{}", times);
    return text;
}

std::string slice_title(const FlowWeight& weight, int rank, int tp) {
    const double bytes = bytes_of(weight.dtype);
    auto text =
        fmt::format("{}\nwhole: {} {}, {}\n", weight.full_name, shape_text(weight.shape),
                    name_of(weight.dtype), format_bytes(Bytes(elements(weight.shape) * bytes)));
    const auto& split = weight.split;
    if (split.kind == SplitKind::whole) {
        return text + (tp == 1 ? "one rank holds all of it"
                               : fmt::format("each of the {} ranks holds all of it", tp));
    }
    const auto dim = static_cast<std::size_t>(split.dim);
    const auto pieces = slices(split, weight.shape[dim], rank);
    auto local = weight.shape;
    local[dim] = local_extent(split, weight.shape[dim], rank);
    text += fmt::format("rank {}: {}, {}", rank, shape_text(local),
                        format_bytes(Bytes(elements(local) * bytes)));
    std::string ranges;
    for (const auto& piece : pieces) {
        if (piece.extent == 0) continue;
        ranges += fmt::format("{}{}..{}", ranges.empty() ? "" : " and ", piece.offset,
                              piece.offset + piece.extent - 1);
    }
    const auto from_end = weight.shape.size() - dim;
    const std::string_view what = weight.shape.size() == 1 ? "entries"
                                  : from_end == 1          ? "columns (inputs)"
                                  : from_end == 2          ? "rows (outputs)"
                                                           : "experts";
    if (!ranges.empty()) text += fmt::format("\n{} {}", what, ranges);
    return text + fmt::format("\nstyle: {}", weight.style);
}

}  // namespace tplan
