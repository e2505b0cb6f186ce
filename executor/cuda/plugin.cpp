// The table of libtplan_cuda.so: contexts, memory, events. What computes is in the other
// files.
#include "executor/cuda_plugin.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#include "executor/cuda/context.h"

namespace tplan::cuda {

const char* failed(const std::string& text) {
    thread_local std::string kept;
    kept = text;
    return kept.c_str();
}

const char* checked(cudaError_t result, const char* doing) {
    if (result == cudaSuccess) return nullptr;
    return failed(std::string(doing) + ": " + cudaGetErrorString(result));
}

namespace {

void put(char* to, const std::string& text) {
    std::snprintf(to, TPLAN_CUDA_TEXT, "%s", text.c_str());
}

std::string version_text(int version) {
    return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

void parts(tplan_cuda_parts* out) {
    *out = {};
    int driver = 0, runtime = 0;
    cudaRuntimeGetVersion(&runtime);
    put(out->runtime, "CUDA runtime " + version_text(runtime));
    const auto blas = static_cast<int>(cublasLtGetVersion());
    put(out->cublaslt, "cuBLASLt " + std::to_string(blas / 10000) + "." +
                           std::to_string(blas / 100 % 100) + "." + std::to_string(blas % 100));
    put(out->nccl, nccl_in_words());
    cudaDriverGetVersion(&driver);
    put(out->driver, driver == 0 ? "no driver (libcuda.so.1 was not found)"
                                 : "driver for CUDA " + version_text(driver));
    const auto result = cudaGetDeviceCount(&out->devices);
    if (result != cudaSuccess) {
        out->devices = 0;
        put(out->reason, driver == 0 ? "no driver" : cudaGetErrorString(result));
        cudaGetLastError();
    } else if (out->devices == 0) {
        put(out->reason, "no device");
    }
}

const char* device(int index, tplan_cuda_device* out) {
    *out = {};
    cudaDeviceProp facts{};
    TPLAN_CUDA_CHECK(cudaGetDeviceProperties(&facts, index));
    put(out->name, facts.name);
    for (int i = 0; i < 16; ++i)
        std::snprintf(out->uuid + 2 * i, 3, "%02x",
                      static_cast<unsigned char>(facts.uuid.bytes[i]));
    TPLAN_CUDA_CHECK(cudaDeviceGetPCIBusId(out->pci, sizeof out->pci, index));
    out->major = facts.major;
    out->minor = facts.minor;
    out->multiprocessors = facts.multiProcessorCount;
    out->memory = facts.totalGlobalMem;
    out->l2_cache = static_cast<std::size_t>(facts.l2CacheSize);
    int count = 0;
    TPLAN_CUDA_CHECK(cudaGetDeviceCount(&count));
    for (int peer = 0; peer < std::min(count, 64); ++peer) {
        if (peer != index) cudaDeviceCanAccessPeer(&out->can_access[peer], index, peer);
    }
    return nullptr;
}

void close(void* pointer) {
    auto* const context = static_cast<Context*>(pointer);
    cudaSetDevice(context->device);
    for (auto* event : context->events) cudaEventDestroy(event);
    if (context->blas_workspace != nullptr) cudaFree(context->blas_workspace);
    if (context->blas != nullptr) cublasLtDestroy(context->blas);
    if (context->stream != nullptr) cudaStreamDestroy(context->stream);
    delete context;
}

const char* fill(Context& context) {
    TPLAN_CUDA_CHECK(cudaSetDevice(context.device));
    TPLAN_CUDA_CHECK(cudaStreamCreateWithFlags(&context.stream, cudaStreamNonBlocking));
    if (const auto result = cublasLtCreate(&context.blas); result != CUBLAS_STATUS_SUCCESS)
        return failed(std::string("cublasLtCreate: ") + cublasLtGetStatusString(result));
    TPLAN_CUDA_CHECK(cudaMalloc(&context.blas_workspace, kBlasWorkspace));
    return nullptr;
}

const char* open(int index, void** out) {
    auto* const context = new Context;
    context->device = index;
    if (const char* wrong = fill(*context)) {
        close(context);
        return wrong;
    }
    *out = context;
    return nullptr;
}

const char* memory(void* context, std::size_t* free, std::size_t* total) {
    TPLAN_CUDA_CHECK(cudaSetDevice(context_of(context).device));
    TPLAN_CUDA_CHECK(cudaMemGetInfo(free, total));
    return nullptr;
}

const char* allocate(void* context, std::size_t bytes, void** out) {
    TPLAN_CUDA_CHECK(cudaSetDevice(context_of(context).device));
    TPLAN_CUDA_CHECK(cudaMalloc(out, std::max<std::size_t>(bytes, 1)));
    TPLAN_CUDA_CHECK(cudaMemsetAsync(*out, 0, bytes, context_of(context).stream));
    return nullptr;
}

void release(void* context, void* memory) {
    cudaSetDevice(context_of(context).device);
    cudaStreamSynchronize(context_of(context).stream);
    cudaFree(memory);
}

const char* peer_access(void* context, int device) {
    TPLAN_CUDA_CHECK(cudaSetDevice(context_of(context).device));
    const auto result = cudaDeviceEnablePeerAccess(device, 0);
    if (result == cudaErrorPeerAccessAlreadyEnabled) {
        cudaGetLastError();
        return nullptr;
    }
    return checked(result, "cudaDeviceEnablePeerAccess");
}

const char* allocate_host(void* context, std::size_t bytes, void** out) {
    TPLAN_CUDA_CHECK(cudaSetDevice(context_of(context).device));
    TPLAN_CUDA_CHECK(cudaHostAlloc(out, bytes, cudaHostAllocPortable | cudaHostAllocMapped));
    std::memset(*out, 0, bytes);
    return nullptr;
}

void release_host(void* context, void* memory) {
    cudaSetDevice(context_of(context).device);
    cudaFreeHost(memory);
}

const char* export_memory(void* context, void* memory, char handle[TPLAN_PEER_HANDLE]) {
    static_assert(sizeof(cudaIpcMemHandle_t) == TPLAN_PEER_HANDLE);
    TPLAN_CUDA_CHECK(cudaSetDevice(context_of(context).device));
    cudaIpcMemHandle_t name{};
    TPLAN_CUDA_CHECK(cudaIpcGetMemHandle(&name, memory));
    std::memcpy(handle, &name, sizeof name);
    return nullptr;
}

const char* import_memory(void* context, const char handle[TPLAN_PEER_HANDLE], void** out) {
    TPLAN_CUDA_CHECK(cudaSetDevice(context_of(context).device));
    cudaIpcMemHandle_t name{};
    std::memcpy(&name, handle, sizeof name);
    TPLAN_CUDA_CHECK(cudaIpcOpenMemHandle(out, name, cudaIpcMemLazyEnablePeerAccess));
    return nullptr;
}

void drop_import(void* context, void* memory) {
    cudaSetDevice(context_of(context).device);
    cudaStreamSynchronize(context_of(context).stream);
    cudaIpcCloseMemHandle(memory);
}

const char* upload(void* pointer, const tplan_matrix* to, const float* from) {
    auto& context = context_of(pointer);
    const auto rows = static_cast<std::size_t>(to->rows);
    const auto columns = static_cast<std::size_t>(to->columns);
    if (rows == 0 || columns == 0) return nullptr;
    TPLAN_CUDA_CHECK(cudaSetDevice(context.device));
    const char* wrong = nullptr;
    const bool known = with_type(to->dtype, [&](auto type) {
        using T = decltype(type);
        std::vector<T> converted(rows * columns);
        for (std::size_t i = 0; i < converted.size(); ++i) converted[i] = from_float<T>(from[i]);
        wrong =
            checked(cudaMemcpy2DAsync(to->data, static_cast<std::size_t>(to->stride) * sizeof(T),
                                      converted.data(), columns * sizeof(T), columns * sizeof(T),
                                      rows, cudaMemcpyHostToDevice, context.stream),
                    "copy to the device");
        if (wrong == nullptr)
            wrong = checked(cudaStreamSynchronize(context.stream), "copy to the device");
    });
    return known ? wrong : failed("only fp32, fp16 and bf16 are copied");
}

const char* download(void* pointer, float* to, const tplan_matrix* from) {
    auto& context = context_of(pointer);
    const auto rows = static_cast<std::size_t>(from->rows);
    const auto columns = static_cast<std::size_t>(from->columns);
    if (rows == 0 || columns == 0) return nullptr;
    TPLAN_CUDA_CHECK(cudaSetDevice(context.device));
    const char* wrong = nullptr;
    const bool known = with_type(from->dtype, [&](auto type) {
        using T = decltype(type);
        std::vector<T> raw(rows * columns);
        wrong = checked(
            cudaMemcpy2DAsync(raw.data(), columns * sizeof(T), from->data,
                              static_cast<std::size_t>(from->stride) * sizeof(T),
                              columns * sizeof(T), rows, cudaMemcpyDeviceToHost, context.stream),
            "copy from the device");
        if (wrong == nullptr)
            wrong = checked(cudaStreamSynchronize(context.stream), "copy from the device");
        for (std::size_t i = 0; i < raw.size(); ++i) to[i] = to_float(raw[i]);
    });
    return known ? wrong : failed("only fp32, fp16 and bf16 are copied");
}

const char* copy_to_device(void* pointer, void* to, const void* from, std::size_t bytes) {
    auto& context = context_of(pointer);
    TPLAN_CUDA_CHECK(cudaSetDevice(context.device));
    TPLAN_CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, context.stream));
    TPLAN_CUDA_CHECK(cudaStreamSynchronize(context.stream));
    return nullptr;
}

const char* copy_peer(void* pointer, void* to, void* other, const void* from, std::size_t bytes) {
    auto& context = context_of(pointer);
    TPLAN_CUDA_CHECK(cudaSetDevice(context.device));
    TPLAN_CUDA_CHECK(cudaMemcpyPeerAsync(to, context.device, from, context_of(other).device, bytes,
                                         context.stream));
    return nullptr;
}

std::size_t workspace_bytes(const tplan_op* op) {
    if (op->kind == TPLAN_ATTENTION) return attention_workspace(*op);
    if (op->kind == TPLAN_EXPERTS) return experts_workspace(*op);
    return 0;
}

const char* launch(void* context, const tplan_op* op) {
    switch (op->kind) {
        case TPLAN_ATTENTION:
            return launch_attention(context_of(context), *op);
        case TPLAN_ROUTER:
        case TPLAN_EXPERTS:
            return launch_experts(context_of(context), *op);
        case TPLAN_LARGEST:
            return launch_largest(context_of(context), *op);
        default:
            return launch_rows(context_of(context), *op);
    }
}

const char* peer_sum(void* context, const tplan_peer_sum* sum) {
    TPLAN_CUDA_CHECK(cudaSetDevice(context_of(context).device));
    return launch_peer_sum(context_of(context), *sum);
}

// Only what this thread does is recorded: ranks of one process record side by side.
const char* begin_graph(void* context) {
    TPLAN_CUDA_CHECK(
        cudaStreamBeginCapture(context_of(context).stream, cudaStreamCaptureModeThreadLocal));
    return nullptr;
}

const char* end_graph(void* context, void** graph) {
    cudaGraph_t recorded = nullptr;
    TPLAN_CUDA_CHECK(cudaStreamEndCapture(context_of(context).stream, &recorded));
    cudaGraphExec_t runnable = nullptr;
    const char* const wrong =
        checked(cudaGraphInstantiateWithFlags(&runnable, recorded, 0), "making the CUDA graph");
    cudaGraphDestroy(recorded);
    *graph = runnable;
    return wrong;
}

const char* run_graph(void* context, void* graph) {
    TPLAN_CUDA_CHECK(
        cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), context_of(context).stream));
    return nullptr;
}

