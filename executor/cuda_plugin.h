#pragma once
#include <stddef.h>
#include <stdint.h>

/* The C interface of libtplan_cuda.so. The program knows CUDA by this header alone: it starts on a
 * machine without any of it, and says what is missing when a run asks for it. Functions that can
 * fail return null or what went wrong; the text lives until the next call on the thread. */

#ifdef __cplusplus
extern "C" {
#endif

#define TPLAN_CUDA_ABI 3
#define TPLAN_CUDA_TEXT 192
#define TPLAN_PEER_RANKS 8   /* that an all-reduce over peer memory joins at most */
#define TPLAN_PEER_HANDLE 64 /* bytes of memory's name for another process */

/* As tplan's DType. */
enum tplan_dtype { TPLAN_FP32, TPLAN_FP16, TPLAN_BF16, TPLAN_FP8, TPLAN_MXFP4 };

/* [rows, columns] in device memory, row r at data + r * stride elements. */
struct tplan_matrix {
    void* data;
    int64_t rows, columns, stride;
    int dtype;
};

/* What is there, found without failing. */
struct tplan_cuda_parts {
    int devices;
    char driver[TPLAN_CUDA_TEXT];   /* "580.65 (CUDA 13.0)", or why there is none */
    char runtime[TPLAN_CUDA_TEXT];  /* "CUDA runtime 13.0" */
    char cublaslt[TPLAN_CUDA_TEXT]; /* "cuBLASLt 13.1.0" */
    char nccl[TPLAN_CUDA_TEXT];     /* "NCCL 2.28.9 from libnccl.so.2", or why there is none */
    char reason[TPLAN_CUDA_TEXT];   /* why no device can be used; empty when one can */
};

struct tplan_cuda_device {
    char name[TPLAN_CUDA_TEXT];
    char uuid[64], pci[32];
    int major, minor, multiprocessors;
    size_t memory, l2_cache;
    int can_access[64]; /* peer access to the device of that number, as the driver says */
};

enum tplan_op_kind {
    TPLAN_EMBEDDING, /* weight {table}, ids; out = factor * table[id - first], 0 elsewhere */
    TPLAN_POSITION_EMBEDDING, /* in {x}, weight {table} */
    TPLAN_NORM,               /* in {x}, weight {weight?, bias?} fp32 */
    TPLAN_ADD,                /* out = in[0] + factor * in[1] (+ factor * in[2]) */
    TPLAN_ROPE,               /* in {x} -> out {x}: one of the two; table {cos, sin} fp32 */
    TPLAN_UNPACK_QKV,
    TPLAN_ATTENTION, /* in {q, k, v}, cache {keys, values}; weight {sinks?} */
    TPLAN_ACTIVATION,
    TPLAN_MULTIPLY,
    TPLAN_SELECT_LAST,
    TPLAN_SCALE,
    TPLAN_COPY_COLUMNS, /* out[:, at ..] = in[:, from ..], count columns */
    TPLAN_ROUTER,
    TPLAN_EXPERTS,
    TPLAN_CONVERT,  /* in {x} fp32 -> out {x} of another type */
    TPLAN_ADD_BIAS, /* out += weight {bias} on every row */
    TPLAN_LARGEST,  /* in {logits, or pairs} -> out {(value, index) pairs} fp32, as many as fit */
    TPLAN_SUM,      /* out = sum of sources[0..n) in this order, elements [begin, end) */
    TPLAN_OPS
};

/* One launch. Those fields count that the kind needs; the rest is zero. */
struct tplan_op {
    int kind;
    struct tplan_matrix in[3], out[3], weight[4];
    int inputs, outputs, weights;

    const int32_t* ids; /* embedding: [rows] */
    int64_t first_row;  /* embedding: id of the table's first row; experts: number of the first */
    double factor, softcap;

    int layer_norm, unit_offset, weight_per_group; /* norm */
    int64_t group;
    double eps;

    int64_t head_dim, rotary_first, pairs; /* rope: of each head, pairs from column rotary_first */
    int interleaved;

    int64_t query_tokens, first_position;
    int64_t rows_before; /* position_embedding: tokens in front of row 0, which other ranks have */
    int packing;         /* unpack_qkv: as QkvPacking */

    struct tplan_matrix keys, values; /* attention: [batch * kv_heads * tokens, dim] */
    int64_t batch, tokens, v_head_dim, heads, kv_heads, window, latent_key;
    double scale;
    const int32_t* kv_of_head; /* attention: [heads], on the device */

    int activation; /* as ActivationKind */
    int halves;

    int score, normalise, groups, top_groups, group_score, correction; /* router: as RoutingSpec */
    int64_t top_k;
    double routing_scale;

    int64_t from_column, to_column, columns; /* copy_columns */

    const int64_t* pieces;    /* largest, of logits: [count] (offset, extent) of the columns, on the
                                 device */
    int of_pairs;             /* largest: in is (value, index) pairs */
    float no_value, no_index; /* largest: what stands for a candidate that is not there */

    const void* const* sources; /* sum: [count] host array of device pointers */
    int count;                  /* sum, largest */
    int64_t begin, end;

    void* workspace; /* workspace_bytes() of it */
};

/* One all-reduce over memory that all ranks' devices read: each copies its input to its own area,
 * waits for the others, and reads theirs. Sums are made in fp32 in the order of the ranks, so that
 * all hold bitwise the same. A launch works for ranks [first, first + joined) of `ranks`: for one
 * where every rank has a device, for all where they share one. The others' launches are put on
 * their streams elsewhere; all ranks make the same calls in the same order. */
struct tplan_peer_sum {
    int ranks, first, joined;
    void* areas[TPLAN_PEER_RANKS]; /* peer_area_bytes() each, zeroed before the first call */
    size_t capacity;               /* bytes of a message that the areas were made for */
    const uint32_t* abort;         /* of allocate_host(); above 0 ends the waiting, sums are void */
    const void* in[TPLAN_PEER_RANKS]; /* of the joined; [count] */
    void* out[TPLAN_PEER_RANKS];      /* likewise; may be in */
    int64_t count;
    int dtype;
    int two_shot; /* each rank sums a part and reads the others': else each reads and sums all */
};

/* NCCL, found at run time, as tplan's communicator calls it. Results: 0 ok, 1 in progress, else an
 * error that text() puts in words. Streams are contexts of the same plugin. */
struct tplan_nccl_v1 {
    int version; /* 22809 */
    const char* (*text)(int result);
    int (*unique_id)(char id[128]);
    int (*init)(void** group, int size, const char id[128], int rank,
                void* context); /* does not wait */
    int (*state)(void* group);  /* of the last call and of everything under way */
    int (*all_reduce)(void* group, void* context, const void* in, void* out, size_t count,
                      int dtype);
    int (*all_gather)(void* group, void* context, const void* in, void* out, size_t count,
                      int dtype);
    int (*reduce_scatter)(void* group, void* context, const void* in, void* out, size_t count,
                          int dtype);
    void (*abort)(void* group);
    void (*destroy)(void* group);
};

struct tplan_cuda_v1 {
    int abi;                   /* TPLAN_CUDA_ABI */
    const char* architectures; /* "80 86 89 90 100 120" */

    void (*parts)(struct tplan_cuda_parts* out);
    const char* (*device)(int index, struct tplan_cuda_device* out);

    /* One context per rank: a device and a stream. */
    const char* (*open)(int device, void** context);
    void (*close)(void* context);
    const char* (*memory)(void* context, size_t* free, size_t* total);
    const char* (*allocate)(void* context, size_t bytes, void** out); /* zeroed */
    void (*release)(void* context, void* memory);
    const char* (*peer_access)(void* context, int device); /* to that device's memory */

    /* Zeroed memory of the host that devices see at the same address. */
    const char* (*allocate_host)(void* context, size_t bytes, void** out);
    void (*release_host)(void* context, void* memory);
    /* Memory of allocate() for another process of this host: what names it, and what it is there.
     */
    const char* (*export_memory)(void* context, void* memory, char handle[TPLAN_PEER_HANDLE]);
    const char* (*import_memory)(void* context, const char handle[TPLAN_PEER_HANDLE], void** out);
    void (*drop_import)(void* context, void* memory);

    const char* (*upload)(void* context, const struct tplan_matrix* to, const float* from);
    const char* (*download)(void* context, float* to, const struct tplan_matrix* from);
    const char* (*copy_to_device)(void* context, void* to, const void* from, size_t bytes);

    /* On the stream of the first context, whose memory `to` is; `from` is the other's. */
    const char* (*copy_peer)(void* context, void* to, void* other, const void* from, size_t bytes);

    /* y = x w^T + bias; x, w and y of one 16-bit type or all fp32, bias of y's type or no data. The
     * first call of a shape times the library's candidates; `plan` keeps the best. */
    const char* (*plan_linear)(void* context, const struct tplan_matrix* x,
                               const struct tplan_matrix* w, const struct tplan_matrix* y,
                               const struct tplan_matrix* bias, void** plan);
    const char* (*linear)(void* context, void* plan);
    void (*drop_linear)(void* plan);

    size_t (*workspace_bytes)(const struct tplan_op* op);
    const char* (*launch)(void* context, const struct tplan_op* op);

    size_t (*peer_area_bytes)(size_t capacity); /* capacity: a multiple of 16 */
    const char* (*peer_sum)(void* context, const struct tplan_peer_sum* sum);

    /* Between the two, launches are recorded instead of run (events and waiting are errors). What
     * was recorded runs as a whole by run_graph(), as often as asked; drop_graph() forgets it. */
    const char* (*begin_graph)(void* context);
    const char* (*end_graph)(void* context, void** graph);
    const char* (*run_graph)(void* context, void* graph);
    void (*drop_graph)(void* graph);

    const char* (*record)(void* context, int64_t* event);
    const char* (*elapsed)(void* context, int64_t from, int64_t to,
                           double* seconds); /* both done */
    void (*forget_events)(void* context);
    int (*busy)(void* context, const char** error); /* 1 work is under way, 0 none, -1 error */
    const char* (*synchronise)(void* context);

    /* Null and the reason when no NCCL can be loaded. `path` null: TPLAN_NCCL, then libnccl.so.2.
     */
    const struct tplan_nccl_v1* (*nccl)(const char* path, const char** error);
};

#ifdef __cplusplus
}
#endif
