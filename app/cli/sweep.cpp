#include "app/sweep.h"

#include <array>

#include "app/cli/command.h"

namespace tplan::cli {
namespace {

struct Flags {
    QueryFlags query;
    std::string link, format = "table";
    bool json = false;
};

enum class Format { table, csv, json };
constexpr auto enum_names(Format) {
    return std::array<std::string_view, 3>{"table", "csv", "json"};
}

int run(Flags flags) {
    const auto format = flags.json ? Format::json : parse_enum<Format>(flags.format, "--format");
    SweepAxes axes;
    axes.hardware = split_list(flags.query.hardware);
    axes.links = split_list(flags.link);
    axes.degrees = parse_degrees(flags.query.tp, "--tp");
    for (const int batch : parse_batches(flags.query.batch)) axes.batches.push_back(batch);
    if (axes.hardware.empty())
        throw Error("--hw", "is empty", "name one or more profiles; `tplan hardware` lists them");
    flags.query.hardware = axes.hardware.front();
    flags.query.tp = "1";
    flags.query.batch = "1";
    std::erase(flags.query.training.given, "--tp");
    auto query = make_query(flags.query);
    const auto document = sweep(query, axes);
    if (format == Format::json) {
        print_json(document);
    } else if (format == Format::csv) {
        print(sweep_csv(document));
    } else {
        print(sweep_text(document));
    }
    for (const auto& row : document.rows) {
        if (row.feasible) return 0;
    }
    return answer_no(
        fmt::format("{}: no combination is feasible: {}", document.model,
                    document.rows.empty() ? "nothing asked" : document.rows.front().reason));
}

}  // namespace

void add_sweep(CLI::App& program, Action& action) {
    auto* command =
        program.add_subcommand("sweep", "all combinations of hardware, link, degree and batch");
    command->footer(
        "Example: tplan sweep llama-3.1-70b --hw h100-sxm,l40s --tp 1,2,4,8 --batch 1,16");
    auto flags = std::make_shared<Flags>();
    command->add_option("MODEL", flags->query.model, "preset, config.json or directory")
        ->required();
    command->add_option("--hw", flags->query.hardware, "hardware profiles with commas")->required();
    command->add_option("--tp", flags->query.tp, "TP degrees with commas")->required();
    add_workload_flags(*command, flags->query);
    command->remove_option(command->get_option("--link"));
    command->add_option("--link", flags->link, "links with commas (default: all the profile has)");
    command->add_option("--format", flags->format, "table, csv or json")->capture_default_str();
    command->add_flag("--json", flags->json, "the same as --format json");
    command->callback([&action, flags] { action = [flags] { return run(*flags); }; });
}

}  // namespace tplan::cli