void drop_graph(void* graph) {
    cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph));
}

const char* record(void* pointer, std::int64_t* event) {
    auto& context = context_of(pointer);
    if (context.events_used == context.events.size()) {
        cudaEvent_t fresh = nullptr;
        TPLAN_CUDA_CHECK(cudaEventCreate(&fresh));
        context.events.push_back(fresh);
    }
    *event = static_cast<std::int64_t>(context.events_used++);
    TPLAN_CUDA_CHECK(
        cudaEventRecord(context.events[static_cast<std::size_t>(*event)], context.stream));
    return nullptr;
}

const char* elapsed(void* pointer, std::int64_t from, std::int64_t to, double* seconds) {
    auto& context = context_of(pointer);
    float milliseconds = 0;
    TPLAN_CUDA_CHECK(cudaEventElapsedTime(&milliseconds,
                                          context.events[static_cast<std::size_t>(from)],
                                          context.events[static_cast<std::size_t>(to)]));
    *seconds = static_cast<double>(milliseconds) * 1e-3;
    return nullptr;
}

void forget_events(void* context) {
    context_of(context).events_used = 0;
}

int busy(void* context, const char** error) {
    const auto result = cudaStreamQuery(context_of(context).stream);
    if (result == cudaSuccess) return 0;
    if (result == cudaErrorNotReady) {
        cudaGetLastError();
        return 1;
    }
    *error = checked(result, "work on the device");
    return -1;
}

