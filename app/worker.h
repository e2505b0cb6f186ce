#pragma once
#include <memory>
#include <string>
#include <vector>

#include "core/error.h"

namespace tplan {

/// A child process of this program doing long work, so that the window never waits and a crash
/// stays outside. It reports progress as lines "NN % what" on standard error.
class Worker {
  public:
    /// Starts `argv` (argv[0] looked up in PATH). Throws Error when it cannot be started.
    explicit Worker(const std::vector<std::string>& argv);
    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;
    ~Worker();  // ends the child

    /// Takes in what the child has written and whether it has ended; never blocks.
    void poll();
    /// Asks the child to stop (SIGTERM); asked again, ends it (SIGKILL).
    void stop();

    bool running() const { return pid_ > 0; }
    int exit_code() const { return exit_code_; }  // 128 + signal when a signal ended it
    bool stopping() const { return stopping_; }
    double done() const { return done_; }                        // 0 to 1
    const std::string& what() const { return what_; }            // is being done
    const std::string& last_line() const { return last_line_; }  // of standard error, not progress

  private:
    void take_line(const std::string& line);

    int pid_ = -1, err_ = -1, exit_code_ = 0;
    bool stopping_ = false;
    double done_ = 0;
    std::string buffer_, what_, last_line_;
};

/// The path of the running program's sibling `name`: in its folder, else a name for PATH.
std::string sibling_program(const std::string& name);

}  // namespace tplan
