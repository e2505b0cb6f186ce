#include "app/worker.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>

extern char** environ;

namespace tplan {

Worker::Worker(const std::vector<std::string>& argv) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
        throw Error(argv.front(), std::string("no pipe: ") + std::strerror(errno));
    std::vector<char*> words;
    for (const auto& word : argv) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    pid_t pid = -1;
    const int error = ::posix_spawnp(&pid, words.front(), &actions, nullptr, words.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
    if (error != 0) {
        ::close(ends[0]);
        throw Error(argv.front(), std::string("cannot be started: ") + std::strerror(error),
                    "install tplan beside this program, or in PATH");
    }
    pid_ = pid;
    err_ = ends[0];
    ::fcntl(err_, F_SETFL, O_NONBLOCK);
}

Worker::~Worker() {
    if (pid_ > 0) {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }
    if (err_ >= 0) ::close(err_);
}

void Worker::take_line(const std::string& line) {
    std::size_t at = line.find_first_not_of(' ');
    int percent = 0;
    if (at != std::string::npos) {
        const auto [end, error] =
            std::from_chars(line.data() + at, line.data() + line.size(), percent);
        const std::string_view rest(end, static_cast<std::size_t>(line.data() + line.size() - end));
        if (error == std::errc() && rest.starts_with(" % ")) {
            done_ = percent / 100.0;
            what_ = std::string(rest.substr(3));
            return;
        }
    }
    if (!line.empty()) last_line_ = line;
}

void Worker::poll() {
    if (err_ < 0) return;
    char bytes[4096];
    ssize_t got = 0;
    while ((got = ::read(err_, bytes, sizeof bytes)) > 0) {
        buffer_.append(bytes, static_cast<std::size_t>(got));
        for (auto end = buffer_.find('\n'); end != std::string::npos; end = buffer_.find('\n')) {
            take_line(buffer_.substr(0, end));
            buffer_.erase(0, end + 1);
        }
    }
    if (pid_ <= 0) return;
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) != pid_) return;
    pid_ = -1;
    exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (exit_code_ <= 1) done_ = 1;
}

void Worker::stop() {
    if (pid_ <= 0) return;
    ::kill(pid_, stopping_ ? SIGKILL : SIGTERM);
    stopping_ = true;
}

std::string sibling_program(const std::string& name) {
    std::error_code error;
    const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
    if (!error) {
        const auto beside = self.parent_path() / name;
        if (std::filesystem::exists(beside, error)) return beside.string();
        const auto above = self.parent_path().parent_path() / name;  // tests of a build tree
        if (std::filesystem::is_regular_file(above, error)) return above.string();
    }
    return name;
}

}  // namespace tplan
