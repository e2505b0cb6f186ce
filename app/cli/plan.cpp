#include "app/cli/command.h"
#include "app/plan_text.h"
#include "core/files.h"
#include "cost_model/mixed_hardware.h"

namespace tplan::cli {
namespace {

struct Flags {
    QueryFlags query;
    int gpus = 0;
    std::string objective = "latency", output;
    std::optional<double> max_ttft, max_tpot;
    bool json = false;
    bool tp_given = false;
};

int run(const Flags& flags) {
    const bool meshed = !flags.query.training.mesh.empty() && flags.gpus == 0;
    if (!meshed && !names_two_kinds(flags.query.hardware) && flags.tp_given == (flags.gpus != 0)) {
        throw Error("--tp/--gpus", flags.tp_given ? "both were given" : "neither was given",
                    "give --tp N for that degree, or --gpus N to let tplan choose up to N; for "
                    "training --mesh");
    }
    auto query = make_query(flags.query);
    auto& request = query.request;
    if (flags.gpus != 0) request.gpus.value = flags.gpus;
    request.objective = parse_enum<Objective>(flags.objective, "--objective");
    if (flags.max_ttft) request.max_ttft.value = Seconds(*flags.max_ttft);
    if (flags.max_tpot) request.max_tpot.value = Seconds(*flags.max_tpot);
    const auto resolved = resolve(query);
    const auto result = make_plan_document(resolved.config, resolved.hardware, resolved.request);
    if (!result.document) {
        auto refusal = refuse(resolved.config, resolved.request, result.feasibility);
        if (flags.gpus != 0) {
            refusal.tp.value.reset();
            refusal.gpus.value = flags.gpus;
        }
        refusal.alternatives = result.alternatives;
        return answer_no(refusal, flags.json);
    }
    const auto& plan = *result.document;
    if (!flags.output.empty()) write_file(flags.output, json_text(plan));
    if (flags.json) return print_json(plan);
    auto text = plan_text(plan);
    if (!flags.output.empty()) text += "written: " + flags.output + "\n";
    return print(text);
}

}  // namespace

void add_plan(CLI::App& program, Action& action) {
    auto* command =
        program.add_subcommand("plan", "choose degree and layout, say why, write plan.json");
    command->footer("Example: tplan plan qwen3-0.6b --hw h100-sxm --tp 2 -o plan.json");
    auto flags = std::make_shared<Flags>();
    command->add_option("MODEL", flags->query.model, "preset, config.json or directory")
        ->required();
    command
        ->add_option("--hw", flags->query.hardware,
                     "hardware profile, file, or this; or two kinds of GPU, l40s:2+rtx-4090:2")
        ->required();
    auto* tp = command->add_option("--tp", flags->query.tp, "TP degree");
    command->add_option("--gpus", flags->gpus, "choose a degree up to this many GPUs");
    command->add_option("--objective", flags->objective, "latency, throughput or memory")
        ->capture_default_str();
    command->add_option("--max-ttft-s", flags->max_ttft,
                        "bound on the isolated time to the first token (prefill)");
    command->add_option("--max-tpot-s", flags->max_tpot,
                        "bound on the isolated time per output token (decode)");
    add_workload_flags(*command, flags->query);
    command->add_option("-o,--output", flags->output, "where to write the plan");
    command->add_flag("--json", flags->json, "one JSON document on stdout");
    command->callback([&action, flags, tp] {
        flags->tp_given = tp->count() > 0;
        action = [flags] { return run(*flags); };
    });
}

}  // namespace tplan::cli
