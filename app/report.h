#pragma once
#include <string>
#include <vector>

#include "app/study.h"

/// A plan as something to look at: one self-contained page, or the shard map alone.

namespace tplan {

/// `tplan.report/1`: the page itself is the answer, this says where it is.
struct ReportWritten {
    std::string schema = "tplan.report/1";
    std::string path;
    Bytes size;
    static void fields(auto& self, auto&& field) {
        field("schema", self.schema);
        field("path", self.path);
        field("size_bytes", self.size);
    }
};

/// The document for an output file, by its ending (.html, .svg). Throws Error naming the endings
/// there are.
std::string report_for(const Study& study, const std::string& path);

/// The page: the answer, the figures as inline SVG, tables of every number with its formula and
/// source, and, of a validated plan, the measurement beside the prediction. Refers to nothing
/// outside itself and has no script.
std::string report_html(const Study& study);

/// The shard map of all kinds of layers.
std::string report_svg(const Study& study);

}  // namespace tplan
