#include "app/cli/command.h"
#include "app/validated.h"
#include "app/validated_check.h"

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
            *json ? print_json(report) : print(check_text(report));
            return report.ok ? 0 : answer_no(check_refusal(report));
        };
    });
}

}  // namespace tplan::cli
