#pragma once
#include <string>
#include <vector>

#include "app/plan_file.h"

/// The checker of plan files, for `tplan check` and before a run.

namespace tplan {

/// `tplan.check/1`.
struct CheckReport {
    std::string schema = "tplan.check/1";
    std::string file;
    bool ok = true;
    std::vector<Difference> differences;
    static void fields(auto& self, auto&& field) {
        field("schema", self.schema);
        field("file", self.file);
        field("ok", self.ok);
        field("differences", self.differences);
    }
};

/// Recomputes a plan file: the plan from its configuration and profile; of a validated plan also
/// every statistic, error and the verdict from its own samples.
CheckReport check_file(const std::string& path);

/// The same of a document taken apart; `where` names it in messages. Throws Error for a document
/// with a missing key or a wrong type; a number that cannot be one there is a difference.
CheckReport check_plan_file(const PlanFile& file, const std::string& where);

/// The differences, one a line, or that there are none; for a terminal.
std::string check_text(const CheckReport& report);

/// One line on the first difference and what to do. Requires a report that is not ok.
std::string check_refusal(const CheckReport& report);

}  // namespace tplan
