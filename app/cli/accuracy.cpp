#include "app/accuracy.h"

#include "app/cli/command.h"

namespace tplan::cli {
namespace {

struct Flags {
    std::string hardware, file;
    RowFilter filter;
    std::vector<std::string> where;
    bool json = false;
};

int run(Flags flags) {
    for (const auto& condition : flags.where) {
        const auto equals = condition.find('=');
        if (equals == std::string::npos || equals == 0)
            throw Error("--where " + condition, "expected COLUMN=VALUE");
        flags.filter.where.emplace_back(condition.substr(0, equals), condition.substr(equals + 1));
    }
    const auto document =
        accuracy(load_hardware(flags.hardware), load_csv(flags.file), flags.filter);
    return flags.json ? print_json(document) : print(accuracy_text(document));
}

}  // namespace

void add_accuracy(CLI::App& program, Action& action) {
    auto* command = program.add_subcommand(
        "accuracy", "predict measured rows; error, coverage and width per op, dtype and regime");
    command->footer("Example: tplan accuracy --hw h100-sxm collectives.csv --system h100_sxm");
    auto flags = std::make_shared<Flags>();
    command->add_option("MEASURED", flags->file, "CSV as for predict, with latency_us")->required();
    command->add_option("--hw", flags->hardware, "hardware profile, file, or this")->required();
    command->add_option("--system", flags->filter.system, "only rows of this system");
    command->add_option("--impl", flags->filter.impl,
                        "only rows of this implementation, with or without its version");
    command->add_option("--mode", flags->filter.mode, "only rows of this mode: eager or graph");
    command->add_option("--where", flags->where, "only rows with COLUMN=VALUE; may be repeated")
        ->type_name("COLUMN=VALUE")
        ->allow_extra_args(false);
    command->add_flag("--json", flags->json, "one JSON document on stdout");
    command->callback([&action, flags] { action = [flags] { return run(*flags); }; });
}

}  // namespace tplan::cli
