#include "app/calibrate.h"

#include "app/cli/command.h"
#include "app/hardware_text.h"
#include "core/files.h"

namespace tplan::cli {
namespace {

struct Flags {
    CalibrateRequest request;
    std::string output, from;
    bool json = false;
};

int run(Flags& flags) {
    if (!flags.from.empty()) {
        throw Error("--from", "laying tables over a profile is not part of this version",
                    "leave it out to measure this machine");
    }
    flags.request.progress = show_progress;
    flags.request.stop = interrupted();
    const auto profile = calibrate(flags.request);
    const auto text = json_text(profile);
    const auto kept = keep_profile(profile);
    if (!flags.output.empty()) write_file(flags.output, text);
    if (flags.json) return print(text);
    return print(hardware_text(profile) + "\nwritten: " + kept + " (use it with --hw this)\n");
}

}  // namespace

void add_calibrate(CLI::App& program, Action& action) {
    auto* command =
        program.add_subcommand("calibrate", "measure this machine into the profile `this`");
    command->footer("Example: tplan calibrate --backend cpu --quick");
    auto flags = std::make_shared<Flags>();
    command->add_option("--backend", flags->request.backend, "cpu or cuda")->capture_default_str();
    command->add_flag("--quick", flags->request.quick, "fewer points and rounds");
    command->add_option("--from", flags->from, "tables of measured rows (later)");
    command->add_option("-o,--output", flags->output, "also write the profile here");
    command->add_flag("--json", flags->json, "one JSON document on stdout");
    command->callback([&action, flags] { action = [flags] { return run(*flags); }; });
}

}  // namespace tplan::cli
