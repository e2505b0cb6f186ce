#include "tests/support/process.h"

#include <csignal>
#include <stdexcept>

#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

using namespace tplan::test;

TEST_CASE("process: both streams and the exit code") {
    const auto result = run_process({"sh", "-c", "echo out; echo err >&2; exit 3"});
    CHECK(result.out == "out\n");
    CHECK(result.err == "err\n");
    CHECK(result.exit_code == 3);
    CHECK_FALSE(result.timed_out);
}

TEST_CASE("process: input, folder and environment are the test's to choose") {
    const TempDir folder;
    ProcessOptions options;
    options.input = "typed";
    options.directory = folder.path();
    options.environment = {{"TPLAN_TEST_SET", "yes"}, {"HOME", std::nullopt}};
    const auto result =
        run_process({"sh", "-c", "cat; pwd; echo $TPLAN_TEST_SET ${HOME-unset}"}, options);
    CHECK(result.out == "typed" + folder.path() + "\nyes unset\n");
    CHECK(run_process({"cat"}).out.empty());
}

TEST_CASE("process: more output than a pipe holds") {
    const auto result =
        run_process({"sh", "-c", "head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2"});
    CHECK(result.out.size() == 300'000);
    CHECK(result.err.size() == 300'000);
}

TEST_CASE("process: one that hangs is ended with its children") {
    ProcessOptions options;
    options.limit = std::chrono::seconds(1);
    CHECK(run_process({"sh", "-c", "sleep 1000 & sleep 1000"}, options).timed_out);
    // An orphan that still holds the output counts as hanging.
    CHECK(run_process({"sh", "-c", "sleep 1000 & exit 0"}, options).timed_out);
}

TEST_CASE("process: a signal is sent when the text appears") {
    ProcessOptions options;
    options.signal_at = "ready";
    options.signal = SIGINT;
    const auto result = run_process(
        {"sh", "-c", "trap 'echo stopped; exit 5' INT; echo ready; while :; do :; done"}, options);
    CHECK(result.out == "ready\nstopped\n");
    CHECK(result.exit_code == 5);
    CHECK(run_process({"sh", "-c", "kill -TERM $$"}).signal == SIGTERM);
}

TEST_CASE("process: what cannot be started throws") {
    CHECK_THROWS_AS(run_process({"/no/such/program"}), std::runtime_error);
}
