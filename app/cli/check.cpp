#include "app/cli/command.h"
#include "app/validated.h"

namespace tplan::cli {

void add_check(CLI::App& program, Action& action) {
    auto* command =
        program.add_subcommand("check", "recompute a plan from its own configuration and profile");
    command->footer("Example: tplan check plan.json");
    auto path = std::make_shared<std::string>();
    auto json = std::make_shared<bool>(false);
    command->add_option("PLAN", *path, "a plan or validated plan")->required();
    command->add_flag("--json", *json, "one JSON document on stdout");
    command->callback([&action, path, json] {
        action = [path, json] {
            const auto report = check_file(*path);
            if (*json) print_json(report);
            if (report.ok)
                return *json ? 0
                             : print(fmt::format("{}: everything recomputes to the same\n", *path));
            std::string text;
            for (const auto& difference : report.differences) {
                text += fmt::format("{}: found {}, expected {}\n", difference.path,
                                    difference.found, difference.expected);
            }
            if (!*json) print(text);
            const auto& first = report.differences.front();
            return answer_no(fmt::format(
                "{}: {} values differ, the first at {}: found {}, expected {}; make the plan again "
                "with `tplan plan`",
                *path, report.differences.size(), first.path, first.found, first.expected));
        };
    });
}

}  // namespace tplan::cli
