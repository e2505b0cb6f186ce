#include "tests/support/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <map>
#include <stdexcept>

namespace tplan::test {
namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void fail(const std::string& doing) {
    throw std::runtime_error(doing + ": " + std::strerror(errno));
}

/// A descriptor with one owner.
struct Descriptor {
    int fd = -1;
    Descriptor() = default;
    explicit Descriptor(int fd_) : fd(fd_) {}
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor() { close(); }
    void close() {
        if (fd >= 0) ::close(fd);
        fd = -1;
    }
};

struct Pipe {
    Descriptor read_end, write_end;
    Pipe() {
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) != 0) fail("pipe");
        read_end.fd = ends[0];
        write_end.fd = ends[1];
    }
};

std::vector<std::string> merged_environment(const ProcessOptions& options) {
    std::map<std::string, std::string> variables;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string text = *entry;
        const auto equals = text.find('=');
        if (equals != std::string::npos)
            variables[text.substr(0, equals)] = text.substr(equals + 1);
    }
    for (const auto& [name, value] : options.environment) {
        if (value) {
            variables[name] = *value;
        } else {
            variables.erase(name);
        }
    }
    std::vector<std::string> lines;
    for (const auto& [name, value] : variables) lines.push_back(name + "=" + value);
    return lines;
}

std::vector<char*> pointers(std::vector<std::string>& words) {
    std::vector<char*> result;
    for (auto& word : words) result.push_back(word.data());
    result.push_back(nullptr);
    return result;
}

/// Standard input: a file already unlinked that holds `text`, or /dev/null.
int open_input(const std::string& text) {
    if (text.empty()) return ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    std::FILE* file = std::tmpfile();
    if (file == nullptr) fail("tmpfile");
    std::fwrite(text.data(), 1, text.size(), file);
    std::rewind(file);
    const int fd = ::fcntl(::fileno(file), F_DUPFD_CLOEXEC, 3);
    std::fclose(file);
    return fd;
}

/// Reads what is there. False at the end of the stream.
bool take(int fd, std::string& into) {
    std::array<char, 1 << 14> buffer;
    const auto got = ::read(fd, buffer.data(), buffer.size());
    if (got > 0) into.append(buffer.data(), static_cast<std::size_t>(got));
    return got > 0 || (got < 0 && errno == EINTR);
}

/// Collects both streams until they end. False when the deadline passes first.
bool collect(Pipe& out, Pipe& err, Clock::time_point deadline, const ProcessOptions& options,
             pid_t child, ProcessResult& result) {
    bool signalled = options.signal == 0;
    while (out.read_end.fd >= 0 || err.read_end.fd >= 0) {
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
        if (left <= 0) return false;
        std::array<pollfd, 2> waiting{pollfd{out.read_end.fd, POLLIN, 0},
                                      pollfd{err.read_end.fd, POLLIN, 0}};
        if (::poll(waiting.data(), waiting.size(), static_cast<int>(std::min(left, 60'000L))) < 0 &&
            errno != EINTR) {
            fail("poll");
        }
        if (waiting[0].revents != 0 && !take(out.read_end.fd, result.out)) out.read_end.close();
        if (waiting[1].revents != 0 && !take(err.read_end.fd, result.err)) err.read_end.close();
        if (!signalled && (result.out + result.err).find(options.signal_at) != std::string::npos) {
            ::kill(child, options.signal);
            signalled = true;
        }
    }
    return true;
}

/// Waits for the child itself, which may outlive its output. False when the deadline passes.
bool wait_for(pid_t child, Clock::time_point deadline, int& status) {
    for (;;) {
        const auto ended = ::waitpid(child, &status, WNOHANG);
        if (ended == child) return true;
        if (ended < 0 && errno != EINTR) fail("waitpid");
        if (Clock::now() >= deadline) return false;
        ::poll(nullptr, 0, 1);
    }
}

}  // namespace

ProcessResult run_process(const std::vector<std::string>& argv, const ProcessOptions& options) {
    // Everything that allocates happens before the fork: afterwards only system calls are safe.
    auto words = argv;
    auto variables = merged_environment(options);
    const auto arguments = pointers(words);
    const auto environment = pointers(variables);
    const Descriptor input(open_input(options.input));
    Pipe out, err, broken;  // `broken` carries errno when the program cannot be started

    const pid_t child = ::fork();
    if (child < 0) fail("fork");
    if (child == 0) {
        ::setpgid(0, 0);  // so that a timeout can end the children too
        ::dup2(input.fd, 0);
        ::dup2(out.write_end.fd, 1);
        ::dup2(err.write_end.fd, 2);
        if (options.directory.empty() || ::chdir(options.directory.c_str()) == 0)
            ::execvpe(arguments[0], arguments.data(), environment.data());
        const int why = errno;
        [[maybe_unused]] const auto sent = ::write(broken.write_end.fd, &why, sizeof why);
        ::_exit(127);
    }
    ::setpgid(child, child);
    out.write_end.close();
    err.write_end.close();
    broken.write_end.close();

    int why = 0, status = 0;
    if (::read(broken.read_end.fd, &why, sizeof why) == sizeof why) {
        ::waitpid(child, &status, 0);
        errno = why;
        fail("cannot run " + argv[0]);
    }
    ProcessResult result;
    const auto deadline = Clock::now() + options.limit;
    result.timed_out =
        !collect(out, err, deadline, options, child, result) || !wait_for(child, deadline, status);
    if (result.timed_out) {
        ::kill(-child, SIGKILL);
        ::waitpid(child, &status, 0);
    } else if (WIFEXITED(status)) {
        result.exit_code = WEXITSTATUS(status);
    }
    if (WIFSIGNALED(status)) result.signal = WTERMSIG(status);
    return result;
}

ProcessResult run_tplan(const std::vector<std::string>& arguments, const ProcessOptions& options) {
    std::vector<std::string> argv{TPLAN_PROGRAM};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    return run_process(argv, options);
}

}  // namespace tplan::test
