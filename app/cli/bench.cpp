#include "app/bench.h"

#include "app/cli/command.h"

namespace tplan::cli {

void add_bench(CLI::App& program, Action& action) {
    auto* command = program.add_subcommand("bench", "tplan's own speed, beside what it leans on");
    command->footer("Example: tplan bench estimates");
    auto part = std::make_shared<std::string>("all");
    auto json = std::make_shared<bool>(false);
    command->add_option("PART", *part, "estimates, search, executor or all")->capture_default_str();
    command->add_flag("--json", *json, "one JSON document on stdout");
    command->callback([&action, part, json] {
        action = [part, json] {
            const auto document = bench(parse_enum<BenchPart>(*part, "PART"));
            return *json ? print_json(document) : print(bench_text(document));
        };
    });
}

}  // namespace tplan::cli
