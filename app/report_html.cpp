// The page of a plan: answer first, then figures, then every number with its source.
#include <algorithm>
#include <span>

#include "app/estimate_text.h"
#include "app/explain.h"
#include "app/figures/figure.h"
#include "app/figures/svg.h"
#include "app/html_page.h"
#include "app/report.h"
#include "app/report_parts.h"

namespace tplan {
namespace {

std::string head(const Study& study) {
    const auto& work = study.request.workload;
    const bool decode = work.phase == Phase::decode;
    const auto& hardware = escaped(study.hardware->name);
    auto text = fmt::format(
        "<h1>{} over {}</h1>\n", escaped(study.config->source),
        study.kinds ? hardware : fmt::format("{} x {}", study.request.plan.tp, hardware));
    text += fmt::format(
        "<p class=\"muted\">{}, batch {}, {} {}, {}, KV cache {}, over {}, layout "
        "{}, kernels {}, sampling {}</p>\n",
        name_of(work.phase), work.batch, decode ? "context" : "input", work.cached_tokens(),
        name_of(work.dtype), name_of(work.kv_dtype), study.request.cost.link,
        name_of(study.request.plan.layout), name_of(study.request.plan.kernels),
        name_of(study.request.plan.sampling));
    text += "<p class=\"answer\">" + escaped(study.answer) + "</p>\n";
    for (std::size_t i = 1; i < study.curves.size(); ++i) {
        text += "<p>" + escaped(answer_sentence(study.curves[i], work, *study.hardware)) + "</p>\n";
    }
    return text;
}

std::string problems(const Study& study) {
    const auto& feasibility = study.lowered->feasibility;
    std::string items;
    for (const auto& violation : feasibility.violations) {
        items += fmt::format("<li class=\"bad\">{}: {}</li>\n", escaped(violation.code),
                             escaped(violation.message));
    }
    if (study.totals && !study.totals->memory.fits) {
        const auto& memory = study.totals->memory;
        items += fmt::format(
            "<li class=\"bad\">does_not_fit: each GPU needs {} of the {} it may "
            "use</li>\n",
            format_bytes(memory.total), format_bytes(memory.capacity));
    }
    for (const auto& note : feasibility.notes) items += "<li>" + escaped(note) + "</li>\n";
    for (const auto& note : study.compiled.notes) items += "<li>" + escaped(note) + "</li>\n";
    for (const auto& note : study.model->notes) items += "<li>" + escaped(note) + "</li>\n";
    return items.empty() ? "" : html_section("Problems and notes", "<ul>\n" + items + "</ul>\n");
}

/// What the plan file says about its degree: what would change the answer, what would settle it.
std::string decision(const DegreeDecision& decided) {
    auto text = "<p>" + escaped(decided.sentence) + "</p>\n";
    for (const auto* more : {&decided.two_gpus, &decided.measurement}) {
        if (!more->empty()) text += "<p>" + escaped(*more) + "</p>\n";
    }
    std::vector<std::vector<Cell>> rows;
    for (const auto& flip : decided.flips)
        rows.push_back({word(flip.what), number(flip.from), number(flip.to),
                        number(fmt::format("TP {}", flip.tp))});
    if (!rows.empty())
        text += html_table({"another degree is best from", "now", "then", "best then"}, rows);
    rows.clear();
    for (const auto& point : decided.pareto) {
        const auto& usd = point.usd_per_million_tokens.value;
        rows.push_back({number(std::to_string(point.tp)), number(std::to_string(point.replicas)),
                        number(std::to_string(point.batch)),
                        number(fmt::format("{:.1f}", point.tokens_per_s_per_user)),
                        number(fmt::format("{:.1f}", point.tokens_per_s_per_gpu)),
                        number(usd ? fmt::format("{:.3f}", *usd) : "-")});
    }
    if (!rows.empty())
        text +=
            "<p>What one user sees against what a GPU gives; no other point has more of both:"
            "</p>\n" +
            html_table({"TP", "replicas", "batch", "tokens/s per user", "tokens/s per GPU",
                        "$ per million tokens"},
                       rows);
    return html_section("Why this degree", text);
}

std::string kinds(const Study& study) {
    if (!study.kinds) return {};
    const auto table = rows_of_kinds(*study.kinds, study.request.plan.shares);
    std::vector<std::vector<Cell>> rows;
    for (const auto& line : std::span(table).subspan(1)) {
        rows.push_back({word(line.front())});
        for (const auto& cell : std::span(line).subspan(1)) rows.back().push_back(number(cell));
    }
    return html_section("Both kinds of device", html_table(table.front(), rows));
}

std::string layout(const Study& study) {
    std::string items;
    for (const auto& line : explain_layout(study)) items += "<li>" + escaped(line) + "</li>\n";
    if (study.hf) {
        for (const auto& line : study.hf->differences) items += "<li>" + escaped(line) + "</li>\n";
    }
    return items.empty() ? "" : html_section("Layout", "<ul>\n" + items + "</ul>\n");
}

std::string degrees_table(const Study& study) {
    std::vector<std::vector<Cell>> rows;
    for (const auto& curve : study.curves) {
        for (const auto& point : curve.points) {
            if (!point.feasible) {
                rows.push_back({word(curve.link),
                                number(std::to_string(point.tp)),
                                {"does not work", false, "bad"},
                                word(""),
                                word(""),
                                word(""),
                                word(point.reason)});
                continue;
            }
            const auto& totals = point.totals;
            const bool best =
                curve.best >= 0 && &point == &curve.points[static_cast<std::size_t>(curve.best)];
            rows.push_back({word(curve.link), number(std::to_string(point.tp)),
                            number(format_time(totals.step)),
                            number(fmt::format("{} to {}", format_time(totals.interval_90[0]),
                                               format_time(totals.interval_90[1]))),
                            number(format_percent(totals.collective / totals.step)),
                            number(format_bytes(totals.memory.total)),
                            best                 ? Cell{"best", false, "good"}
                            : totals.memory.fits ? word("")
                                                 : Cell{"does not fit", false, "bad"}});
        }
    }
    return html_table({"link", "TP", "step", "90 % interval", "collectives", "memory per GPU", ""},
                      rows);
}

std::string steps_table(const Study& study) {
    std::vector<std::vector<Cell>> rows;
    const auto& program = *study.lowered->program;
    for (std::size_t s = 0; s < program.sections.size(); ++s) {
        for (std::size_t i = 0; i < program.sections[s].steps.size(); ++i) {
            const auto& step = program.sections[s].steps[i];
            const auto& priced = study.steps[s][i];
            const auto& cost = priced.cost;
            const auto how = study.kinds
                                 ? std::vector<std::string>{"the longer of both kinds' times"}
                                 : explain_step(study, static_cast<int>(s), static_cast<int>(i));
            rows.push_back({word(program.sections[s].name), word(step.name),
                            number(fmt::format("{:g}", priced.repeats)),
                            number(format_time(cost.time)),
                            number(format_percent(cost.time * priced.repeats / study.totals->step)),
                            word(std::string(name_of(cost.bound))), word(join(how, "; "))});
        }
    }
    return html_table({"section", "step", "times", "each", "of the step", "bound by", "how"}, rows);
}

std::string figures_of(const Study& study) {
    auto text = shard_figures(study);
    FigureOptions options;
    options.width = kPageWidth;
    options.heads = true;
    for (const auto& row : figures()) {
        if (row.name == "shard-map") continue;
        text += html_figure(row.title, row.draw(study, options, standard_metrics()));
    }
    return text;
}

}  // namespace

std::string report_html(const Study& study) {
    if (study.training) return training_page(study);
    auto text = head(study);
    if (study.totals) {
        std::vector<std::vector<Cell>> rows;
        for (const auto& line : explain_totals(study))
            rows.push_back({word(line.name), number(line.value), word(line.how)});
        text += html_section("The step", html_table({"", "", "how"}, rows));
    }
    if (study.validation) text += measured_section(study);
    text += problems(study);
    if (study.decision) text += decision(*study.decision);
    text += kinds(study);
    text += html_section("Figures", figures_of(study));
    text += layout(study);
    text += html_section("All degrees", degrees_table(study));
    if (study.totals) {
        text += html_section("Every step", steps_table(study));
        std::vector<std::vector<Cell>> rows;
        for (const auto& line : explain_memory(study))
            rows.push_back({word(line.name), number(format_bytes(line.bytes)), word(line.how)});
        text += html_section("Memory of the fullest GPU", html_table({"", "bytes", "how"}, rows));
    }
    text += html_section("Parameters", parameters_table(study));
    text +=
        html_section("Where the figures of the hardware come from", sources_table(*study.hardware));
    text += html_section("The same on the command line",
                         fmt::format("<p><code>{}</code></p>\n<p><code>{}</code></p>\n",
                                     escaped(command_line(study, "estimate")),
                                     escaped(command_line(study, "sweep"))));
    text +=
        "<p class=\"muted\">Times are of an isolated step: queueing and mixed steps are not "
        "modelled.</p>\n";
    return html_page(page_title(study), text);
}

}  // namespace tplan
