#include "app/html_page.h"

#include "app/figures/svg.h"
#include "core/text.h"

namespace tplan {
namespace {

constexpr std::string_view kPageStyle =
    ":root{--back:#fff;--text:#1a1d23;--muted:#59606c;--line:#dde0e6;--panel:#f3f4f7;--good:#"
    "1b7a3d;"
    "--bad:#c0232b}\n"
    "@media (prefers-color-scheme:dark){:root{--back:#1b1e24;--text:#e9ebef;--muted:#a9b0bc;"
    "--line:#363c46;--panel:#24282f;--good:#4cc38a;--bad:#ff7b72}}\n"
    "@media print{:root{--back:#fff;--text:#000;--muted:#444;--line:#bbb;--panel:#fff}"
    "section,figure,tr{break-inside:avoid}main{max-width:none;margin:0;padding:0}h2{break-after:"
    "avoid}}\n"
    "body{background:var(--back);color:var(--text);margin:0;"
    "font:16px/1.45 \"DejaVu Sans\",Verdana,Arial,sans-serif}\n"
    "main{max-width:1040px;margin:0 auto;padding:1rem}\n"
    "h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem}\n"
    ".answer{font-size:1.15rem;font-weight:bold;border-left:.35rem solid var(--text);"
    "padding:.3rem 0 .3rem .8rem}\n"
    ".muted{color:var(--muted)}.good{color:var(--good)}.bad{color:var(--bad)}\n"
    "figure{margin:1rem 0}figcaption{font-weight:bold;margin-bottom:.4rem}\n"
    ".wide{overflow-x:auto}\n"
    "table{border-collapse:collapse;font-size:.82rem}\n"
    "th,td{padding:.2rem .6rem;text-align:left;vertical-align:top;border-bottom:1px solid "
    "var(--line)}\n"
    "th{background:var(--panel)}td.n{text-align:right;white-space:nowrap}\n"
    "code{background:var(--panel);padding:.1rem .3rem;overflow-wrap:anywhere}\n";

}  // namespace

Cell number(std::string text) {
    return {std::move(text), true};
}

Cell word(std::string text) {
    return {std::move(text)};
}

std::string html_table(const std::vector<std::string>& header,
                       const std::vector<std::vector<Cell>>& rows) {
    std::string text = "<div class=\"wide\"><table><thead><tr>";
    for (const auto& name : header) text += "<th scope=\"col\">" + escaped(name) + "</th>";
    text += "</tr></thead><tbody>\n";
    for (const auto& row : rows) {
        text += "<tr>";
        for (const auto& cell : row) {
            auto kind = std::string(cell.kind);
            if (cell.number) kind += kind.empty() ? "n" : " n";
            text += kind.empty() ? "<td>" : "<td class=\"" + kind + "\">";
            text += escaped(cell.text) + "</td>";
        }
        text += "</tr>\n";
    }
    return text + "</tbody></table></div>\n";
}

std::string html_section(std::string_view title, const std::string& content) {
    return fmt::format("<section><h2>{}</h2>\n{}</section>\n", escaped(title), content);
}

std::string html_figure(std::string_view title, DisplayList list, std::string_view name) {
    if (!name.empty()) list.name = name;
    return fmt::format(
        "<figure><figcaption>{}</figcaption>\n<div class=\"wide\">{}</div></figure>\n",
        escaped(title), svg_text(list, false));
}

std::string html_list(const std::vector<std::string>& sentences) {
    if (sentences.empty()) return {};
    std::string text = "<ul>\n";
    for (const auto& sentence : sentences) text += "<li>" + escaped(sentence) + "</li>\n";
    return text + "</ul>\n";
}

std::string html_page(const std::string& title, const std::string& content) {
    return fmt::format(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\n"
        "<meta name=\"viewport\" content=\"width=device-width\"/>\n"
        "<title>{}</title>\n<style>\n{}{}</style></head>\n"
        "<body>{}<main>\n{}</main></body></html>\n",
        escaped(title), kPageStyle, svg_style(), svg_patterns(), content);
}

}  // namespace tplan
