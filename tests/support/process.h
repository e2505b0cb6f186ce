#pragma once
#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

/// Runs programs the way a shell does, for tests of the built binary.

namespace tplan::test {

struct ProcessResult {
    int exit_code = -1;      // of a program that exited by itself, else -1
    int signal = 0;          // that ended it, else 0
    bool timed_out = false;  // the limit passed; the program and its children were killed
    std::string out;         // standard output
    std::string err;         // standard error
};

struct ProcessOptions {
    /// Set on top of the inherited environment; nullopt removes the variable.
    std::vector<std::pair<std::string, std::optional<std::string>>> environment;
    std::string directory;  // to run in; empty = the test's own
    std::string input;      // standard input; empty = /dev/null
    std::chrono::seconds limit{60};
    /// Once standard output and standard error together hold `signal_at`, `signal` is sent, once,
    /// to the program alone. This is how a test presses Ctrl-C at a known moment without sleeping.
    std::string signal_at;
    int signal = 0;
};

/// Runs `argv` (argv[0] looked up in PATH) and waits for it, for its output to end and so for every
/// child that holds its output: a program that leaves an orphan behind times out. Throws
/// std::runtime_error when it cannot be started.
ProcessResult run_process(const std::vector<std::string>& argv, const ProcessOptions& options = {});

/// Runs the built tplan with these arguments.
ProcessResult run_tplan(const std::vector<std::string>& arguments,
                        const ProcessOptions& options = {});

}  // namespace tplan::test
