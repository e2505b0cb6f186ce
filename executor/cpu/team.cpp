#include "executor/cpu/team.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <cassert>
#include <fstream>
#include <utility>

namespace tplan::cpu {
namespace {

/// The lowest-numbered hardware thread of the processor's core; the processor itself when the
/// system does not say.
int first_sibling(int processor) {
    std::ifstream file("/sys/devices/system/cpu/cpu" + std::to_string(processor) +
                       "/topology/thread_siblings_list");
    int first = processor;
    file >> first;  // "0-1" or "0,64": the number before the separator
    return first;
}

void pin_to(int processor) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<std::size_t>(processor), &set);
    // Fails only where the affinity mask shrank meanwhile; an unpinned rank still works.
    pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

std::string message_of(const std::exception_ptr& failure) {
    try {
        std::rethrow_exception(failure);
    } catch (const std::exception& error) {
        return error.what();
    } catch (...) {
        return "unknown exception";
    }
}

}  // namespace

std::vector<int> allowed_processors() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0) return {0};
    std::vector<int> first, siblings;
    for (int p = 0; p < CPU_SETSIZE; ++p) {
        if (CPU_ISSET(static_cast<std::size_t>(p), &set)) {
            const int lowest = first_sibling(p);
            const bool lowest_allowed =
                lowest == p || !CPU_ISSET(static_cast<std::size_t>(lowest), &set);
            (lowest_allowed ? first : siblings).push_back(p);
        }
    }
    first.insert(first.end(), siblings.begin(), siblings.end());
    if (first.empty()) first.push_back(0);
    return first;
}

Team::Team(int ranks, int own) {
    assert(own >= 0 && own < ranks);
    place(ranks);
    threads_.emplace_back([this, own] { serve(own); });
}

Team::Team(int ranks) {
    place(ranks);
    for (int r = 0; r < ranks; ++r) {
        threads_.emplace_back([this, r] { serve(r); });
    }
}

void Team::place(int ranks) {
    assert(ranks >= 1);
    const auto allowed = allowed_processors();
    crowded_ = static_cast<std::size_t>(ranks) > allowed.size();
    for (int r = 0; r < ranks; ++r) {
        processors_.push_back(allowed[static_cast<std::size_t>(r) % allowed.size()]);
    }
}

Team::~Team() {
    {
        const std::lock_guard lock(mutex_);
        closing_ = true;
    }
    wake_.notify_all();
    for (auto& thread : threads_) thread.join();
}

void Team::run(const std::function<void(int)>& work,
               const std::function<void(int, const std::string&)>& on_failure) {
    std::unique_lock lock(mutex_);
    assert(running_ == 0);
    work_ = &work;
    on_failure_ = &on_failure;
    first_failure_ = nullptr;
    running_ = static_cast<int>(threads_.size());
    ++generation_;
    wake_.notify_all();
    done_.wait(lock, [&] { return running_ == 0; });
    if (first_failure_) std::rethrow_exception(std::exchange(first_failure_, nullptr));
}

void Team::serve(int rank) {
    pin_to(processor(rank));
    std::uint64_t seen = 0;
    std::unique_lock lock(mutex_);
    while (true) {
        wake_.wait(lock, [&] { return closing_ || generation_ != seen; });
        if (closing_) return;
        seen = generation_;
        const auto& work = *work_;
        lock.unlock();
        try {
            work(rank);
            lock.lock();
        } catch (...) {
            // Keep the exception before freeing the others: theirs are consequences.
            const auto failure = std::current_exception();
            lock.lock();
            if (!first_failure_) first_failure_ = failure;
            const auto& on_failure = *on_failure_;
            lock.unlock();
            on_failure(rank, message_of(failure));
            lock.lock();
        }
        if (--running_ == 0) done_.notify_all();
    }
}

}  // namespace tplan::cpu
