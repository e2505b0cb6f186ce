#include "app/cli/command.h"
#include "app/inspect.h"

namespace tplan::cli {

void add_models(CLI::App& program, Action& action) {
    auto* command =
        program.add_subcommand("models", "list the model presets with their TP verdict");
    command->footer("Example: tplan models");
    auto json = std::make_shared<bool>(false);
    command->add_flag("--json", *json, "one JSON document on stdout");
    command->callback([&action, json] {
        action = [json] {
            const auto document = list_models();
            return *json ? print_json(document) : print(models_text(document));
        };
    });
}

}  // namespace tplan::cli
