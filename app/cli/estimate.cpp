#include "app/cli/command.h"
#include "app/estimate_text.h"

namespace tplan::cli {
namespace {

int run(const QueryFlags& flags, bool json) {
    require_degree(flags);
    const auto resolved = resolve(make_query(flags));
    const auto result = estimate(resolved);
    if (!result.estimate)
        return answer_no(refuse(resolved.config, resolved.request, result.feasibility), json);
    return json ? print_json(*result.estimate) : print(estimate_text(*result.estimate));
}

}  // namespace

void add_estimate(CLI::App& program, Action& action) {
    auto* command = program.add_subcommand(
        "estimate", "time per step, layer and op; memory per GPU; intervals");
    command->footer(
        "Example: tplan estimate llama-3.1-70b --hw h100-sxm --tp 8 --batch 16 --context 4096");
    auto flags = std::make_shared<QueryFlags>();
    auto json = std::make_shared<bool>(false);
    command->add_option("MODEL", flags->model, "preset, config.json or directory")->required();
    command
        ->add_option("--hw", flags->hardware,
                     "hardware profile, file, or this; or two kinds of GPU, l40s:2+rtx-4090:2")
        ->required();
    command->add_option("--tp", flags->tp, "TP degree; --mesh may give it in training");
    add_workload_flags(*command, *flags);
    command->add_flag("--json", *json, "one JSON document on stdout");
    command->callback(
        [&action, flags, json] { action = [flags, json] { return run(*flags, *json); }; });
}

}  // namespace tplan::cli
