#include "app/shard_text.h"

#include <algorithm>

namespace tplan {
namespace {

constexpr std::int64_t kBarWidth = 48;

/// Rank 10 and up continue with letters, so that a cell stays one character wide.
char rank_mark(int rank) {
    constexpr std::string_view kMarks =
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    return kMarks[static_cast<std::size_t>(rank) % kMarks.size()];
}

/// A cell that several ranks hold shows them in turn.
std::string bar(const Tensor& tensor, const Split& split, int tp) {
    if (split.kind == SplitKind::whole) return std::string(kBarWidth, '/');
    const auto n = tensor.shape[static_cast<std::size_t>(split.dim)];
    std::vector<std::string> owners(kBarWidth);
    for (int rank = 0; rank < tp; ++rank) {
        for (const auto& slice : slices(split, n, rank)) {
            const auto begin = slice.offset * kBarWidth / n;
            const auto end = std::max(begin + 1, (slice.offset + slice.extent) * kBarWidth / n);
            for (auto cell = begin; cell < std::min(end, kBarWidth); ++cell)
                owners[static_cast<std::size_t>(cell)] += rank_mark(rank);
        }
    }
    std::string cells;
    for (std::size_t cell = 0; cell < owners.size(); ++cell) {
        const auto& marks = owners[cell];
        cells += marks.empty() ? '.' : marks[cell % marks.size()];
    }
    return cells;
}

/// Do the ranks together hold more than there is?
bool has_copies(const Split& split, std::int64_t n) {
    std::int64_t held = 0;
    for (int rank = 0; rank < split.parts; ++rank) held += local_extent(split, n, rank);
    return held > n;
}

std::string cut_words(const Tensor& tensor, const Split& split) {
    if (split.kind == SplitKind::whole) return "replicated";
    const auto from_end = static_cast<int>(tensor.shape.size()) - split.dim;
    const std::string where = tensor.shape.size() == 1 ? "split"
                              : from_end == 1          ? "split in"
                              : from_end == 2          ? "split out"
                                                       : "split experts";
    if (split.kind == SplitKind::packed) return where + ", half by half";
    const auto n = tensor.shape[static_cast<std::size_t>(split.dim)];
    return has_copies(split, n) ? where + ", KV heads copied" : where;
}

}  // namespace

std::string shard_map_text(const Model& model, const Plan& plan) {
    std::string text;
    std::vector<bool> shown(model.blocks.size());
    for (const auto& use : model.sequence) {
        const auto at = static_cast<std::size_t>(use.block);
        if (shown[at]) continue;
        shown[at] = true;
        const auto times = std::ranges::count(model.sequence, use.block, &BlockUse::block);
        const auto& block = model.blocks[at];
        const auto title = use.layer < 0 ? (block.input < 0 ? "embedding" : "head") : "layer";
        text +=
            fmt::format("{}{}\n", title, times > 1 ? fmt::format(" x {}", times) : std::string());
        std::vector<std::vector<std::string>> rows{{"parameter", "shape", "ranks", "cut"}};
        for (std::size_t t = 0; t < block.tensors.size(); ++t) {
            const auto& tensor = block.tensors[t];
            if (tensor.buffer && !tensor.scales_of) continue;
            const auto& split = plan.tensors[at][t].split;
            rows.push_back({tensor.name + (tensor.tied ? " (tied to the embedding)" : ""),
                            fmt::format("[{}]", fmt::join(tensor.shape, ", ")),
                            "|" + bar(tensor, split, plan.options.tp) + "|",
                            cut_words(tensor, split)});
        }
        text += format_table(rows) + "\n";
    }
    text +=
        "digits: the rank that holds the part, in turn where several hold a copy; '/': every rank "
        "holds all of it; '.': padding\n";
    return text;
}

}  // namespace tplan
