#pragma once
#include <cublasLt.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <string>
#include <vector>

#include "executor/cuda_plugin.h"

/// What the plugin's files share.

namespace tplan::cuda {

/// One rank's device and stream.
struct Context {
    int device = 0;
    cudaStream_t stream = nullptr;
    cublasLtHandle_t blas = nullptr;
    void* blas_workspace = nullptr;
    std::vector<cudaEvent_t> events;
    std::size_t events_used = 0;
};

// What cuBLASLt may use beside the operands: the size its heuristics are tuned for on Hopper.
constexpr std::size_t kBlasWorkspace = std::size_t{32} << 20;

inline Context& context_of(void* pointer) {
    return *static_cast<Context*>(pointer);
}

/// Keeps the words of an error until the next one on this thread.
const char* failed(const std::string& text);

/// Null for success.
const char* checked(cudaError_t result, const char* doing);

#define TPLAN_CUDA_CHECK(call)                                                         \
    do {                                                                               \
        if (const char* wrong_ = ::tplan::cuda::checked((call), #call)) return wrong_; \
    } while (false)

/// Calls f with a value of the C++ type of a tplan_dtype (fp32, fp16, bf16); false for others.
template <class F>
bool with_type(int dtype, const F& f) {
    switch (dtype) {
        case TPLAN_FP32:
            f(float{});
            return true;
        case TPLAN_FP16:
            f(__half{});
            return true;
        case TPLAN_BF16:
            f(__nv_bfloat16{});
            return true;
        default:
            return false;
    }
}

template <class T>
__host__ __device__ inline float to_float(T value) {
    return static_cast<float>(value);
}
template <class T>
__host__ __device__ inline T from_float(float value) {
    return static_cast<T>(value);
}

constexpr std::size_t bytes_of_dtype(int dtype) {
    return dtype == TPLAN_FP32 ? 4 : dtype == TPLAN_FP8 ? 1 : 2;
}

// Each returns null or what went wrong.
const char* launch_rows(Context& context, const tplan_op& op);             // kernels.cu
const char* launch_attention(Context& context, const tplan_op& op);        // attention.cu
const char* launch_experts(Context& context, const tplan_op& op);          // experts.cu
const char* launch_peer_sum(Context& context, const tplan_peer_sum& sum);  // peer_sum.cu
std::size_t peer_area_bytes(std::size_t capacity);
const char* launch_largest(Context& context, const tplan_op& op);  // largest.cu
std::size_t attention_workspace(const tplan_op& op);
std::size_t experts_workspace(const tplan_op& op);

const char* plan_linear(void* context, const tplan_matrix* x, const tplan_matrix* w,
                        const tplan_matrix* y, const tplan_matrix* bias, void** plan);
const char* run_linear(void* context, void* plan);
void drop_linear(void* plan);

const tplan_nccl_v1* load_nccl(const char* path, const char** error);
/// "NCCL 2.28.9 from libnccl.so.2", or why there is none.
std::string nccl_in_words();

}  // namespace tplan::cuda
