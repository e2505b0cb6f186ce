// What the shard map says in words.
#include <algorithm>
#include <map>

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

std::int64_t extent_of(const FlowWeight& weight) {
    return weight.shape[static_cast<std::size_t>(weight.split.dim)];
}

/// "KV heads x2" where several ranks hold the same part; empty otherwise.
std::string copies_in_words(const FlowWeight& weight) {
    std::map<std::int64_t, int> holders;
    for (int rank = 0; rank < weight.split.parts; ++rank) {
        for (const auto& slice : slices(weight.split, extent_of(weight), rank))
            if (slice.extent > 0) ++holders[slice.offset];
    }
    int copied = 0, most = 1;
    for (const auto& [offset, ranks] : holders) {
        copied += ranks > 1 ? 1 : 0;
        most = std::max(most, ranks);
    }
    if (copied == 0) return {};
    const bool all = copied == static_cast<int>(holders.size());
    return all ? fmt::format("KV heads x{}", most)
               : fmt::format("{} KV heads on {} ranks", copied, most);
}

/// "21 to 22 heads each" where ranks hold more or less of a dimension; empty otherwise.
std::string shares_in_words(const FlowWeight& weight) {
    const auto extent = extent_of(weight);
    auto least = extent, most = std::int64_t{0};
    for (int rank = 0; rank < weight.split.parts; ++rank) {
        const auto own = local_extent(weight.split, extent, rank);
        least = std::min(least, own);
        most = std::max(most, own);
    }
    if (least == most) return {};
    if (weight.unit > 0 && least % weight.unit == 0 && most % weight.unit == 0)
        return fmt::format("{} to {} heads each", least / weight.unit, most / weight.unit);
    return fmt::format("{} to {} each", least, most);
}

}  // namespace

std::vector<std::string> cut_words(const FlowWeight& weight, int tp) {
    const auto& split = weight.split;
    if (split.kind == SplitKind::whole)
        return {tp == 1 ? "whole" : fmt::format("replicated x{}", tp)};
    const auto from_end = static_cast<int>(weight.shape.size()) - split.dim;
    const std::string_view where = weight.shape.size() == 1 ? "split"
                                   : from_end == 1          ? "split in"
                                   : from_end == 2          ? "split out"
                                                            : "split experts";
    std::vector<std::string> words{fmt::format("{} / {}", where, split.parts)};
    if (split.kind == SplitKind::packed) words.emplace_back("each half");
    for (auto& more : {copies_in_words(weight), shares_in_words(weight)}) {
        if (!more.empty()) words.push_back(more);
    }
    return words;
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
    for (std::size_t i = 0; i < pieces.size(); ++i) {
        if (pieces[i].extent == 0) continue;
        const auto from = pieces[i].offset;
        auto end = from + pieces[i].extent;
        for (; i + 1 < pieces.size() && pieces[i + 1].offset == end; ++i)
            end += pieces[i + 1].extent;
        ranges += fmt::format("{}{}..{}", ranges.empty() ? "" : " and ", from, end - 1);
    }
    const auto from_end = weight.shape.size() - dim;
    const std::string_view what = weight.shape.size() == 1 ? "entries"
                                  : from_end == 1          ? "columns (inputs)"
                                  : from_end == 2          ? "rows (outputs)"
                                                           : "experts";
    if (ranges.empty()) {
        text += "\nnothing: there are fewer parts than ranks";
    } else {
        text += fmt::format("\n{} {}", what, ranges);
    }
    return text + fmt::format("\nstyle: {}", weight.style);
}

}  // namespace tplan
