#include "executor/processes.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "core/text.h"

namespace tplan {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kPollMs = 20;

/// One child as its parent sees it.
struct Child {
    pid_t pid = -1;
    int pipe = -1;  // its report comes here; -1 once it has ended
    std::string received;
    bool ended = false;
    int status = 0;

    Child() = default;
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    ~Child() {
        if (pipe >= 0) ::close(pipe);
        if (ended || pid < 0) return;
        ::kill(pid, SIGKILL);
        ::waitpid(pid, nullptr, 0);
    }
};

/// 'f' or 'o', then the length of the error, the error, the payload.
std::string encoded(const RankReport& report) {
    std::string text(1, report.failed ? 'f' : 'o');
    const std::uint64_t length = report.error.size();
    text.append(reinterpret_cast<const char*>(&length), sizeof length);
    return text + report.error + report.payload;
}

/// False for a report that breaks off: its rank died while writing it.
bool decode(const std::string& text, RankReport& report) {
    std::uint64_t length = 0;
    if (text.size() < 1 + sizeof length) return false;
    std::memcpy(&length, text.data() + 1, sizeof length);
    if (text.size() - 1 - sizeof length < length) return false;
    report.failed = text[0] != 'o';
    report.error = text.substr(1 + sizeof length, length);
    report.payload = text.substr(1 + sizeof length + length);
    return true;
}

void write_all(int descriptor, const std::string& text) {
    for (std::size_t at = 0; at < text.size();) {
        const auto n = ::write(descriptor, text.data() + at, text.size() - at);
        if (n < 0 && errno != EINTR) return;  // the parent is gone, and so will this process be
        if (n > 0) at += static_cast<std::size_t>(n);
    }
}

[[noreturn]] void serve(int rank, int ranks, const std::shared_ptr<SharedMemory>& memory, int pipe,
                        pid_t parent, const std::function<RankReport(World&)>& work) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(2);  // it died before the line above
    {
        World world;
        world.launcher = "processes";
        world.rank = rank;
        world.size = ranks;
        world.local_rank = rank;
        world.local_size = ranks;
        share_memory(world, memory, false);
        world.watch = keep_alive(world.group, rank);
        const auto report = work(world);
        if (report.failed) world.abort(report.error);
        write_all(pipe, encoded(report));
    }
    std::fflush(nullptr);
    ::_exit(0);  // the parent's own objects are not this process's to destroy
}

void start(Child& child, int rank, int ranks, const std::shared_ptr<SharedMemory>& memory,
           const std::function<RankReport(World&)>& work) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0)
        throw Error("processes", fmt::format("no pipe: {}", std::strerror(errno)));
    const auto parent = ::getpid();
    std::fflush(nullptr);  // or a child would print the parent's text again
    child.pid = ::fork();
    if (child.pid == 0) {
        ::close(ends[0]);
        serve(rank, ranks, memory, ends[1], parent, work);
    }
    ::close(ends[1]);
    child.pipe = ends[0];
    if (child.pid < 0) {
        throw Error("processes",
                    fmt::format("rank {} cannot be started: {}", rank, std::strerror(errno)),
                    "raise the limit on processes (ulimit -u)");
    }
}

/// Takes what the children have written and how they ended.
void collect(std::vector<Child>& children) {
    std::vector<pollfd> waiting;
    for (const auto& child : children) waiting.push_back({child.pipe, POLLIN, 0});
    ::poll(waiting.data(), waiting.size(), kPollMs);
    for (std::size_t i = 0; i < children.size(); ++i) {
        auto& child = children[i];
        if (waiting[i].revents != 0) {
            std::array<char, 1 << 16> buffer;
            const auto n = ::read(child.pipe, buffer.data(), buffer.size());
            if (n > 0) child.received.append(buffer.data(), static_cast<std::size_t>(n));
            if (n == 0) {
                ::close(child.pipe);
                child.pipe = -1;
            }
        }
        if (!child.ended && ::waitpid(child.pid, &child.status, WNOHANG) == child.pid)
            child.ended = true;
    }
}

bool over(const Child& child) {
    return child.ended && child.pipe < 0;
}

std::string death_of(const Child& child) {
    if (WIFSIGNALED(child.status)) {
        return fmt::format("was killed by signal {} ({})", WTERMSIG(child.status),
                           ::strsignal(WTERMSIG(child.status)));
    }
    return fmt::format("ended with code {}", WEXITSTATUS(child.status));
}

/// The first thing that went wrong so far; empty while all is well.
std::string trouble(const std::vector<Child>& children, const cpu::SharedGroup& group) {
    for (std::size_t r = 0; r < children.size(); ++r) {
        if (!over(children[r])) continue;
        RankReport report;
        if (!decode(children[r].received, report)) {
            return fmt::format("rank {} (process {}) {} in {}", r, children[r].pid,
                               death_of(children[r]), group.trail(static_cast<int>(r)).last());
        }
        if (report.failed) return report.error;
    }
    return {};
}

}  // namespace

std::string run_processes(int ranks, const std::function<RankReport(World&)>& work,
                          std::stop_token stop, double grace_s) {
    const auto memory = reserve_memory(
        ranks, [](std::size_t bytes) { return std::make_shared<SharedMemory>(bytes); });
    World all;
    all.size = ranks;
    share_memory(all, memory, true);
    const auto& group = all.group;

    std::vector<Child> children(static_cast<std::size_t>(ranks));
    for (int r = 0; r < ranks; ++r)
        start(children[static_cast<std::size_t>(r)], r, ranks, memory, work);

    bool failing = false;
    Clock::time_point since;
    while (!std::all_of(children.begin(), children.end(), over)) {
        collect(children);
        if (stop.stop_requested() && !group->aborted()) group->abort("run: stopped on request");
        if (const auto reason = trouble(children, *group); !reason.empty()) group->abort(reason);
        if (!failing && group->aborted()) {
            failing = true;
            since = Clock::now();
        }
        if (failing && std::chrono::duration<double>(Clock::now() - since).count() > grace_s) {
            for (const auto& child : children) {
                if (!child.ended) ::kill(child.pid, SIGKILL);
            }
        }
    }

    std::vector<RankReport> reports(children.size());
    bool whole = true;
    for (std::size_t r = 0; r < children.size(); ++r)
        whole = decode(children[r].received, reports[r]) && !reports[r].failed && whole;
    if (const auto reason = trouble(children, *group); !reason.empty()) group->abort(reason);
    if (whole && !group->aborted()) return reports.front().payload;
    std::vector<RankTrail> trails;
    for (int r = 0; r < ranks; ++r) trails.push_back({r, group->trail(r).records()});
    throw ProcessFailure(Error("run", group->last_error()), std::move(reports), std::move(trails));
}

}  // namespace tplan
