#include <map>

#include "core/error.h"
#include "executor/launch.h"
#include "tests/support/catch.h"

using namespace tplan;

namespace {

LaunchEnvironment read(std::map<std::string, std::string> variables) {
    return read_launch_environment([=](const std::string& name) -> std::optional<std::string> {
        const auto found = variables.find(name);
        if (found == variables.end()) return std::nullopt;
        return found->second;
    });
}

}  // namespace

TEST_CASE("the variables of torchrun, Open MPI and Slurm say which rank this is", "[executor]") {
    const auto torch = read({{"RANK", "1"},
                             {"WORLD_SIZE", "4"},
                             {"LOCAL_RANK", "1"},
                             {"LOCAL_WORLD_SIZE", "2"},
                             {"MASTER_ADDR", "10.0.0.1"},
                             {"MASTER_PORT", "29500"}});
    CHECK(torch.rank == 1);
    CHECK(torch.size == 4);
    CHECK(torch.local_rank == 1);
    CHECK(torch.local_size == 2);
    CHECK(torch.meeting.find("29500") != std::string::npos);

    const auto open_mpi = read({{"OMPI_COMM_WORLD_RANK", "2"},
                                {"OMPI_COMM_WORLD_SIZE", "3"},
                                {"OMPI_COMM_WORLD_LOCAL_RANK", "2"},
                                {"OMPI_COMM_WORLD_LOCAL_SIZE", "3"},
                                {"PMIX_NAMESPACE", "1234"}});
    CHECK(open_mpi.rank == 2);
    CHECK(open_mpi.local_size == 3);

    const auto slurm = read({{"SLURM_PROCID", "0"},
                             {"SLURM_NTASKS", "8"},
                             {"SLURM_LOCALID", "0"},
                             {"SLURM_JOB_ID", "77"}});
    CHECK(slurm.size == 8);
    CHECK(slurm.local_size == 8);
    CHECK(slurm.meeting != torch.meeting);
}

TEST_CASE("an environment that does not say it all is refused by name", "[executor]") {
    CHECK_THROWS_WITH(read({}), Catch::Contains("RANK") && Catch::Contains("torchrun"));
    CHECK_THROWS_WITH(read({{"RANK", "0"}}), Catch::Contains("WORLD_SIZE"));
    const std::map<std::string, std::string> whole = {
        {"RANK", "0"}, {"WORLD_SIZE", "2"}, {"LOCAL_RANK", "0"}, {"MASTER_PORT", "1"}};
    CHECK(read(whole).size == 2);
    const auto changed = [&](const std::string& name, const std::string& value) {
        auto copy = whole;
        copy[name] = value;
        return copy;
    };
    CHECK_THROWS_WITH(read(changed("RANK", "2")), Catch::Contains("RANK: \"2\" is not"));
    CHECK_THROWS_WITH(read(changed("RANK", "-1")), Catch::Contains("RANK"));
    CHECK_THROWS_WITH(read(changed("WORLD_SIZE", "two")), Catch::Contains("WORLD_SIZE"));
    CHECK_THROWS_WITH(read(changed("LOCAL_RANK", "1.5")), Catch::Contains("LOCAL_RANK"));
    auto nowhere = whole;
    nowhere.erase("MASTER_PORT");
    CHECK_THROWS_WITH(read(nowhere), Catch::Contains("MASTER_PORT"));
}

TEST_CASE("CPU ranks of several hosts cannot meet in memory", "[executor]") {
    LaunchEnvironment two_hosts{0, 4, 0, 2, "elsewhere", "RANK"};
    CHECK_THROWS_WITH(join_environment(two_hosts, 1), Catch::Contains("--launcher mpi"));
}

TEST_CASE("who does not come to the meeting is named", "[executor]") {
    LaunchEnvironment alone{0, 3, 0, 3, "nobody else knows of this place", "RANK"};
    CHECK_THROWS_WITH(join_environment(alone, 0.2), Catch::Contains("rank(s) 1, 2 did not come"));
    alone.rank = 1;
    CHECK_THROWS_WITH(join_environment(alone, 0.2), Catch::Contains("rank 0 did not come"));
}
