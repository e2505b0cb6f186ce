#pragma once
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace tplan::cpu {

/// Processors this process may run on, one hardware thread of each core first, so that the first
/// n are n cores while there are that many.
std::vector<int> allowed_processors();

/// One thread per rank, each pinned to a processor of its own while there are enough; beyond that
/// processors are shared and crowded() is true. The threads sleep between calls of run().
class Team {
  public:
    explicit Team(int ranks);

    /// Of `ranks` ranks only number `own`, the others being other processes of this host.
    Team(int ranks, int own);
    ~Team();
    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;

    int ranks() const { return static_cast<int>(processors_.size()); }  // others' included
    int processor(int rank) const { return processors_[static_cast<std::size_t>(rank)]; }
    bool crowded() const { return crowded_; }

    /// Runs `work(rank)` on every thread and returns when all have returned. When some throw,
    /// `on_failure` is called at once with the rank and the message on the failing thread (so that
    /// it can free the others), and the exception that came first is rethrown here.
    void run(const std::function<void(int rank)>& work,
             const std::function<void(int rank, const std::string& message)>& on_failure);

  private:
    void serve(int rank);
    void place(int ranks);

    std::vector<int> processors_;
    bool crowded_ = false;

    std::mutex mutex_;
    std::condition_variable wake_, done_;
    std::uint64_t generation_ = 0;
    int running_ = 0;
    bool closing_ = false;
    const std::function<void(int)>* work_ = nullptr;
    const std::function<void(int, const std::string&)>* on_failure_ = nullptr;
    std::exception_ptr first_failure_;

    std::vector<std::thread> threads_;
};

}  // namespace tplan::cpu
