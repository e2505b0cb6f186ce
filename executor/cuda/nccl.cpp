// NCCL through a table filled at run time: a machine without it still runs one GPU, and another
// version can be picked. Types come from its header, functions from the library that is found.
#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "executor/cuda/context.h"

#ifdef TPLAN_NCCL_HEADER
#include <nccl.h>
#endif

namespace tplan::cuda {

#ifdef TPLAN_NCCL_HEADER
namespace {

constexpr int kOldest = 21800;  // non-blocking initialisation with a configuration

struct Library {
    void* handle = nullptr;
    std::string name;
    int version = 0;
    decltype(&ncclGetVersion) get_version = nullptr;
    decltype(&ncclGetErrorString) text = nullptr;
    decltype(&ncclGetUniqueId) unique_id = nullptr;
    decltype(&ncclCommInitRankConfig) init = nullptr;
    decltype(&ncclCommGetAsyncError) state = nullptr;
    decltype(&ncclAllReduce) all_reduce = nullptr;
    decltype(&ncclAllGather) all_gather = nullptr;
    decltype(&ncclReduceScatter) reduce_scatter = nullptr;
    decltype(&ncclCommAbort) abort = nullptr;
    decltype(&ncclCommDestroy) destroy = nullptr;
};

Library& library() {
    static Library instance;
    return instance;
}

template <class F>
bool find(F& function, const char* name) {
    function = reinterpret_cast<F>(::dlsym(library().handle, name));
    return function != nullptr;
}

bool find_all() {
    auto& l = library();
    return find(l.get_version, "ncclGetVersion") && find(l.text, "ncclGetErrorString") &&
           find(l.unique_id, "ncclGetUniqueId") && find(l.init, "ncclCommInitRankConfig") &&
           find(l.state, "ncclCommGetAsyncError") && find(l.all_reduce, "ncclAllReduce") &&
           find(l.all_gather, "ncclAllGather") && find(l.reduce_scatter, "ncclReduceScatter") &&
           find(l.abort, "ncclCommAbort") && find(l.destroy, "ncclCommDestroy");
}

/// Empty when the library is loaded and new enough.
std::string load(const char* path) {
    auto& l = library();
    if (l.version > 0) return {};
    const char* chosen = path != nullptr ? path : std::getenv("TPLAN_NCCL");
    l.name = chosen != nullptr ? chosen : "libnccl.so.2";
    l.handle = ::dlopen(l.name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (l.handle == nullptr) return ::dlerror();
    if (!find_all()) return l.name + " lacks functions of NCCL 2.18";
    int version = 0;
    if (l.get_version(&version) != ncclSuccess) return l.name + " does not tell its version";
    if (version < kOldest) return l.name + " is older than NCCL 2.18";
    l.version = version;
    return {};
}

/// As the table's results: 0 ok, 1 in progress.
int result_of(ncclResult_t result) {
    if (result == ncclSuccess) return 0;
    return result == ncclInProgress ? 1 : 2 + static_cast<int>(result);
}

const char* text(int result) {
    if (result == 0) return "ok";
    if (result == 1) return "in progress";
    return library().text(static_cast<ncclResult_t>(result - 2));
}

ncclDataType_t type_of(int dtype) {
    return dtype == TPLAN_FP16 ? ncclFloat16 : dtype == TPLAN_BF16 ? ncclBfloat16 : ncclFloat32;
}

ncclComm_t group_of(void* group) {
    return static_cast<ncclComm_t>(group);
}

int unique_id(char id[128]) {
    static_assert(sizeof(ncclUniqueId) == 128);
    return result_of(library().unique_id(reinterpret_cast<ncclUniqueId*>(id)));
}

int init(void** group, int size, const char id[128], int rank, void* context) {
    if (cudaSetDevice(context_of(context).device) != cudaSuccess) return 2 + ncclUnhandledCudaError;
    ncclUniqueId unique;
    std::copy(id, id + sizeof unique, reinterpret_cast<char*>(&unique));
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    return result_of(
        library().init(reinterpret_cast<ncclComm_t*>(group), size, unique, rank, &config));
}

int state(void* group) {
    ncclResult_t now = ncclSuccess;
    const auto result = library().state(group_of(group), &now);
    return result_of(result == ncclSuccess ? now : result);
}

int all_reduce(void* group, void* context, const void* in, void* out, std::size_t count,
               int dtype) {
    return result_of(library().all_reduce(in, out, count, type_of(dtype), ncclSum, group_of(group),
                                          context_of(context).stream));
}

int all_gather(void* group, void* context, const void* in, void* out, std::size_t count,
               int dtype) {
    return result_of(library().all_gather(in, out, count, type_of(dtype), group_of(group),
                                          context_of(context).stream));
}

int reduce_scatter(void* group, void* context, const void* in, void* out, std::size_t count,
                   int dtype) {
    return result_of(library().reduce_scatter(in, out, count, type_of(dtype), ncclSum,
                                              group_of(group), context_of(context).stream));
}

void abort(void* group) {
    library().abort(group_of(group));
}
void destroy(void* group) {
    library().destroy(group_of(group));
}

}  // namespace

const tplan_nccl_v1* load_nccl(const char* path, const char** error) {
    const auto wrong = load(path);
    if (!wrong.empty()) {
        *error = failed(wrong);
        return nullptr;
    }
    static const tplan_nccl_v1 kTable = {
        library().version, text,       unique_id,      init,  state,
        all_reduce,        all_gather, reduce_scatter, abort, destroy};
    return &kTable;
}

std::string nccl_in_words() {
    const auto wrong = load(nullptr);
    if (!wrong.empty()) return wrong;
    const int v = library().version;
    return "NCCL " + std::to_string(v / 10000) + "." + std::to_string(v / 100 % 100) + "." +
           std::to_string(v % 100) + " from " + library().name;
}

#else

const tplan_nccl_v1* load_nccl(const char*, const char** error) {
    *error = failed("this plugin was built without nccl.h");
    return nullptr;
}
std::string nccl_in_words() {
    return "none: this plugin was built without nccl.h";
}

#endif

}  // namespace tplan::cuda
