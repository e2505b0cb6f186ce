#include "app/run.h"

#include "app/cli/command.h"
#include "app/plan_file.h"
#include "core/files.h"

namespace tplan::cli {
namespace {

struct Flags {
    std::string plan, output, launcher = "threads", weights;
    RunRequest request;
    bool json = false;
};

int run(Flags& flags) {
    if (!flags.weights.empty()) {
        throw Error(
            "--weights", "reading checkpoints is not part of this version",
            "leave it out: weights are then made from a seed, which changes no shape and no time");
    }
    if (!flags.output.empty()) require_writable(flags.output);
    const auto file = read_plan_file(flags.plan);
    const auto plan = read_plan(file.plan, flags.plan);
    flags.request.launcher = parse_enum<Launcher>(flags.launcher, "--launcher");
    flags.request.progress = show_progress;
    flags.request.stop = interrupted();
    if (!flags.output.empty()) flags.request.partial = flags.output + ".partial.json";
    const auto result = run_plan(file.plan, flags.plan, flags.request);
    if (!result) return 0;  // another process is rank 0 and says it
    const auto& validation = *result;
    const auto document = write_validated(plan, validation);
    if (!flags.output.empty()) write_file(flags.output, json_text(document));
    flags.json ? print_json(document) : print(validation_text(plan, validation));
    switch (validation.verdict) {
        case RunVerdict::numerics_failed:
            return answer_no(fmt::format("{}: numerics-failed: {}; see `numerics` in the result",
                                         flags.plan, join(validation.reasons, "; ")));
        case RunVerdict::out_of_interval:
            return answer_no(
                fmt::format("{}: out-of-interval: {}", flags.plan, join(validation.reasons, "; ")));
        default:
            return 0;
    }
}

}  // namespace

void add_run(CLI::App& program, Action& action) {
    auto* command =
        program.add_subcommand("run", "execute a plan, check its numbers, measure it, compare");
    command->footer("Example: tplan run plan.json -o validated.json");
    auto flags = std::make_shared<Flags>();
    auto& request = flags->request;
    command->add_option("PLAN", flags->plan, "a plan or validated plan")->required();
    command->add_option("--backend", request.backend, "auto, cpu or cuda")->capture_default_str();
    command->add_option("--layers", request.layers, "run only the first layers (default: all)")
        ->check(CLI::PositiveNumber);
    command->add_option("--warmup", request.warmup, "repetitions thrown away")
        ->check(CLI::Range(0, 1000))
        ->capture_default_str();
    command->add_option("--reps", request.reps, "repetitions kept")
        ->check(CLI::Range(1, 100000))
        ->capture_default_str();
    command
        ->add_option("--launcher", flags->launcher,
                     "threads or processes of this program; mpi or env (torchrun, srun, mpirun)")
        ->capture_default_str();
    command->add_option("--deadline-s", request.deadline_s,
                        "longest a collective may wait for a rank (default: 20 predicted steps, at "
                        "least 10)");
    command->add_option("--seed", request.seed, "of the made-up weights and tokens")
        ->capture_default_str();
    command->add_option("--weights", flags->weights, "directory of a checkpoint (later)");
    command->add_option("-o,--output", flags->output, "where to write the validated plan");
    command->add_flag("--json", flags->json, "one JSON document on stdout");
    command->callback([&action, flags] { action = [flags] { return run(*flags); }; });
}

}  // namespace tplan::cli
