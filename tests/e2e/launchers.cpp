// The launchers of the built program: who starts the ranks, who writes, and what a death leaves.
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "core/json_io.h"
#include "tests/support/catch.h"
#include "tests/support/process.h"
#include "tests/support/skip.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_configs.h"

using namespace tplan;
using namespace tplan::test;
namespace fs = std::filesystem;

namespace {

/// A plan of a tiny model over `tp` ranks; transformers' own cuts even what is tiny.
std::string make_plan_file(const TempDir& folder, int tp, const std::string& family = "llama") {
    const auto config = folder.file("config.json", tiny_config(family).dump());
    const auto path = folder / "plan.json";
    const auto result =
        run_tplan({"plan", config, "--hw", "h100-sxm", "--tp", std::to_string(tp), "--phase",
                   "prefill", "--input", "16", "--dtype", "fp32", "--layout", "hf", "-o", path});
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
    return path;
}

/// Validated, out of the interval of a GPU's prediction, or inconclusive: it ran to its end.
void require_end(const ProcessResult& result) {
    INFO(result.err);
    CHECK_FALSE(result.timed_out);
    REQUIRE((result.exit_code == 0 || result.exit_code == 1));
}

std::set<std::string> shared_objects() {
    std::set<std::string> names;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator("/dev/shm", ignored))
        names.insert(entry.path().string());
    return names;
}

/// Processes whose command line holds `word`.
int processes_with(const std::string& word) {
    int count = 0;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator("/proc", ignored)) {
        std::ifstream file(entry.path() / "cmdline", std::ios::binary);
        const std::string text((std::istreambuf_iterator<char>(file)), {});
        if (text.find(word) != std::string::npos) ++count;
    }
    return count;
}

bool installed(const std::string& program) {
    return run_process({"sh", "-c", "command -v " + program}).exit_code == 0;
}

/// `script` with $tplan, $plan and $out set, for launchers that are programs of their own.
ProcessResult run_script(const std::string& script, const std::string& plan,
                         const std::string& out) {
    ProcessOptions options;
    options.limit = std::chrono::seconds(300);
    options.environment = {{"tplan", TPLAN_PROGRAM}, {"plan", plan}, {"out", out}};
    return run_process({"bash", "-c", script}, options);
}

}  // namespace

TEST_CASE("processes: a validated plan that checks, no process and no shared object left") {
    const TempDir folder;
    const auto before = shared_objects();
    const auto plan = make_plan_file(folder, 2);
    const auto out = folder / "validated.json";
    require_end(run_tplan({"run", plan, "--launcher", "processes", "--reps", "4", "-o", out}));
    const auto document = load_json(out);
    CHECK(document["schema"] == "tplan.validated/1");
    CHECK(document["measured"]["ranks"] == 2);
    CHECK(document["measured"]["devices"].size() == 2);
    CHECK(document["numerics"]["pass"] == true);
    CHECK(document["measured"]["environment"]["launcher"] == "processes");
    CHECK(run_tplan({"check", out}).exit_code == 0);
    CHECK(processes_with(plan) == 0);
    CHECK(shared_objects() == before);
}

