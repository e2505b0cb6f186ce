// Matrix products by cuBLASLt. Its matrices are column by column: a row-major y [m, n] is its Y [n,
// m], so that y = x w^T becomes Y = W X with W the transpose of what lies in memory.
#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <tuple>

#include "executor/cuda/context.h"

namespace tplan::cuda {
namespace {

constexpr int kCandidates = 8;
constexpr int kTimedRuns = 3;

const char* checked(cublasStatus_t result, const char* doing) {
    if (result == CUBLAS_STATUS_SUCCESS) return nullptr;
    return failed(std::string(doing) + ": " + cublasLtGetStatusString(result));
}

#define TPLAN_BLAS_CHECK(call)                                          \
    do {                                                                \
        if (const char* wrong_ = checked((call), #call)) return wrong_; \
    } while (false)

cudaDataType_t type_of(int dtype) {
    return dtype == TPLAN_FP16 ? CUDA_R_16F : dtype == TPLAN_BF16 ? CUDA_R_16BF : CUDA_R_32F;
}

/// One bound product with its descriptions.
struct Plan {
    cublasLtMatmulDesc_t desc = nullptr;
    cublasLtMatrixLayout_t w = nullptr, x = nullptr, y = nullptr;
    const void *w_data = nullptr, *x_data = nullptr;
    void* y_data = nullptr;
    cublasLtMatmulAlgo_t algorithm{};
    bool empty = false;  // nothing to multiply: y becomes the bias or zero
    tplan_matrix y_matrix{};
    const void* bias = nullptr;

    ~Plan() {
        if (desc != nullptr) cublasLtMatmulDescDestroy(desc);
        for (auto* layout : {w, x, y}) {
            if (layout != nullptr) cublasLtMatrixLayoutDestroy(layout);
        }
    }
};

/// What decides which algorithm is best. Found once per process and device.
using Shape = std::tuple<int, std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t,
                         std::int64_t, int, int, bool>;
std::map<Shape, cublasLtMatmulAlgo_t>& best_algorithms() {
    static std::map<Shape, cublasLtMatmulAlgo_t> best;
    return best;
}
std::mutex& best_mutex() {
    static std::mutex mutex;
    return mutex;
}

const char* describe(Plan& plan, const tplan_matrix& x, const tplan_matrix& w,
                     const tplan_matrix& y, const tplan_matrix& bias) {
    const auto transposed = CUBLAS_OP_T;
    const auto u = [](std::int64_t n) { return static_cast<std::uint64_t>(n); };
    TPLAN_BLAS_CHECK(cublasLtMatmulDescCreate(&plan.desc, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    TPLAN_BLAS_CHECK(cublasLtMatmulDescSetAttribute(plan.desc, CUBLASLT_MATMUL_DESC_TRANSA,
                                                    &transposed, sizeof transposed));
    if (bias.data != nullptr) {
        const auto epilogue = CUBLASLT_EPILOGUE_BIAS;
        const auto type = type_of(bias.dtype);
        TPLAN_BLAS_CHECK(cublasLtMatmulDescSetAttribute(plan.desc, CUBLASLT_MATMUL_DESC_EPILOGUE,
                                                        &epilogue, sizeof epilogue));
        TPLAN_BLAS_CHECK(cublasLtMatmulDescSetAttribute(
            plan.desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias.data, sizeof bias.data));
        TPLAN_BLAS_CHECK(cublasLtMatmulDescSetAttribute(
            plan.desc, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &type, sizeof type));
    }
    TPLAN_BLAS_CHECK(
        cublasLtMatrixLayoutCreate(&plan.w, type_of(w.dtype), u(w.columns), u(w.rows), w.stride));
    TPLAN_BLAS_CHECK(
        cublasLtMatrixLayoutCreate(&plan.x, type_of(x.dtype), u(x.columns), u(x.rows), x.stride));
    TPLAN_BLAS_CHECK(
        cublasLtMatrixLayoutCreate(&plan.y, type_of(y.dtype), u(y.columns), u(y.rows), y.stride));
    return nullptr;
}

const char* multiply(Context& context, const Plan& plan, const cublasLtMatmulAlgo_t& algorithm) {
    const float one = 1, zero = 0;
    TPLAN_BLAS_CHECK(cublasLtMatmul(context.blas, plan.desc, &one, plan.w_data, plan.w, plan.x_data,
                                    plan.x, &zero, plan.y_data, plan.y, plan.y_data, plan.y,
                                    &algorithm, context.blas_workspace, kBlasWorkspace,
                                    context.stream));
    return nullptr;
}

/// Milliseconds of a candidate, the best of some runs; below zero when it does not run.
float time_of(Context& context, const Plan& plan, const cublasLtMatmulAlgo_t& algorithm) {
    cudaEvent_t begin = nullptr, end = nullptr;
    cudaEventCreate(&begin);
    cudaEventCreate(&end);
    float best = -1;
    if (multiply(context, plan, algorithm) == nullptr) {  // warms up
        for (int run = 0; run < kTimedRuns; ++run) {
            cudaEventRecord(begin, context.stream);
            if (multiply(context, plan, algorithm) != nullptr) break;
            cudaEventRecord(end, context.stream);
            float now = 0;
            if (cudaEventSynchronize(end) != cudaSuccess ||
                cudaEventElapsedTime(&now, begin, end) != cudaSuccess)
                break;
            if (best < 0 || now < best) best = now;
        }
    }
    cudaEventDestroy(begin);
    cudaEventDestroy(end);
    return best;
}

const char* choose(Context& context, Plan& plan) {
    cublasLtMatmulPreference_t wish = nullptr;
    TPLAN_BLAS_CHECK(cublasLtMatmulPreferenceCreate(&wish));
    const std::size_t workspace = kBlasWorkspace;
    cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                                         sizeof workspace);
    std::array<cublasLtMatmulHeuristicResult_t, kCandidates> candidates{};
    int found = 0;
    const auto result =
        cublasLtMatmulAlgoGetHeuristic(context.blas, plan.desc, plan.w, plan.x, plan.y, plan.y,
                                       wish, kCandidates, candidates.data(), &found);
    cublasLtMatmulPreferenceDestroy(wish);
    if (const char* wrong = checked(result, "cublasLtMatmulAlgoGetHeuristic")) return wrong;
    float best = -1;
    for (int i = 0; i < found; ++i) {
        const auto& algorithm = candidates[static_cast<std::size_t>(i)].algo;
        const float time = time_of(context, plan, algorithm);
        if (time < 0 || (best >= 0 && time >= best)) continue;
        best = time;
        plan.algorithm = algorithm;
    }
    return best < 0 ? failed("cuBLASLt has no algorithm for this product") : nullptr;
}

}  // namespace

const char* plan_linear(void* pointer, const tplan_matrix* x, const tplan_matrix* w,
                        const tplan_matrix* y, const tplan_matrix* bias, void** out) {
    auto& context = context_of(pointer);
    TPLAN_CUDA_CHECK(cudaSetDevice(context.device));
    if (x->dtype != w->dtype || x->dtype > TPLAN_BF16)
        return failed("products take fp32, fp16 or bf16 on both sides");
    auto plan = std::make_unique<Plan>();
    plan->y_matrix = *y;
    plan->bias = bias->data;
    plan->w_data = w->data;
    plan->x_data = x->data;
    plan->y_data = y->data;
    plan->empty = w->columns == 0 || y->columns == 0 || y->rows == 0;
    if (!plan->empty) {
        if (const char* wrong = describe(*plan, *x, *w, *y, *bias)) return wrong;
        const Shape shape{context.device,
                          x->rows,
                          w->rows,
                          w->columns,
                          x->stride,
                          w->stride,
                          y->stride,
                          x->dtype,
                          static_cast<int>(y->dtype),
                          bias->data != nullptr};
        const std::lock_guard lock(best_mutex());
        const auto known = best_algorithms().find(shape);
        if (known != best_algorithms().end()) {
            plan->algorithm = known->second;
        } else {
            if (const char* wrong = choose(context, *plan)) return wrong;
            best_algorithms().emplace(shape, plan->algorithm);
        }
    }
    *out = plan.release();
    return nullptr;
}

const char* run_linear(void* pointer, void* plan_pointer) {
    auto& context = context_of(pointer);
    const auto& plan = *static_cast<const Plan*>(plan_pointer);
    if (!plan.empty) return multiply(context, plan, plan.algorithm);
    const auto& y = plan.y_matrix;
    if (y.rows == 0 || y.columns == 0) return nullptr;
    const auto element = bytes_of_dtype(y.dtype);
    const auto width = static_cast<std::size_t>(y.columns) * element;
    const auto pitch = static_cast<std::size_t>(y.stride) * element;
    TPLAN_CUDA_CHECK(cudaMemset2DAsync(y.data, pitch, 0, width, static_cast<std::size_t>(y.rows),
                                       context.stream));
    for (std::int64_t r = 0; plan.bias != nullptr && r < y.rows; ++r) {
        TPLAN_CUDA_CHECK(
            cudaMemcpyAsync(static_cast<char*>(y.data) + static_cast<std::size_t>(r) * pitch,
                            plan.bias, width, cudaMemcpyDeviceToDevice, context.stream));
    }
    return nullptr;
}

void drop_linear(void* plan) {
    delete static_cast<Plan*>(plan);
}

}  // namespace tplan::cuda
