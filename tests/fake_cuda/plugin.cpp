// A libtplan_cuda.so without a GPU: memory of the host, and a clock that launches move on. It
// computes nothing. What the program does with devices, events and graphs runs through it; what a
// kernel does needs a GPU.
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

#include "executor/cuda_plugin.h"

namespace {

// A product takes its arithmetic at kFlopsPerS, everything else kKernel; launched one by one, each
// begins kGap after the one before.
constexpr double kFlopsPerS = 1e14, kKernel = 2e-6, kGap = 5e-6;

struct Context {
    double now = 0;
    bool recording = false;
    double recorded = 0;
    std::vector<double> events;
};
struct Graph {
    double seconds;
};
struct Linear {
    double seconds;
};

Context& of(void* context) {
    return *static_cast<Context*>(context);
}

const char* launch_for(void* pointer, double seconds) {
    auto& context = of(pointer);
    if (context.recording) {
        context.recorded += seconds;
    } else {
        context.now += kGap + seconds;
    }
    return nullptr;
}

void parts(tplan_cuda_parts* out) {
    *out = {};
    out->devices = 1;
    std::strcpy(out->driver, "a driver of the tests");
}
const char* device(int, tplan_cuda_device* out) {
    *out = {};
    std::strcpy(out->name, "Test GPU");
    std::strcpy(out->uuid, "0123");
    return nullptr;
}
const char* open(int, void** context) {
    *context = new Context;
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
const char* upload(void*, const tplan_matrix*, const float*) {
    return nullptr;
}
const char* download(void*, float* to, const tplan_matrix* from) {
    for (int64_t i = 0; i < from->rows * from->columns; ++i) to[i] = 0;
    return nullptr;
}
const char* copy_to_device(void*, void* to, const void* from, size_t bytes) {
    std::memcpy(to, from, bytes);
    return nullptr;
}

const char* plan_linear(void*, const tplan_matrix* x, const tplan_matrix* w, const tplan_matrix*,
                        const tplan_matrix*, void** plan) {
    *plan = new Linear{2.0 * static_cast<double>(x->rows * w->rows * w->columns) / kFlopsPerS};
    return nullptr;
}
const char* linear(void* context, void* plan) {
    return launch_for(context, static_cast<Linear*>(plan)->seconds);
}
void drop_linear(void* plan) {
    delete static_cast<Linear*>(plan);
}
size_t workspace_bytes(const tplan_op*) {
    return 0;
}
const char* launch(void* context, const tplan_op*) {
    return launch_for(context, kKernel);
}

const char* begin_graph(void* context) {
    if (of(context).recording) return "it is recording already";
    of(context).recording = true;
    of(context).recorded = 0;
    return nullptr;
}
const char* end_graph(void* context, void** graph) {
    if (!of(context).recording) return "it is not recording";
    of(context).recording = false;
    *graph = new Graph{of(context).recorded};
    return nullptr;
}
const char* run_graph(void* context, void* graph) {
    if (of(context).recording) return "a graph inside a graph";
    of(context).now += static_cast<Graph*>(graph)->seconds;
    return nullptr;
}
void drop_graph(void* graph) {
    delete static_cast<Graph*>(graph);
}

const char* record(void* context, int64_t* event) {
    if (of(context).recording) return "an event inside a graph";
    *event = static_cast<int64_t>(of(context).events.size());
    of(context).events.push_back(of(context).now);
    return nullptr;
}
const char* elapsed(void* context, int64_t from, int64_t to, double* seconds) {
    const auto& events = of(context).events;
    *seconds = events.at(static_cast<size_t>(to)) - events.at(static_cast<size_t>(from));
    return nullptr;
}
void forget_events(void* context) {
    of(context).events.clear();
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
    t.upload = upload;
    t.download = download;
    t.copy_to_device = copy_to_device;
    t.plan_linear = plan_linear;
    t.linear = linear;
    t.drop_linear = drop_linear;
    t.workspace_bytes = workspace_bytes;
    t.launch = launch;
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

extern "C" const void* tplan_cuda_plugin() {
    static const tplan_cuda_v1 kTable = table();
    return &kTable;
}
