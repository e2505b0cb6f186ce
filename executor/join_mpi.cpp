#include "core/error.h"
#include "core/text.h"
#include "executor/launch.h"
#include "executor/mpi_plugin.h"
#include "executor/plugin.h"

namespace tplan {
namespace {

constexpr std::size_t kLargestMessage = std::size_t{1} << 30;  // MPI counts in int

/// Throws for a request that MPI refused.
void* accepted(void* request, int peer) {
    if (request == nullptr)
        throw Error("MPI", fmt::format("refuses a message between this rank and rank {}", peer));
    return request;
}

void require_size(std::size_t bytes) {
    if (bytes > kLargestMessage)
        throw Error("MPI", fmt::format("a message of {} bytes is above 1 GiB", bytes),
                    "run a smaller batch or fewer prompt tokens");
}

}  // namespace

World join_mpi() {
    const auto* mpi =
        static_cast<const tplan_mpi_v1*>(load_plugin("libtplan_mpi.so", "tplan_mpi_plugin"));
    if (mpi->abi != TPLAN_MPI_ABI) {
        throw Error("libtplan_mpi.so",
                    fmt::format("speaks version {} of the interface, this program {}", mpi->abi,
                                TPLAN_MPI_ABI),
                    "build both together");
    }
    World world;
    world.launcher = "mpi";
    if (const char* wrong =
            mpi->join(&world.rank, &world.size, &world.local_rank, &world.local_size))
        throw Error("MPI", wrong);
    auto transport = std::make_shared<Transport>();
    transport->rank = world.rank;
    transport->size = world.size;
    transport->name = mpi->version();
    transport->send = [mpi](int peer, int tag, const void* data, std::size_t bytes) {
        require_size(bytes);
        return accepted(mpi->send(peer, tag, data, bytes), peer);
    };
    transport->receive = [mpi](int peer, int tag, void* data, std::size_t bytes) {
        require_size(bytes);
        return accepted(mpi->receive(peer, tag, data, bytes), peer);
    };
    transport->done = [mpi](void* request) {
        const int state = mpi->done(request);
        if (state < 0) throw Error("MPI", "a message failed: another rank is gone");
        return state > 0;
    };
    transport->forget = [mpi](void* request) { mpi->forget(request); };
    world.transport = transport;
    // After a failure the others are somewhere else: MPI_Finalize would wait for them. A process
    // that ends without it makes mpirun end them.
    world.watch = std::shared_ptr<void>(nullptr, [mpi, transport](void*) {
        if (!transport->failed) mpi->leave();
    });
    return world;
}

}  // namespace tplan
