#include <algorithm>
#include <cstdio>
#include <new>

#include "app/cli/command.h"

/// The one place where the program turns exceptions into a line on stderr and exit code 2.
int main(int argc, char** argv) {
    using namespace tplan;
    try {
        CLI::App program{"tplan: split a language model over GPUs - predict, show, run and check"};
        program.name("tplan");
        program.set_version_flag("--version", "tplan " TPLAN_VERSION);
        program.require_subcommand(1);
        program.get_formatter()->column_width(32);
        cli::Action action;
        for (const auto add :
             {cli::add_models, cli::add_inspect, cli::add_hardware, cli::add_estimate,
              cli::add_sweep, cli::add_plan, cli::add_check, cli::add_show, cli::add_report,
              cli::add_export, cli::add_gui, cli::add_run, cli::add_calibrate, cli::add_predict,
              cli::add_accuracy, cli::add_bench}) {
            add(program, action);
        }
        std::vector<std::string> names;
        for (const auto* known : program.get_subcommands({})) names.push_back(known->get_name());
        const std::string first = argc > 1 ? argv[1] : "";
        if (!first.empty() && first[0] != '-' && !std::ranges::count(names, first)) {
            const auto nearest = did_you_mean(first, names);
            throw Error("COMMAND", fmt::format("\"{}\" is not one of {}", first, join(names, ", ")),
                        nearest.empty() ? "see `tplan --help`" : nearest);
        }
        try {
            program.parse(argc, argv);
        } catch (const CLI::Success& help) {
            return program.exit(help);
        } catch (const CLI::ParseError& error) {
            fmt::print(stderr, "tplan: {}\n", cli::flag_fault(program, error));
            return 2;
        }
        return action();
    } catch (const std::bad_alloc&) {
        fmt::print(stderr, "tplan: out of memory\n");
    } catch (const std::exception& error) {
        fmt::print(stderr, "tplan: {}\n", error.what());
    }
    return 2;
}
