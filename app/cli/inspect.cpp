#include "app/inspect.h"

#include "app/cli/command.h"

namespace tplan::cli {
namespace {

struct Flags {
    std::string model, tp, transformers = "5.16", tp_plan;
    bool json = false;
};

int run(const Flags& flags) {
    const bool asked = !flags.tp.empty();
    const auto degrees = parse_degrees(asked ? flags.tp : "1,2,4,8", "--tp");
    const auto version = parse_enum<Transformers>(flags.transformers, "--transformers");
    const auto config = load_model_config(flags.model);
    const auto by_hand = plan_by_hand(config, flags.tp_plan);
    const auto document = inspect(config, degrees, version, by_hand);
    flags.json ? print_json(document) : print(inspect_text(document, config));
    const auto refusal = inspect_refusal(document, asked);
    return refusal.empty() ? 0 : answer_no(refusal);
}

}  // namespace

void add_inspect(CLI::App& program, Action& action) {
    auto* command =
        program.add_subcommand("inspect", "verdict, TP plan, and every parameter with its shards");
    command->footer("Example: tplan inspect llama-3.1-8b --tp 1,2,4,8");
    auto flags = std::make_shared<Flags>();
    command->add_option("MODEL", flags->model, "preset, config.json or directory")->required();
    command->add_option("--tp", flags->tp, "degrees with commas (default: 1,2,4,8)");
    command->add_option("--transformers", flags->transformers, "5.16 or 5.10")
        ->capture_default_str();
    command->add_option("--tp-plan", flags->tp_plan,
                        "a plan by hand: JSON object of pattern to style");
    command->add_flag("--json", flags->json, "one JSON document on stdout");
    command->callback([&action, flags] { action = [flags] { return run(*flags); }; });
}

}  // namespace tplan::cli