const char* synchronise(void* context) {
    return checked(cudaStreamSynchronize(context_of(context).stream), "work on the device");
}

const tplan_cuda_v1 kTable = {
    .abi = TPLAN_CUDA_ABI,
    .architectures = TPLAN_CUDA_ARCHITECTURES,
    .parts = parts,
    .device = device,
    .open = open,
    .close = close,
    .memory = memory,
    .allocate = allocate,
    .release = release,
    .peer_access = peer_access,
    .allocate_host = allocate_host,
    .release_host = release_host,
    .export_memory = export_memory,
    .import_memory = import_memory,
    .drop_import = drop_import,
    .upload = upload,
    .download = download,
    .copy_to_device = copy_to_device,
    .copy_peer = copy_peer,
    .plan_linear = plan_linear,
    .linear = run_linear,
    .drop_linear = drop_linear,
    .workspace_bytes = workspace_bytes,
    .launch = launch,
    .peer_area_bytes = peer_area_bytes,
    .peer_sum = peer_sum,
    .begin_graph = begin_graph,
    .end_graph = end_graph,
    .run_graph = run_graph,
    .drop_graph = drop_graph,
    .record = record,
    .elapsed = elapsed,
    .forget_events = forget_events,
    .busy = busy,
    .synchronise = synchronise,
    .nccl = load_nccl,
};

}  // namespace
}  // namespace tplan::cuda

extern "C" const void* tplan_cuda_plugin() {
    return &tplan::cuda::kTable;
}
