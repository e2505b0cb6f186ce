#include <charconv>
#include <cstdlib>
#include <vector>

#include "core/error.h"
#include "core/text.h"
#include "executor/launch.h"

namespace tplan {
namespace {

constexpr int kMostProcesses = 4096;

/// What a launcher calls its variables. Names separated by '|' are alternatives.
struct Spelling {
    const char* rank;
    const char* size;
    const char* local_rank;
    const char* local_size;
    std::vector<const char*> meeting;  // all that are set make the meeting place; the first must be
};

const std::vector<Spelling>& spellings() {
    static const std::vector<Spelling> kSpellings = {
        {"RANK",
         "WORLD_SIZE",
         "LOCAL_RANK",
         "LOCAL_WORLD_SIZE",
         {"MASTER_PORT", "MASTER_ADDR", "TORCHELASTIC_RUN_ID"}},
        {"OMPI_COMM_WORLD_RANK",
         "OMPI_COMM_WORLD_SIZE",
         "OMPI_COMM_WORLD_LOCAL_RANK",
         "OMPI_COMM_WORLD_LOCAL_SIZE",
         {"OMPI_MCA_ess_base_jobid", "PMIX_NAMESPACE", "OMPI_MCA_orte_hnp_uri"}},
        {"SLURM_PROCID",
         "SLURM_NTASKS",
         "SLURM_LOCALID",
         "SLURM_NTASKS_PER_NODE",
         {"SLURM_JOB_ID", "SLURM_STEP_ID"}},
    };
    return kSpellings;
}

int number(const Variables& variables, const char* name, int low, int high) {
    const auto text = variables(name);
    if (!text) {
        throw Error(name, "is not set",
                    "start the ranks with torchrun, srun or mpirun, or use --launcher processes");
    }
    int value = 0;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
    if (error != std::errc() || end != text->data() + text->size() || value < low || value > high) {
        throw Error(name, fmt::format("\"{}\" is not an integer from {} to {}", *text, low, high));
    }
    return value;
}

}  // namespace

Variables environment_variables() {
    return [](const std::string& name) -> std::optional<std::string> {
        const char* value = std::getenv(name.c_str());
        if (value == nullptr) return std::nullopt;
        return value;
    };
}

LaunchEnvironment read_launch_environment(const Variables& variables) {
    for (const auto& names : spellings()) {
        if (!variables(names.rank)) continue;
        LaunchEnvironment result;
        result.spelling = names.rank;
        result.size = number(variables, names.size, 1, kMostProcesses);
        result.rank = number(variables, names.rank, 0, result.size - 1);
        result.local_rank = number(variables, names.local_rank, 0, result.size - 1);
        // Slurm does not always say how many tasks a node has; then all are taken to be on one, and
        // who is on another is missed when they meet.
        result.local_size = variables(names.local_size)
                                ? number(variables, names.local_size, 1, result.size)
                                : result.size;
        bool found = false;
        for (const auto* name : names.meeting) {
            const auto value = variables(name);
            found = found || value.has_value();
            result.meeting += fmt::format("{}={};", name, value.value_or(""));
        }
        if (!found) {
            throw Error(names.meeting.front(), "is not set",
                        "the ranks of a run find each other by it; torchrun, srun and mpirun set "
                        "it");
        }
        return result;
    }
    throw Error("--launcher env",
                "none of RANK, OMPI_COMM_WORLD_RANK and SLURM_PROCID is set: no launcher started "
                "this process",
                "start it with `torchrun --no-python --nproc-per-node 2 tplan run ..`, `srun` or "
                "`mpirun`, or use --launcher processes");
}

}  // namespace tplan
