#include "app/report.h"

#include "app/cli/command.h"
#include "app/plan_file.h"
#include "core/files.h"
#include "planner/check.h"

namespace tplan::cli {
namespace {

struct Flags {
    std::string plan, output;
    bool json = false;
};

int run(const Flags& flags) {
    const auto file = read_plan_file(flags.plan);
    const auto plan = read_plan(file.plan, flags.plan);
    const auto text = report_for(study_of(plan, file.validation), flags.output);
    write_file(flags.output, text);
    if (flags.json)
        return print_json(
            ReportWritten{.path = flags.output, .size = Bytes(static_cast<double>(text.size()))});
    return print("written: " + flags.output + "\n");
}

}  // namespace

void add_report(CLI::App& program, Action& action) {
    auto* command = program.add_subcommand(
        "report", "a plan as one self-contained page with figures, or its shard map as a picture");
    command->footer(
        "Example: tplan report plan.json -o report.html\n"
        "         tplan report validated.json -o shards.svg");
    auto flags = std::make_shared<Flags>();
    command->add_option("PLAN", flags->plan, "a plan or validated plan")->required();
    command->add_option("-o,--output", flags->output, "where to write: .html or .svg")->required();
    command->add_flag("--json", flags->json, "one JSON document on stdout");
    command->callback([&action, flags] { action = [flags] { return run(*flags); }; });
}

}  // namespace tplan::cli
