// Processes of one host that nobody forked together meet at a socket with a name that lives in no
// file system: rank 0 listens, the others connect, and get the descriptor of common memory. The
// connections stay open as long as the run lasts: the end of one is the death of a rank.
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

#include "core/error.h"
#include "core/text.h"
#include "executor/launch.h"

namespace tplan {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kMagic = 0x746d656574310001;  // changes with what is said below
constexpr int kTryAgainMs = 20, kWatchMs = 50;
// Where rank 0 puts the memory: beyond what the address of a program and its heap is drawn from and
// far below the libraries, so that it is free in every process, also under the sanitizers, which
// take most of the rest for themselves.
constexpr std::uintptr_t kAddress = 0x566000000000;

[[noreturn]] void fail(const std::string& doing) {
    throw Error("--launcher env", doing + ": " + std::strerror(errno));
}

struct Socket {
    int fd = -1;
    explicit Socket(int fd_ = -1) : fd(fd_) {}
    Socket(Socket&& other) noexcept : fd(other.fd) { other.fd = -1; }
    Socket& operator=(Socket&& other) noexcept {
        std::swap(fd, other.fd);
        return *this;
    }
    ~Socket() {
        if (fd >= 0) ::close(fd);
    }
};

struct Hello {
    std::uint64_t magic = kMagic;
    std::int32_t rank = 0, size = 0, pid = 0, unused = 0;
};
struct Welcome {
    std::uint64_t magic = kMagic;
    std::uint64_t address = 0, bytes = 0;
};

std::string socket_name(const std::string& meeting) {
    std::uint64_t hash = 0xcbf29ce484222325U;  // FNV-1a
    for (const char c : meeting) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
    return fmt::format("tplan-{}-{:016x}", ::getuid(), hash);
}

/// An address in the abstract namespace: a zero, then the name.
socklen_t fill_address(const std::string& name, sockaddr_un& address) {
    address = {};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path + 1, name.data(), name.size());
    return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
}

bool same_user(int socket) {
    ucred who{};
    socklen_t length = sizeof who;
    return ::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &who, &length) == 0 &&
           who.uid == ::getuid();
}

/// Waits until there is something to read. False at the deadline.
bool readable(int socket, Clock::time_point deadline) {
    for (;;) {
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
        if (left <= 0) return false;
        pollfd waiting{socket, POLLIN, 0};
        const int n = ::poll(&waiting, 1, static_cast<int>(std::min<long>(left, 1000)));
        if (n > 0) return true;
        if (n < 0 && errno != EINTR) fail("poll");
    }
}

/// A message that carries a welcome and, beside it, one descriptor. Refers to itself: not to be
/// moved.
struct WelcomeMessage {
    explicit WelcomeMessage(Welcome& welcome) : part{&welcome, sizeof welcome} {
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control.data();
        message.msg_controllen = control.size();
    }
    WelcomeMessage(const WelcomeMessage&) = delete;
    WelcomeMessage& operator=(const WelcomeMessage&) = delete;

    iovec part;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
};