TEST_CASE("processes: a rank killed from outside ends the run with exit 2 and a partial") {
    const TempDir folder;
    const auto plan = make_plan_file(folder, 2);
    const auto out = folder / "validated.json";
    // Ranks are direct children of tplan run. Kill one once repetitions have begun.
    const auto result = run_script(
        R"(
        "$tplan" run "$plan" --launcher processes --reps 100000 -o "$out" 2> "$out.err" &
        run=$!
        until grep -q repetition "$out.err"; do sleep 0.05; done
        set -- $(cat /proc/$run/task/*/children)
        [ $# = 2 ] || { echo "$# children"; kill $run; exit 99; }
        kill -9 $2
        wait $run; code=$?
        cat "$out.err" >&2
        exit $code)",
        plan, out);
    INFO(result.out << result.err);
    CHECK_FALSE(result.timed_out);
    CHECK(result.exit_code == 2);
    CHECK(result.err.find("was killed by signal 9") != std::string::npos);
    CHECK(result.err.find("step #") != std::string::npos);
    const auto partial = load_json(out + ".partial.json");
    CHECK(partial["verdict"] == "failed");
    CHECK(partial["measured"]["samples"] >= 1);
    CHECK(partial["last_steps"].size() == 2);
    CHECK_FALSE(fs::exists(out));
    CHECK(processes_with(plan) == 0);
}

TEST_CASE("processes: the death of the parent is the death of all") {
    const TempDir folder;
    const auto plan = make_plan_file(folder, 2);
    const auto result = run_script(
        R"(
        "$tplan" run "$plan" --launcher processes --reps 100000 2> "$out" &
        run=$!
        until grep -q repetition "$out"; do sleep 0.05; done
        children=$(cat /proc/$run/task/*/children)
        kill -9 $run
        for child in $children; do while kill -0 $child 2>/dev/null; do sleep 0.05; done; done
        echo all gone)",
        plan, folder / "err");
    INFO(result.err);
    CHECK_FALSE(result.timed_out);
    CHECK(result.out == "all gone\n");
}

TEST_CASE("processes: too little memory is refused in one line") {
    const TempDir folder;
    const auto plan = make_plan_file(folder, 2);
    const auto result =
        run_script(R"(ulimit -v 150000; exec "$tplan" run "$plan" --launcher processes)", plan, "");
    INFO(result.err);
    CHECK_FALSE(result.timed_out);
    CHECK(result.exit_code == 2);
    CHECK(result.err.find("tplan: ") != std::string::npos);
    CHECK(processes_with(plan) == 0);
}

TEST_CASE("env: ranks that a launcher started meet, and rank 0 alone writes") {
    const TempDir folder;
    const auto before = shared_objects();
    const auto plan = make_plan_file(folder, 2, "qwen3_moe");
    const auto out = folder / "validated.json";
    const auto result = run_script(
        R"(
        export WORLD_SIZE=2 LOCAL_WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=$$
        RANK=1 LOCAL_RANK=1 "$tplan" run "$plan" --launcher env --reps 4 -o "$out.other" > "$out.1" &
        RANK=0 LOCAL_RANK=0 "$tplan" run "$plan" --launcher env --reps 4 -o "$out"
        code=$?
        wait $! || exit 98
        exit $code)",
        plan, out);
    require_end(result);
    const auto document = load_json(out);
    CHECK(document["measured"]["environment"]["launcher"] == "env");
    CHECK(document["numerics"]["pass"] == true);
    CHECK_FALSE(fs::exists(out + ".other"));
    CHECK(fs::file_size(out + ".1") == 0);
    CHECK(run_tplan({"check", out}).exit_code == 0);
    CHECK(shared_objects() == before);
}

TEST_CASE("env: a killed rank ends the others, which say so and keep what there is") {
    const TempDir folder;
    const auto plan = make_plan_file(folder, 2);
    const auto out = folder / "validated.json";
    for (const std::string victim : {"0", "1"}) {
        INFO("rank " << victim);
        const auto result = run_script("victim=" + victim + R"sh(
            export WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=$$
            for rank in 0 1; do
                export RANK=$rank LOCAL_RANK=$rank
                "$tplan" run "$plan" --launcher env --reps 100000 -o "$out" 2> "$out.err$rank" &
                pid[$rank]=$!
            done
            until grep -q repetition "$out.err0"; do sleep 0.05; done
            kill -9 ${pid[$victim]}
            wait ${pid[$((1 - victim))]}; code=$?
            cat "$out.err$((1 - victim))" >&2
            exit $code)sh",
                                       plan, out);
        INFO(result.err);
        CHECK_FALSE(result.timed_out);
        CHECK(result.exit_code == 2);
        CHECK(result.err.find("rank " + victim + " died in step #") != std::string::npos);
        CHECK(load_json(out + ".partial.json")["verdict"] == "failed");
        fs::remove(out + ".partial.json");
    }
}

