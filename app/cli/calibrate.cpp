#include "app/calibrate.h"

#include "app/cli/command.h"
#include "app/hardware_text.h"
#include "core/files.h"

namespace tplan::cli {
namespace {

struct Flags {
    CalibrateRequest request;
    LayTablesRequest tables;
    std::string output;
    bool json = false;
};

int lay(const Flags& flags) {
    if (flags.tables.hardware.empty())
        throw Error("--from", "needs --hw: the profile to lay the tables over");
    if (flags.output.empty()) throw Error("--from", "needs -o: the profile to write");
    const auto profile = lay_tables(flags.tables);
    write_file(flags.output, json_text(profile));
    if (flags.json) return print(json_text(profile));
    return print(tables_text(profile) + "\nwritten: " + flags.output + " (use it with --hw " +
                 flags.output + ")\n");
}

int run(Flags& flags) {
    if (!flags.tables.files.empty()) return lay(flags);
    if (!flags.tables.system.empty())
        throw Error("--system", "goes with --from: without it this machine is measured");
    flags.request.hardware = flags.tables.hardware;
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
    command->footer(
        "--from reads the columns of `tplan predict --help` with latency_us beside them, and what "
        "nccl-tests printed.\n"
        "Example: tplan calibrate --backend cpu --quick\n"
        "Example: tplan calibrate --backend cuda --hw h200-sxm\n"
        "Example: tplan calibrate --from gemm.csv all_reduce.log --hw h100-sxm -o mine.json");
    auto flags = std::make_shared<Flags>();
    command->add_option("--backend", flags->request.backend, "cpu or cuda")->capture_default_str();
    command->add_flag("--quick", flags->request.quick, "fewer points and rounds");
    command
        ->add_option("--from", flags->tables.files,
                     "instead lay these measured rows over a profile: CSV or nccl-tests logs")
        ->type_name("FILE");
    command->add_option("--hw", flags->tables.hardware,
                        "with --from or --backend cuda: the profile, file, or this, which the "
                        "measured points correct");
    command
        ->add_option("--budget-s", flags->request.budget.value,
                     "with --backend cuda: seconds for all points (default 300, --quick 60)")
        ->check(CLI::PositiveNumber);
    command->add_option("--system", flags->tables.system, "with --from: only rows of this system");
    command->add_option("-o,--output", flags->output,
                        "also write the profile here; with --from only here");
    command->add_flag("--json", flags->json, "one JSON document on stdout");
    command->callback([&action, flags] { action = [flags] { return run(*flags); }; });
}

}  // namespace tplan::cli