void send_welcome(int socket, Welcome welcome, int descriptor) {
    WelcomeMessage out(welcome);
    auto* const header = CMSG_FIRSTHDR(&out.message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
    if (::sendmsg(socket, &out.message, MSG_NOSIGNAL) != sizeof welcome) fail("sending the memory");
}

Socket receive_welcome(int socket, Welcome& welcome) {
    WelcomeMessage in(welcome);
    const auto n = ::recvmsg(socket, &in.message, MSG_CMSG_CLOEXEC);
    auto* const header = CMSG_FIRSTHDR(&in.message);
    if (n != sizeof welcome || header == nullptr || welcome.magic != kMagic) {
        throw Error("--launcher env", "rank 0 closed the connection before the run began",
                    "see its own message");
    }
    int descriptor = -1;
    std::memcpy(&descriptor, CMSG_DATA(header), sizeof descriptor);
    return Socket(descriptor);
}

/// Looks after the connections to other ranks: the end of one without a farewell is a death. A sign
/// of life of this rank at every turn.
class Watch {
  public:
    Watch(std::shared_ptr<cpu::SharedGroup> group, int rank, std::vector<Socket> sockets,
          std::vector<int> peers)
        : group_(std::move(group)),
          rank_(rank),
          sockets_(std::move(sockets)),
          peers_(std::move(peers)),
          thread_([this](std::stop_token stop) { run(stop); }) {}
    ~Watch() {
        thread_.request_stop();
        thread_.join();
        for (const auto& socket : sockets_) ::send(socket.fd, "b", 1, MSG_NOSIGNAL);
    }
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;

  private:
    void run(const std::stop_token& stop) {
        std::vector<bool> left(sockets_.size());
        while (!stop.stop_requested()) {
            group_->live(rank_);
            std::vector<pollfd> waiting;
            for (std::size_t i = 0; i < sockets_.size(); ++i)
                waiting.push_back({left[i] ? -1 : sockets_[i].fd, POLLIN, 0});
            if (::poll(waiting.data(), waiting.size(), kWatchMs) <= 0) continue;
            for (std::size_t i = 0; i < waiting.size(); ++i) {
                if (waiting[i].revents == 0) continue;
                char farewell = 0;
                left[i] = true;
                if (::recv(sockets_[i].fd, &farewell, 1, 0) == 1 && farewell == 'b') continue;
                group_->abort(
                    fmt::format("rank {} died in {}", peers_[i], group_->trail(peers_[i]).last()));
            }
        }
    }

    std::shared_ptr<cpu::SharedGroup> group_;
    int rank_;
    std::vector<Socket> sockets_;
    std::vector<int> peers_;
    std::jthread thread_;
};

World world_of(const LaunchEnvironment& environment) {
    World world;
    world.launcher = "env";
    world.rank = environment.rank;
    world.size = environment.size;
    world.local_rank = environment.local_rank;
    world.local_size = environment.local_size;
    return world;
}

std::string missing_ranks(const std::vector<Socket>& sockets) {
    std::vector<std::string> missing;
    for (std::size_t r = 1; r < sockets.size(); ++r) {
        if (sockets[r].fd < 0) missing.push_back(std::to_string(r));
    }
    return join(missing, ", ");
}

/// Takes the next connection and puts it in its place; strangers are sent away.
void admit(int listener, int size, std::vector<Socket>& sockets, Clock::time_point deadline) {
    Socket guest(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    if (guest.fd < 0) fail("accept");
    Hello hello;
    if (!same_user(guest.fd) || !readable(guest.fd, deadline)) return;
    if (::recv(guest.fd, &hello, sizeof hello, MSG_WAITALL) != sizeof hello) return;
    if (hello.magic != kMagic || hello.size != size || hello.rank < 1 || hello.rank >= size) {
        throw Error("--launcher env",
                    fmt::format("process {} says that it is rank {} of {}, and this is a run of {}",
                                hello.pid, hello.rank, hello.size, size),
                    "give each run a MASTER_PORT of its own");
    }
    auto& place = sockets[static_cast<std::size_t>(hello.rank)];
    if (place.fd >= 0) {
        throw Error("--launcher env",
                    fmt::format("two processes say that they are rank {}", hello.rank),
                    "RANK must differ between the processes of a run");
    }
    place = std::move(guest);
}

World host(const LaunchEnvironment& environment, Clock::time_point deadline) {
    const auto name = socket_name(environment.meeting);
    const Socket listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address;
    const auto length = fill_address(name, address);
    if (::bind(listener.fd, reinterpret_cast<sockaddr*>(&address), length) != 0) {
        if (errno != EADDRINUSE) fail("bind");
        throw Error("--launcher env", "another run meets at the same place: " + environment.meeting,
                    "give each run a MASTER_PORT of its own");
    }
    if (::listen(listener.fd, environment.size) != 0) fail("listen");

    const Socket file(::memfd_create("tplan", MFD_CLOEXEC));
    if (file.fd < 0) fail("memfd_create");
    auto memory = reserve_memory(environment.size, [&](std::size_t bytes) {
        if (::ftruncate(file.fd, static_cast<off_t>(bytes)) != 0) fail("ftruncate");
        return std::make_shared<SharedMemory>(file.fd, bytes, reinterpret_cast<void*>(kAddress));
    });
    auto world = world_of(environment);
    share_memory(world, memory, true);

    std::vector<Socket> sockets(static_cast<std::size_t>(environment.size));
    for (int here = 1; here < environment.size;) {
        if (!readable(listener.fd, deadline)) {
            throw Error("--launcher env",
                        fmt::format("rank(s) {} did not come", missing_ranks(sockets)),
                        "all ranks of a CPU run must be on one host; across hosts use --launcher "
                        "mpi");
        }
        admit(listener.fd, environment.size, sockets, deadline);
        here = 1;
        for (const auto& socket : sockets) here += socket.fd >= 0 ? 1 : 0;
    }
    const Welcome welcome{kMagic, kAddress, memory->bytes()};
    std::vector<int> peers;
    for (int r = 1; r < environment.size; ++r) {
        send_welcome(sockets[static_cast<std::size_t>(r)].fd, welcome, file.fd);
        peers.push_back(r);
    }
    sockets.erase(sockets.begin());
    world.watch = std::make_shared<Watch>(world.group, 0, std::move(sockets), std::move(peers));
    return world;
}

Socket connect_to(const std::string& name, Clock::time_point deadline) {
    sockaddr_un address;
    const auto length = fill_address(name, address);
    for (;;) {
        Socket socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        if (socket.fd < 0) fail("socket");
        if (::connect(socket.fd, reinterpret_cast<sockaddr*>(&address), length) == 0) {
            if (!same_user(socket.fd)) fail("rank 0 is another user's");
            return socket;
        }
        if (errno != ECONNREFUSED && errno != EAGAIN && errno != EINTR) fail("connect");
        if (Clock::now() >= deadline) {
            throw Error("--launcher env", "rank 0 did not come",
                        "all ranks of a CPU run must be on one host; across hosts use --launcher "
                        "mpi");
        }
        ::poll(nullptr, 0, kTryAgainMs);
    }
}

World visit(const LaunchEnvironment& environment, Clock::time_point deadline) {
    auto socket = connect_to(socket_name(environment.meeting), deadline);
    const Hello hello{kMagic, environment.rank, environment.size, ::getpid(), 0};
    if (::send(socket.fd, &hello, sizeof hello, MSG_NOSIGNAL) != sizeof hello) fail("hello");
    // Rank 0 answers when all are there, or says itself who is missing.
    if (!readable(socket.fd, deadline + std::chrono::seconds(5)))
        throw Error("--launcher env", "rank 0 does not answer", "see its own message");
    Welcome welcome;
    const auto file = receive_welcome(socket.fd, welcome);
    auto world = world_of(environment);
    share_memory(world,
                 std::make_shared<SharedMemory>(file.fd, welcome.bytes,
                                                reinterpret_cast<void*>(welcome.address)),
                 false);
    std::vector<Socket> sockets;
    sockets.push_back(std::move(socket));
    world.watch =
        std::make_shared<Watch>(world.group, environment.rank, std::move(sockets), std::vector{0});
    return world;
}

}  // namespace

World join_environment(const LaunchEnvironment& environment, double deadline_s) {
    if (environment.local_size < environment.size) {
        throw Error("--launcher env",
                    fmt::format("{} ranks, {} of them on this host: CPU ranks meet in memory",
                                environment.size, environment.local_size),
                    "use --launcher mpi across hosts");
    }
    const auto deadline =
        Clock::now() + std::chrono::milliseconds(static_cast<std::int64_t>(deadline_s * 1000));
    return environment.rank == 0 ? host(environment, deadline) : visit(environment, deadline);
}

}  // namespace tplan
