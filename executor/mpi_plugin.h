#pragma once
#include <stddef.h>

/* The C interface of libtplan_mpi.so: MPI's own binary interfaces differ, so whatever includes
 * mpi.h is built against the machine's MPI and loaded when a run asks for it. */

#ifdef __cplusplus
extern "C" {
#endif

#define TPLAN_MPI_ABI 1

struct tplan_mpi_v1 {
    int abi; /* TPLAN_MPI_ABI */

    /* Initialises MPI once. Null, or what went wrong. */
    const char* (*join)(int* rank, int* size, int* local_rank, int* local_size);
    const char* (*version)(void);

    /* Requests of exactly `bytes` (below 2^31); null when MPI refuses. */
    void* (*send)(int peer, int tag, const void* data, size_t bytes);
    void* (*receive)(int peer, int tag, void* data, size_t bytes);
    int (*done)(void* request);    /* 1: finished and freed; 0: not yet; -1: failed and freed */
    void (*forget)(void* request); /* gives it up and frees it */

    void (*leave)(void); /* MPI_Finalize, all ranks together */
};

typedef const void* (*tplan_mpi_entry)(void); /* exported as tplan_mpi_plugin */

#ifdef __cplusplus
}
#endif
