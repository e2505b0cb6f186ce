#include "app/report.h"

#include <array>

#include "app/figures/shard_map.h"
#include "app/figures/svg.h"

namespace tplan {
namespace {

struct ReportFormat {
    std::string_view ending;
    std::string (*write)(const Study&);
};
constexpr std::array kFormats = {ReportFormat{".html", report_html},
                                 ReportFormat{".svg", report_svg}};

}  // namespace

std::string report_svg(const Study& study) {
    return svg_text(shard_maps(study, {}, standard_metrics()), true);
}

std::string report_for(const Study& study, const std::string& path) {
    std::vector<std::string> endings;
    for (const auto& format : kFormats) {
        if (path.ends_with(format.ending)) return format.write(study);
        endings.emplace_back(format.ending);
    }
    throw Error("--output", "\"" + path + "\" has none of the endings " + join(endings, ", "),
                "name a page such as report.html or a picture such as shards.svg");
}

}  // namespace tplan
