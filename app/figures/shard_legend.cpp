#include "app/figures/shard_legend.h"

#include <algorithm>

namespace tplan {
namespace {

constexpr double kText = 0.8, kChip = 1.3, kLine = 1.5;
constexpr double kSlack = 1.1;  // a reader's font may be wider than the one measured

struct Legend {
    DisplayList& list;
    const TextMetrics& metrics;
    double width, x, y;

    /// A new line unless so much still fits.
    void need(double room) {
        if (x <= 0.1 || x + room <= width) return;
        x = 0.1;
        y += kLine;
    }
    void chip(const std::string& label, Ink fill, Pattern pattern, Ink ink) {
        const double own = std::max(kChip, text_width(metrics, label, kText) + 0.5);
        need(own);
        auto& rect = add_rect(list, {x, y, own, 1.25}, fill, {Role::outline});
        rect.pattern = pattern;
        rect.stroke_width = 0.05;
        if (!label.empty())
            add_text(list, metrics, {x + own / 2, y + 0.19}, label, kText, Anchor::middle, ink);
        x += own;
    }
    void word(const std::string& text) {
        need(0.3 + kSlack * text_width(metrics, text, kText));
        x += 0.3;
        add_text(list, metrics, {x, y + 0.19}, text, kText, Anchor::start, {Role::muted});
        x += text_width(metrics, text, kText) + 0.9;
    }
    void entry(const std::vector<std::pair<Ink, Pattern>>& chips, const std::string& text) {
        need(kChip * static_cast<double>(chips.size()) + 0.3 + text_width(metrics, text, kText));
        for (const auto& [fill, pattern] : chips) chip("", fill, pattern, {});
        word(text);
    }
};

}  // namespace

double draw_shard_legend(DisplayList& list, const TextMetrics& metrics, const FlowSection& section,
                         int tp, double width, double top) {
    Legend legend{list, metrics, width, 0.1, top};
    legend.word("rank");
    legend.x -= 0.6;
    for (int rank = 0; rank < tp; ++rank) {
        legend.chip(std::to_string(rank), rank_ink(rank),
                    (rank / 8) % 2 == 1 ? Pattern::dots : Pattern::none, {Role::on_rank, rank});
        legend.x += 0.12;
    }
    legend.x += 0.8;
    const auto occurs = [&](FlowLayout layout) {
        return std::ranges::count(section.items, layout, &FlowItem::out) > 0;
    };
    legend.entry({{{Role::replicated}, Pattern::hatch}}, "whole on every rank");
    if (occurs(FlowLayout::partial))
        legend.entry({{{Role::replicated}, Pattern::cross}}, "partial sums");
    if (occurs(FlowLayout::tokens)) {
        legend.entry({{rank_ink(0), Pattern::none}, {rank_ink(1), Pattern::none}},
                     "side by side in a strip: each rank its own tokens");
    }
    legend.word("rows are outputs, columns inputs, as in the checkpoint");
    return legend.y - top + 2;
}

}  // namespace tplan
