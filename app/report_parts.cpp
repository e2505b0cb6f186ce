#include "app/report_parts.h"

#include "app/figures/figure.h"
#include "app/figures/shard_map.h"
#include "app/html_page.h"

namespace tplan {

std::string page_title(const Study& study) {
    return fmt::format("tplan: {} at TP {} on {}", study.config->source, study.request.plan.tp,
                       study.hardware->name);
}

std::string shard_figures(const Study& study) {
    std::string text;
    FigureOptions options;
    options.width = kPageWidth;
    options.heads = true;
    int part = 0;
    for (const auto& flow : layer_flow(study)) {
        auto list = section_map(study, flow, options, standard_metrics());
        text += html_figure("Who holds what: " + flow.name, std::move(list),
                            fmt::format("shard-map-{}", part++));
    }
    return text;
}

std::string parameters_table(const Study& study) {
    std::vector<std::vector<Cell>> rows;
    const int tp = study.request.plan.tp;
    for (const auto& flow : layer_flow(study)) {
        for (const auto& item : flow.items) {
            for (const auto& weight : item.weights) {
                double bytes = bytes_of(weight.dtype);
                for (const auto extent : weight.shape) bytes *= static_cast<double>(extent);
                double share = 1;
                if (weight.split.kind != SplitKind::whole) {
                    const auto n = weight.shape[static_cast<std::size_t>(weight.split.dim)];
                    share = static_cast<double>(largest_extent(weight.split, n)) /
                            static_cast<double>(n);
                }
                rows.push_back({word(flow.name), word(weight.full_name),
                                word(fmt::format("{}", fmt::join(weight.shape, " x "))),
                                word(std::string(name_of(weight.dtype))), word(weight.style),
                                word(join(cut_words(weight, tp), ", ")),
                                number(format_bytes(Bytes(bytes * share)))});
            }
        }
    }
    return html_table(
        {"section", "parameter", "shape", "dtype", "style", "cut", "on the fullest rank"}, rows);
}

std::string sources_table(const HardwareProfile& hardware) {
    std::vector<std::vector<Cell>> rows;
    for (const auto& [key, source] : hardware.sources) {
        const bool assumed = source.kind == SourceKind::assumed;
        rows.push_back({word(key),
                        {std::string(name_of(source.kind)), false,
                         assumed ? std::string_view("bad") : std::string_view()},
                        word(source.ref),
                        word(source.date)});
    }
    return html_table({"figure", "kind", "source", "date"}, rows);
}

}  // namespace tplan
