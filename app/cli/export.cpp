#include "app/export/export.h"
#include "app/cli/command.h"
#include "core/files.h"

namespace tplan::cli {
namespace {

struct Flags {
    std::string plan, target, output;
    bool json = false;
};

int run(const Flags& flags) {
    const auto document = export_file(flags.plan, parse_enum<ExportTarget>(flags.target, "--to"));
    if (!document.refusal.empty()) {
        if (flags.json) print_json(document);
        return answer_no(fmt::format("{}: {} cannot express this plan: {}", flags.plan,
                                     flags.target, document.refusal));
    }
    if (!flags.output.empty()) write_file(flags.output, export_text(document, flags.output));
    if (flags.json) return print_json(document);
    if (!flags.output.empty()) return print("written: " + flags.output + "\n");
    return print(document.text);
}

}  // namespace

void add_export(CLI::App& program, Action& action) {
    auto* command = program.add_subcommand("export", "a plan as other tools take it");
    command->footer("Example: tplan export plan.json --to hf -o tp_plan.json");
    auto flags = std::make_shared<Flags>();
    command->add_option("PLAN", flags->plan, "a plan or validated plan")->required();
    command->add_option("--to", flags->target, "hf, accelerate, vllm, trtllm or megatron")
        ->required();
    command->add_option("-o,--output", flags->output,
                        "where to write it; hf: x.json gets the tp_plan alone");
    command->add_flag("--json", flags->json, "one JSON document on stdout");
    command->callback([&action, flags] { action = [flags] { return run(*flags); }; });
}

}  // namespace tplan::cli
