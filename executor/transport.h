#pragma once
#include <cstddef>
#include <functional>
#include <string>

namespace tplan {

/// Messages between the processes of a run: what MPI does, as a table, so that the communicator
/// over it (messages.h) runs in tests without MPI. Messages between two ranks with one tag arrive
/// in the order they were sent. Used by one thread at a time.
struct Transport {
    int rank = 0, size = 1;
    std::string name;  // "Open MPI v4.1.4"

    /// Start sending or receiving exactly `bytes`; memory must stay until the request is done. The
    /// request is for done() or forget(). Throw Error when the other end is known to be gone.
    std::function<void*(int peer, int tag, const void* data, std::size_t bytes)> send;
    std::function<void*(int peer, int tag, void* data, std::size_t bytes)> receive;

    /// Whether a request has finished; it is then no longer valid.
    std::function<bool(void* request)> done;

    /// Gives a request up, finished or not.
    std::function<void(void* request)> forget;

    /// Set when the run fails: whoever started the processes then ends them as this one ends.
    bool failed = false;
};

}  // namespace tplan
