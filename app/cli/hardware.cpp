#include "app/cli/command.h"
#include "app/detect.h"
#include "app/hardware_text.h"

namespace tplan::cli {
namespace {

struct Flags {
    std::string hardware;
    bool detect = false, json = false;
};

int run(const Flags& flags) {
    if (flags.detect) {
        const auto machine = detect_machine();
        return flags.json ? print_json(machine) : print(detected_text(machine));
    }
    if (flags.hardware.empty()) {
        return flags.json ? print_json(hardware_list()) : print(hardware_list_text());
    }
    const auto hardware = load_hardware(flags.hardware);
    return flags.json ? print_json(hardware) : print(hardware_text(hardware));
}

}  // namespace

void add_hardware(CLI::App& program, Action& action) {
    auto* command = program.add_subcommand("hardware", "hardware profiles, or this machine");
    command->footer("Example: tplan hardware h100-sxm");
    auto flags = std::make_shared<Flags>();
    command->add_option("HW", flags->hardware, "one profile in full");
    command->add_flag("--detect", flags->detect, "describe this machine");
    command->add_flag("--json", flags->json, "one JSON document on stdout");
    command->callback([&action, flags] { action = [flags] { return run(*flags); }; });
}

}  // namespace tplan::cli
