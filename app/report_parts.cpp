#include "app/report_parts.h"

#include "app/figures/figure.h"
#include "app/figures/shard_map.h"
#include "app/figures/svg.h"
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

std::string measured_section(const Study& study) {
    const auto& validation = *study.validation;
    const auto& run = validation.measured;
    const auto& comparison = validation.comparison;
    const bool good = validation.verdict == RunVerdict::validated;
    auto text = fmt::format(
        "<p class=\"{}\"><b>{}</b>: {} ranks on {}, {} layers, {} repetitions, "
        "{} clean</p>\n",
        good ? "good" : "bad", name_of(validation.verdict), run.ranks, escaped(run.backend),
        run.layers, run.samples, format_percent(run.clean_fraction));
    text += html_table(
        {"", "time", "note"},
        {{word("predicted"), number(format_time(comparison.predicted_step)),
          word(fmt::format("{} to {} in nine of ten cases", format_time(comparison.interval_90[0]),
                           format_time(comparison.interval_90[1])))},
         {word("measured"), number(format_time(run.step.median)),
          word(
              fmt::format("p10 {}, p90 {}", format_time(run.step.p10), format_time(run.step.p90)))},
         {word("error"), number(format_percent(comparison.step_error)),
          word(fmt::format("{} with the machine's drift of {:.3f} taken out",
                           format_percent(comparison.step_error_recalibrated), comparison.drift))},
         {word("speedup over one rank"), number(fmt::format("{:.2f}x", run.speedup_vs_tp1)),
          word("measured")}});
    if (!comparison.across_machines.empty()) {
        text += fmt::format("<p class=\"bad\">{}</p>\n",
                            escaped(across_machines_line(comparison.across_machines)));
    }
    std::vector<std::vector<Cell>> rows;
    for (const auto& op : compared_sums(validation)) {
        rows.push_back(
            {word(op.name), number(std::to_string(op.times)), number(format_time(op.predicted)),
             number(format_time(op.measured)),
             number(op.measured > Seconds{} ? format_percent(error_of(op.predicted, op.measured))
                                            : "-")});
    }
    text += "<p></p>" + html_table({"step", "times", "predicted", "measured", "error"}, rows);
    for (const auto& check : validation.numerics.reference) {
        text += fmt::format("<p class=\"{}\">numerics: {}</p>\n", check.pass ? "good" : "bad",
                            escaped(numerics_sentence(check)));
    }
    return html_section("Predicted and measured", text);
}

}  // namespace tplan
