// A libtplan_cuda.so without a GPU: memory of the host, kernels run by emulated/emulation.cpp,
// products by plain loops, and a clock that launches move on. TPLAN_FAKE_GPUS: how many it has.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <utility>
#include <vector>

#include "executor/cuda/context.h"

namespace tplan::cuda {

const char* failed(const std::string& text) {
    thread_local std::string kept;
    kept = text;
    return kept.c_str();
}
const char* checked(cudaError_t result, const char* doing) {
    return result == cudaSuccess ? nullptr : failed(doing);
}

namespace {

// A product takes its arithmetic at kFlopsPerS, everything else kKernel; launched one by one, each
// begins kGap after the one before.
constexpr double kFlopsPerS = 1e14, kKernel = 2e-6, kGap = 5e-6;
constexpr double kCopiedPerS = 50e9;  // between neighbours; a pair by the host has half of it
constexpr std::int64_t kMostMultiplied = 1 << 24, kMostNumbers = 1 << 19, kMostScores = 1 << 16;

/// Work on the stream, and how long it takes there.
struct Launch {
    std::function<const char*()> work;
    double seconds;
};
struct Graph {
    std::vector<Launch> launches;
};
struct Rank {
    Context context;
    double now = 0;
    bool recording = false;
    Graph recorded;
    std::vector<double> marks;
};
struct Linear {
    tplan_matrix x, w, y, bias;
};

Rank& of(void* rank) {
    return *static_cast<Rank*>(rank);
}

const char* put(Rank& rank, Launch launch) {
    if (rank.recording) {
        rank.recorded.launches.push_back(std::move(launch));
        return nullptr;
    }
    rank.now += kGap + launch.seconds;
    return launch.work();
}

int gpus() {
    const char* const told = std::getenv("TPLAN_FAKE_GPUS");
    return told != nullptr ? std::atoi(told) : 1;
}
/// In pairs, as the fake driver library has them.
bool neighbours(int one, int other) {
    return one / 2 == other / 2;
}

void parts(tplan_cuda_parts* out) {
    *out = {};
    out->devices = gpus();
    std::strcpy(out->driver, "a driver of the tests");
}
const char* device(int index, tplan_cuda_device* out) {
    *out = {};
    std::strcpy(out->name, "Test GPU");
    std::strcpy(out->uuid, "0123");
    std::snprintf(out->pci, sizeof out->pci, "0000:F%X:00.0", static_cast<unsigned>(index));
    for (int other = 0; other < gpus(); ++other)
        out->can_access[other] = other != index && neighbours(index, other);
    return nullptr;
}
const char* open(int device, void** context) {
    *context = new Rank;
    of(*context).context.device = device;
    return nullptr;
}
void close(void* context) {
    delete &of(context);
}
const char* memory(void*, size_t* free, size_t* total) {
    *free = *total = size_t{4} << 30;
    return nullptr;
}
const char* allocate(void*, size_t bytes, void** out) {
    *out = std::calloc(bytes > 0 ? bytes : 1, 1);
    return *out != nullptr ? nullptr : "no memory";
}
void release(void*, void* memory) {
    std::free(memory);
}
const char* allocate_host(void* context, size_t bytes, void** out) {
    return allocate(context, bytes, out);
}
/// Processes do not see each other's memory here.
const char* export_memory(void*, void*, char*) {
    return "the tests have no memory for other processes";
}
const char* import_memory(void*, const char*, void**) {
    return "the tests have no memory of other processes";
}
void drop_import(void*, void*) {}
/// Calls move(element of the matrix, number of it) for all.
template <class Move>
const char* each_element(const tplan_matrix& m, const Move& move) {
    const bool known = with_type(m.dtype, [&](auto type) {
        auto* const data = static_cast<decltype(type)*>(m.data);
        for (std::int64_t r = 0; r < m.rows; ++r) {
            for (std::int64_t c = 0; c < m.columns; ++c)
                move(data[r * m.stride + c], r * m.columns + c);
        }
    });
    return known ? nullptr : "only fp32, fp16 and bf16 are copied";
}
const char* upload(void*, const tplan_matrix* to, const float* from) {
    return each_element(*to, [&](auto& element, std::int64_t i) {
        element = from_float<std::decay_t<decltype(element)>>(from[i]);
    });
}
const char* download(void*, float* to, const tplan_matrix* from) {
    return each_element(*from, [&](auto& element, std::int64_t i) { to[i] = to_float(element); });
}
const char* peer_access(void*, int) {
    return nullptr;
}
const char* copy_peer(void* context, void* to, void* other, const void* from, size_t bytes) {
    auto& rank = of(context);
    const bool near = neighbours(rank.context.device, of(other).context.device);
    std::memcpy(to, from, bytes);
    rank.now += static_cast<double>(bytes) / (near ? kCopiedPerS : kCopiedPerS / 2);
    return nullptr;
}
const char* copy_to_device(void*, void* to, const void* from, size_t bytes) {
    std::memcpy(to, from, bytes);
    return nullptr;
}

template <class T, class Out>
void multiply(const Linear& l) {
    for (std::int64_t r = 0; r < l.y.rows; ++r) {
        const T* const x = static_cast<const T*>(l.x.data) + r * l.x.stride;
        for (std::int64_t c = 0; c < l.y.columns; ++c) {
            const T* const w = static_cast<const T*>(l.w.data) + c * l.w.stride;
            float sum = l.bias.data != nullptr ? to_float(static_cast<Out*>(l.bias.data)[c]) : 0;
            for (std::int64_t k = 0; k < l.w.columns; ++k) sum += to_float(x[k]) * to_float(w[k]);
            static_cast<Out*>(l.y.data)[r * l.y.stride + c] = from_float<Out>(sum);
        }
    }
}
const char* plan_product(void*, const tplan_matrix* x, const tplan_matrix* w, const tplan_matrix* y,
                         const tplan_matrix* bias, void** plan) {
    *plan = new Linear{*x, *w, *y, *bias};
    return nullptr;
}
const char* run_product(void* rank, void* plan) {
    const auto& l = *static_cast<Linear*>(plan);
    const auto work = [&l]() -> const char* {
        // Large ones are there to be timed.
        if (l.y.rows * l.w.rows * l.w.columns > kMostMultiplied) return nullptr;
        with_type(l.x.dtype, [&](auto in) {
            with_type(l.y.dtype, [&](auto out) { multiply<decltype(in), decltype(out)>(l); });
        });
        return nullptr;
    };
    const double flops = 2.0 * static_cast<double>(l.x.rows * l.w.rows * l.w.columns);
    return put(of(rank), {work, flops / kFlopsPerS});
}
void drop_product(void* plan) {
    delete static_cast<Linear*>(plan);
}

std::size_t workspace_bytes(const tplan_op* op) {
    if (op->kind == TPLAN_ATTENTION) return attention_workspace(*op);
    if (op->kind == TPLAN_EXPERTS) return experts_workspace(*op);
    return 0;
}
/// Whether it would take the CPU long.
bool is_large(const tplan_op& op) {
    if (op.kind == TPLAN_ATTENTION) return op.in[0].rows * op.heads * op.tokens > kMostScores;
    return op.out[0].rows * std::max(op.in[0].columns, op.out[0].columns) > kMostNumbers;
}
const char* launch(void* pointer, const tplan_op* op) {
    auto& rank = of(pointer);
    const auto work = [&rank, op = *op]() -> const char* {
        if (is_large(op)) return nullptr;  // likewise
        switch (op.kind) {
            case TPLAN_ATTENTION:
                return launch_attention(rank.context, op);
            case TPLAN_ROUTER:
            case TPLAN_EXPERTS:
                return launch_experts(rank.context, op);
            case TPLAN_LARGEST:
                return launch_largest(rank.context, op);
            default:
                return launch_rows(rank.context, op);
        }
    };
    return put(rank, {work, kKernel});
}

const char* sum_over_peers(void* pointer, const tplan_peer_sum* sum) {
    auto& rank = of(pointer);
    const auto work = [&rank, sum = *sum] { return launch_peer_sum(rank.context, sum); };
    return put(rank, {work, kKernel});
}

const char* begin_graph(void* rank) {
    if (of(rank).recording) return "it is recording already";
    of(rank).recording = true;
    return nullptr;
}
const char* end_graph(void* rank, void** graph) {
    if (!of(rank).recording) return "it is not recording";
    of(rank).recording = false;
    *graph = new Graph(std::exchange(of(rank).recorded, {}));
    return nullptr;
}
const char* run_graph(void* rank, void* graph) {
    if (of(rank).recording) return "a graph inside a graph";
    for (const auto& launch : static_cast<Graph*>(graph)->launches) {
        of(rank).now += launch.seconds;
        if (const char* wrong = launch.work()) return wrong;
    }
    return nullptr;
}
void drop_graph(void* graph) {
    delete static_cast<Graph*>(graph);
}

const char* record(void* context, int64_t* event) {
    if (of(context).recording) return "an event inside a graph";
    *event = static_cast<int64_t>(of(context).marks.size());
    of(context).marks.push_back(of(context).now);
    return nullptr;
}
const char* elapsed(void* context, int64_t from, int64_t to, double* seconds) {
    const auto& events = of(context).marks;
    *seconds = events.at(static_cast<size_t>(to)) - events.at(static_cast<size_t>(from));
    return nullptr;
}
void forget_events(void* context) {
    of(context).marks.clear();
}
int busy(void*, const char**) {
    return 0;
}
const char* synchronise(void* context) {
    return of(context).recording ? "waiting inside a graph" : nullptr;
}
const tplan_nccl_v1* nccl(const char*, const char** error) {
    *error = "the tests have none";
    return nullptr;
}

tplan_cuda_v1 table() {
    tplan_cuda_v1 t{};
    t.abi = TPLAN_CUDA_ABI;
    t.architectures = "none";
    t.parts = parts;
    t.device = device;
    t.open = open;
    t.close = close;
    t.memory = memory;
    t.allocate = allocate;
    t.release = release;
    t.peer_access = peer_access;
    t.allocate_host = allocate_host;
    t.release_host = release;
    t.export_memory = export_memory;
    t.import_memory = import_memory;
    t.drop_import = drop_import;
    t.upload = upload;
    t.download = download;
    t.copy_to_device = copy_to_device;
    t.copy_peer = copy_peer;
    t.plan_linear = plan_product;
    t.linear = run_product;
    t.drop_linear = drop_product;
    t.workspace_bytes = workspace_bytes;
    t.launch = launch;
    t.peer_area_bytes = peer_area_bytes;
    t.peer_sum = sum_over_peers;
    t.begin_graph = begin_graph;
    t.end_graph = end_graph;
    t.run_graph = run_graph;
    t.drop_graph = drop_graph;
    t.record = record;
    t.elapsed = elapsed;
    t.forget_events = forget_events;
    t.busy = busy;
    t.synchronise = synchronise;
    t.nccl = nccl;
    return t;
}

}  // namespace
}  // namespace tplan::cuda

/// Kernels ask for it after a launch.
cudaError_t cudaGetLastError() {
    return cudaSuccess;
}

extern "C" const void* tplan_cuda_plugin() {
    static const auto kTable = tplan::cuda::table();
    return &kTable;
}
