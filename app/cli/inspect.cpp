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
    std::optional<TpPlan> by_hand;
    if (!flags.tp_plan.empty()) {
        if (config.device_map) {
            throw Error(flags.model + "/device_map",
                        "device_map and a TP plan conflict at weight loading",
                        "drop one of the two: device_map from the configuration, or --tp-plan");
        }
        by_hand = read_tp_plan(flags.tp_plan);
    }
    const auto document = inspect(config, degrees, version, by_hand);
    flags.json ? print_json(document) : print(inspect_text(document, config));
    if (document.supports_tp != SupportsTp::yes && !by_hand) {
        return answer_no(fmt::format(
            "{}: no TP plan: {}; it runs on one GPU, or give a plan with --tp-plan FILE",
            document.model, document.reason));
    }
    for (const auto& degree : document.tp) {
        if (degree.feasible || !asked) continue;
        std::string reasons;
        for (const auto& violation : degree.violations) {
            reasons +=
                fmt::format("{}: {} ({}); ", violation.code, violation.message, violation.have);
        }
        if (!degree.remedies.empty()) reasons += "remedies: " + join(degree.remedies, ", ") + "; ";
        return answer_no(fmt::format("{}: TP {} does not work: {}degrees that work: {}",
                                     document.model, degree.tp, reasons,
                                     fmt::join(document.working_degrees, " ")));
    }
    return 0;
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
