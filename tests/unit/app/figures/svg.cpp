#include "app/figures/svg.h"

#include <algorithm>

#include "app/figures/figure.h"
#include "app/report.h"
#include "tests/support/catch.h"
#include "tests/unit/app/studies.h"

using namespace tplan;
using namespace tplan::test;

namespace {

std::size_t count(const std::string& text, std::string_view what) {
    std::size_t times = 0;
    for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++times;
    return times;
}

/// Whether every tag is closed in order, attributes are quoted and no bare & or < stands in text.
std::string xml_fault(const std::string& text) {
    std::vector<std::string> open;
    for (std::size_t at = 0; at < text.size();) {
        if (text[at] == '&') {
            const auto end = text.find(';', at);
            if (end == std::string::npos || end - at > 8) return "bare &";
            at = end + 1;
            continue;
        }
        if (text[at] != '<') {
            ++at;
            continue;
        }
        auto end = at + 1;
        for (bool quoted = false; end < text.size() && (quoted || text[end] != '>'); ++end) {
            if (text[end] == '"') quoted = !quoted;
            if (text[end] == '<' && quoted) return "< in an attribute";
        }
        if (end == text.size()) return "unfinished tag";
        const auto tag = text.substr(at + 1, end - at - 1);
        at = end + 1;
        if (tag.starts_with("!")) continue;
        const auto name =
            tag.substr(tag.starts_with("/"), tag.find_first_of(" />", 1) - tag.starts_with("/"));
        if (tag.starts_with("/")) {
            if (open.empty() || open.back() != name)
                return "</" + name + "> does not close " +
                       (open.empty() ? "anything" : open.back());
            open.pop_back();
        } else if (!tag.ends_with("/")) {
            open.push_back(name);
        }
    }
    return open.empty() ? "" : "<" + open.back() + "> is never closed";
}

}  // namespace

TEST_CASE("svg: rectangles, ids and texts are those of the list") {
    const auto study = study_for("llama-3.1-8b", "h100-sxm", 4);
    for (const auto& figure : figures()) {
        INFO(figure.name);
        const auto list = figure.draw(study, {}, standard_metrics());
        const auto svg = svg_text(list, true);
        CHECK(xml_fault(svg).empty());
        const auto of = [&](ShapeKind kind) {
            return static_cast<std::size_t>(std::ranges::count(list.shapes, kind, &Shape::kind));
        };
        CHECK(count(svg, "<rect ") == of(ShapeKind::rect));
        CHECK(count(svg, "<text ") == of(ShapeKind::text));
        for (const auto& shape : list.shapes) {
            if (shape.id.empty()) continue;
            CHECK(count(svg, fmt::format(" id=\"{}:{}\"", list.name, escaped(shape.id))) == 1);
        }
    }
}

TEST_CASE("svg: text from outside is escaped") {
    DisplayList list;
    list.name = "x";
    list.title = "a < b & \"c\"";
    list.width = list.height = 2;
    add_text(list, standard_metrics(), {0, 0}, "<script>&\x01");
    const auto svg = svg_text(list, false);
    CHECK(xml_fault(svg).empty());
    CHECK_THAT(svg, Catch::Contains("&lt;script&gt;&amp;<"));
    CHECK_THAT(svg, Catch::Contains("a &lt; b &amp; &quot;c&quot;"));
}

TEST_CASE("report: the page is well formed and refers to nothing outside") {
    for (const auto& [model, tp] : {std::pair{"llama-3.1-8b", 4}, std::pair{"llama-3.1-8b", 3},
                                    std::pair{"deepseek-v3", 8}}) {
        INFO(model << " at TP " << tp);
        const auto page = report_html(study_for(model, "h100-sxm", tp));
        auto body = page;  // <meta> and <!DOCTYPE> are written as XML would have them
        CHECK(xml_fault(body) == "");
        for (const auto* outside : {"http://", "https://", "src=", "<script", "<link", "@import"}) {
            auto rest = page;
            // The namespace of SVG is a name, not a reference.
            for (auto at = rest.find("http://www.w3.org/2000/svg"); at != std::string::npos;
                 at = rest.find("http://www.w3.org/2000/svg")) {
                rest.erase(at, 26);
            }
            // Sources of figures are text, not links.
            for (auto at = rest.find("<td>"); at != std::string::npos; at = rest.find("<td>", at)) {
                rest.erase(at, rest.find("</td>", at) - at);
            }
            CHECK(count(rest, outside) == 0);
        }
    }
}

TEST_CASE("report: the ending decides the format, others are refused") {
    const auto study = study_for("qwen3-0.6b", "l40s", 2);
    CHECK(report_for(study, "x.svg").starts_with("<svg"));
    CHECK(report_for(study, "x.html").starts_with("<!DOCTYPE html>"));
    CHECK_THROWS_WITH(report_for(study, "x.pdf"), Catch::Contains(".html"));
}