TEST_CASE("env: processes that do not fit the plan, or no environment, are refused") {
    const TempDir folder;
    const auto plan = make_plan_file(folder, 2);
    ProcessOptions options;
    options.environment = {{"RANK", "0"},
                           {"WORLD_SIZE", "1"},
                           {"LOCAL_RANK", "0"},
                           {"MASTER_PORT", "1"},
                           {"MASTER_ADDR", "x"}};
    const auto one = run_tplan({"run", plan, "--launcher", "env"}, options);
    CHECK(one.exit_code == 2);
    CHECK(one.err.find("1 processes for a plan of 2 ranks") != std::string::npos);
    options.environment = {{"RANK", std::nullopt},
                           {"OMPI_COMM_WORLD_RANK", std::nullopt},
                           {"SLURM_PROCID", std::nullopt}};
    const auto none = run_tplan({"run", plan, "--launcher", "env"}, options);
    CHECK(none.exit_code == 2);
    CHECK(none.err.find("torchrun") != std::string::npos);
    CHECK(run_tplan({"run", plan, "--launcher", "pigeons"}).exit_code == 2);
}

TEST_CASE("mpi: mpirun gives a validated plan, and a killed rank ends the run") {
    if (!fs::exists(fs::path(TPLAN_PROGRAM).parent_path() / "libtplan_mpi.so") ||
        !installed("mpirun")) {
        return skip("no MPI here (Debian: openmpi-bin libopenmpi-dev)");
    }
    const TempDir folder;
    const auto plan = make_plan_file(folder, 2);
    const auto out = folder / "validated.json";
    const std::string mpirun = "mpirun --allow-run-as-root --oversubscribe -n 2 ";
    require_end(run_script(mpirun + R"("$tplan" run "$plan" --launcher mpi --reps 4 -o "$out")",
                           plan, out));
    const auto document = load_json(out);
    CHECK(document["measured"]["environment"]["launcher"] == "mpi");
    CHECK(document["numerics"]["pass"] == true);
    CHECK(run_tplan({"check", out}).exit_code == 0);

    const auto killed = run_script(
        mpirun + R"("$tplan" run "$plan" --launcher mpi --reps 100000 -o "$out.2" 2> "$out.err" &
        run=$!
        until grep -q repetition "$out.err"; do sleep 0.05; done
        ranks=$(pgrep -P $run)
        set -- $ranks
        kill -9 $2
        wait $run; code=$?
        cat "$out.err" >&2
        [ $code != 0 ] || exit 97
        exit 2)",
        plan, out);
    INFO(killed.err);
    CHECK_FALSE(killed.timed_out);
    CHECK(killed.exit_code == 2);
    CHECK(processes_with(plan) == 0);
}

TEST_CASE("mpi: without the plugin the run says what is missing") {
    const TempDir folder;
    const auto plan = make_plan_file(folder, 2);
    if (fs::exists(fs::path(TPLAN_PROGRAM).parent_path() / "libtplan_mpi.so"))
        return skip("the plugin is there");
    const auto result = run_tplan({"run", plan, "--launcher", "mpi"});
    CHECK(result.exit_code == 2);
    CHECK(result.err.find("libtplan_mpi.so") != std::string::npos);
    CHECK(result.err.find("TPLAN_PLUGIN_PATH") != std::string::npos);
}

TEST_CASE("cuda: without a driver or a plugin the run says what is there and what is missing") {
    const TempDir folder;
    const auto plan = make_plan_file(folder, 2);
    if (fs::exists("/dev/nvidiactl")) return skip("there is a GPU");
    const auto result = run_tplan({"run", plan, "--backend", "cuda"});
    INFO(result.err);
    CHECK(result.exit_code == 2);
    if (!fs::exists(fs::path(TPLAN_PROGRAM).parent_path() / "libtplan_cuda.so")) {
        CHECK(result.err.find("libtplan_cuda.so") != std::string::npos);
        return;
    }
    for (const auto* part : {"no driver", "CUDA runtime", "cuBLASLt", "NCCL"})
        CHECK(result.err.find(part) != std::string::npos);
}
