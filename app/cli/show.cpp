#include <filesystem>

#include "app/cli/command.h"
#include "app/shard_text.h"
#include "app/validated.h"

namespace tplan::cli {
namespace {

struct Flags {
    std::string what, tp, layout = "best";
    bool json = false;
};

/// A plan file is recognised by its schema; everything else is a model.
bool is_plan_file(const std::string& path) {
    std::error_code ignored;
    if (!std::filesystem::is_regular_file(path, ignored)) return false;
    const auto document = load_json(path);
    const auto schema = document.is_object() ? document.find("schema") : document.end();
    return document.is_object() && schema != document.end() && schema->is_string() &&
           (*schema == "tplan.plan/1" || *schema == "tplan.validated/1");
}

int run(const Flags& flags) {
    ModelConfig config;
    PlanOptions options;
    if (is_plan_file(flags.what)) {
        const auto plan = read_plan(read_plan_file(flags.what).plan, flags.what);
        config = read_model_config(plan.model, flags.what + "/model");
        config.source = plan.model_source;
        options = plan.request.plan;
        options.tp = plan.tp;
    } else {
        if (flags.tp.empty()) throw Error("--tp", "a model needs a degree", "give --tp N");
        const auto degrees = parse_degrees(flags.tp, "--tp");
        if (degrees.size() != 1) throw Error("--tp", "one degree was expected");
        config = load_model_config(flags.what);
        options.tp = degrees.front();
        options.layout = parse_enum<LayoutChoice>(flags.layout, "--layout");
    }
    if (config.family.empty()) {
        throw Error(config.source + "/model_type",
                    "tplan has no op graph for \"" + config.model_type + "\"",
                    "`tplan inspect` still gives its verdict");
    }
    const auto model = build_model(config);
    const auto planned = make_plan(config, model, options);
    if (!planned.plan) {
        const auto verdict = tp_verdict(config, options.transformers);
        return answer_no(
            infeasible_text(planned.feasibility, working_degrees(config, verdict, options, 16)));
    }
    if (!flags.json) return print(shard_map_text(model, *planned.plan));
    Json document = Json::object();
    document["schema"] = "tplan.show/1";
    document["model"] = config.source;
    document["tp"] = options.tp;
    document["tensors"] = to_json(shard_tensors(model, *planned.plan));
    return print_json(document);
}

}  // namespace

void add_show(CLI::App& program, Action& action) {
    auto* command = program.add_subcommand("show", "the shard map as text");
    command->footer("Example: tplan show qwen3-0.6b --tp 4\n         tplan show plan.json");
    auto flags = std::make_shared<Flags>();
    command->add_option("PLAN", flags->what, "a plan file, or a MODEL together with --tp")
        ->required();
    command->add_option("--tp", flags->tp, "TP degree, with a model");
    command->add_option("--layout", flags->layout, "hf or best, with a model")
        ->capture_default_str();
    command->add_flag("--json", flags->json, "one JSON document on stdout");
    command->callback([&action, flags] { action = [flags] { return run(*flags); }; });
}

}  // namespace tplan::cli
