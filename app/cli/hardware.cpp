#include "app/cli/command.h"
#include "app/detect.h"
#include "app/hardware_text.h"
#include "app/nccl_topology.h"

namespace tplan::cli {
namespace {

struct Flags {
    std::string hardware, topology;
    bool detect = false, json = false;
};

int run(const Flags& flags) {
    if (flags.detect) {
        const auto machine = detect_machine(kCopyTime);
        return flags.json ? print_json(machine) : print(detected_text(machine));
    }
    if (!flags.topology.empty()) {
        const auto node = load_nccl_topology(flags.topology);
        return flags.json ? print_json(node) : print(topology_text(node));
    }
    if (flags.hardware.empty()) {
        return flags.json ? print_json(hardware_list()) : print(hardware_list_text());
    }
    const auto hardware = load_hardware(flags.hardware);
    return flags.json ? print_json(hardware) : print(hardware_text(hardware));
}

}  // namespace

void add_hardware(CLI::App& program, Action& action) {
    auto* command =
        program.add_subcommand("hardware", "hardware profiles, this machine, or a node");
    command->footer("Example: tplan hardware h100-sxm");
    auto flags = std::make_shared<Flags>();
    auto* profile = command->add_option("HW", flags->hardware, "one profile in full");
    auto* detect = command->add_flag("--detect", flags->detect,
                                     "describe this machine; copies between its GPUs");
    command
        ->add_option("--topology", flags->topology,
                     "describe the node of a file that NCCL wrote by NCCL_TOPO_DUMP_FILE")
        ->type_name("FILE")
        ->excludes(profile)
        ->excludes(detect);
    command->add_flag("--json", flags->json, "one JSON document on stdout");
    command->callback([&action, flags] { action = [flags] { return run(*flags); }; });
}

}  // namespace tplan::cli
