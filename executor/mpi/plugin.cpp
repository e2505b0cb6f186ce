#include "executor/mpi_plugin.h"

#include <mpi.h>

#include <climits>

namespace {

MPI_Comm world() {
    static MPI_Comm copy = MPI_COMM_NULL;
    if (copy == MPI_COMM_NULL) {
        MPI_Comm_dup(MPI_COMM_WORLD, &copy);
        MPI_Comm_set_errhandler(copy, MPI_ERRORS_RETURN);
    }
    return copy;
}

const char* join(int* rank, int* size, int* local_rank, int* local_size) {
    int running = 0;
    MPI_Initialized(&running);
    if (running == 0) {
        // The rank's thread is not the main one; only one of them calls MPI at a time.
        int given = 0;
        if (MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &given) != MPI_SUCCESS)
            return "MPI_Init_thread failed";
        if (given < MPI_THREAD_SERIALIZED)
            return "this MPI allows calls from the main thread only (MPI_THREAD_SERIALIZED is "
                   "needed)";
    }
    MPI_Comm_rank(world(), rank);
    MPI_Comm_size(world(), size);
    MPI_Comm host = MPI_COMM_NULL;
    MPI_Comm_split_type(world(), MPI_COMM_TYPE_SHARED, *rank, MPI_INFO_NULL, &host);
    MPI_Comm_rank(host, local_rank);
    MPI_Comm_size(host, local_size);
    MPI_Comm_free(&host);
    return nullptr;
}

const char* version() {
    static char text[MPI_MAX_LIBRARY_VERSION_STRING] = {};
    int length = 0;
    MPI_Get_library_version(text, &length);
    for (char* c = text; *c != 0; ++c) {
        if (*c == ',' || *c == '\n') *c = 0;  // the name and the number suffice
    }
    return text;
}

void* send(int peer, int tag, const void* data, size_t bytes) {
    if (bytes > INT_MAX) return nullptr;
    auto* const request = new MPI_Request;
    if (MPI_Isend(data, static_cast<int>(bytes), MPI_BYTE, peer, tag, world(), request) ==
        MPI_SUCCESS)
        return request;
    delete request;
    return nullptr;
}

void* receive(int peer, int tag, void* data, size_t bytes) {
    if (bytes > INT_MAX) return nullptr;
    auto* const request = new MPI_Request;
    if (MPI_Irecv(data, static_cast<int>(bytes), MPI_BYTE, peer, tag, world(), request) ==
        MPI_SUCCESS)
        return request;
    delete request;
    return nullptr;
}

int done(void* pointer) {
    auto* const request = static_cast<MPI_Request*>(pointer);
    int finished = 0;
    const int result = MPI_Test(request, &finished, MPI_STATUS_IGNORE);
    if (result == MPI_SUCCESS && finished == 0) return 0;
    delete request;
    return result == MPI_SUCCESS ? 1 : -1;
}

void forget(void* pointer) {
    auto* const request = static_cast<MPI_Request*>(pointer);
    MPI_Cancel(request);
    MPI_Request_free(request);
    delete request;
}

void leave() {
    int over = 0;
    MPI_Finalized(&over);
    if (over == 0) MPI_Finalize();
}

const tplan_mpi_v1 kTable = {TPLAN_MPI_ABI, join, version, send, receive, done, forget, leave};

}  // namespace

extern "C" const void* tplan_mpi_plugin() {
    return &kTable;
}
