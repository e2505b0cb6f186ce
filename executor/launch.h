#pragma once
#include <array>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "executor/world.h"

/// How the ranks of a run come to be. See also processes.h.

namespace tplan {

enum class Launcher {
    threads,    // of this process
    processes,  // children of this process
    env,        // processes that torchrun, srun or mpirun started, known by their environment
    mpi,        // processes that mpirun or srun started, joined by MPI
};
constexpr auto enum_names(Launcher) {
    return std::array<std::string_view, 4>{"threads", "processes", "env", "mpi"};
}

/// What a launcher tells a process through its environment.
struct LaunchEnvironment {
    int rank = 0, size = 1;
    int local_rank = 0, local_size = 1;
    std::string meeting;   // the same text for all processes of one run and for no other run
    std::string spelling;  // the variable the rank came from, for messages
};

/// Value of a variable; nullopt when it is not set. std::getenv() outside of tests.
using Variables = std::function<std::optional<std::string>(const std::string& name)>;
Variables environment_variables();

/// Reads torchrun's RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR and MASTER_PORT,
/// Open MPI's OMPI_COMM_WORLD_* or Slurm's SLURM_PROCID, SLURM_NTASKS, SLURM_LOCALID: the first of
/// the three whose rank is set. Throws Error naming the variable that is missing or is no number in
/// range.
LaunchEnvironment read_launch_environment(const Variables& variables);

/// Meets the other processes of this host: memory common to all, and a watch that ends the run when
/// one of them dies. Leaves nothing behind in any file system. Throws Error when ranks are on
/// several hosts (`--launcher mpi`), when another run meets at the same place, and when somebody is
/// missing after `deadline_s`, naming who.
World join_environment(const LaunchEnvironment& environment, double deadline_s);

/// The same by MPI, through the plugin libtplan_mpi.so. Throws Error when that is not there, saying
/// why, and when MPI says that there is one rank only.
World join_mpi();

}  // namespace tplan
