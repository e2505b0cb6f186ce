#include "app/show.h"

#include "app/cli/command.h"

namespace tplan::cli {
namespace {

struct Flags {
    std::string what, tp, layout = "best";
    bool json = false;
};

int run(const Flags& flags) {
    std::optional<int> tp;
    if (!flags.tp.empty()) {
        const auto degrees = parse_degrees(flags.tp, "--tp");
        if (degrees.size() != 1) throw Error("--tp", "one degree was expected");
        tp = degrees.front();
    }
    const auto result = show(flags.what, tp, parse_enum<LayoutChoice>(flags.layout, "--layout"));
    if (!result.document) return answer_no(*result.refusal, flags.json);
    return flags.json ? print_json(*result.document) : print(result.text);
}

}  // namespace

void add_show(CLI::App& program, Action& action) {
    auto* command = program.add_subcommand("show", "the shard map as text");
    command->footer("Example: tplan show qwen3-0.6b --tp 4\n         tplan show plan.json");
    auto flags = std::make_shared<Flags>();
    command->add_option("PLAN", flags->what, "a plan file, or a MODEL together with --tp")
        ->required();
    command->add_option("--tp", flags->tp, "TP degree, with a model");
    command
        ->add_option("--layout", flags->layout,
                     "with a model: hf, as transformers splits it, or best, the same "
                     "with KV heads copied where the degree passes them")
        ->capture_default_str();
    command->add_flag("--json", flags->json, "one JSON document on stdout");
    command->callback([&action, flags] { action = [flags] { return run(*flags); }; });
}

}  // namespace tplan::cli
