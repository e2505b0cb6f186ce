// Measured copies between GPUs over a table whose devices are memory of the test.
#include "executor/gpu/peer_copies.h"

#include <cstdlib>
#include <cstring>

#include "core/error.h"
#include "tests/support/catch.h"

using namespace tplan;
using namespace tplan::gpu;

namespace {

/// A device of the table: its number, and a clock in copies.
struct FakeGpu {
    int number = 0;
    double now = 0;
    std::vector<double> marks;
};
FakeGpu& of(void* context) {
    return *static_cast<FakeGpu*>(context);
}

int devices = 3;
int broken_from = -1, broken_to = -1;  // a pair that loses a bit

tplan_cuda_v1 table_of_test() {
    tplan_cuda_v1 t{};
    t.parts = [](tplan_cuda_parts* out) {
        *out = {};
        out->devices = devices;
    };
    t.device = [](int index, tplan_cuda_device* out) -> const char* {
        *out = {};
        out->pci[0] = static_cast<char>('A' + index);
        for (int other = 0; other < devices; ++other) out->can_access[other] = index + other == 1;
        return nullptr;
    };
    t.open = [](int device, void** context) -> const char* {
        *context = new FakeGpu{device, 0, {}};
        return nullptr;
    };
    t.close = [](void* context) { delete &of(context); };
    t.allocate = [](void* context, size_t bytes, void** out) -> const char* {
        if (of(context).number == 7) return "out of memory";
        *out = std::calloc(bytes, 1);
        return nullptr;
    };
    t.release = [](void*, void* memory) { std::free(memory); };
    t.peer_access = [](void*, int) -> const char* { return nullptr; };
    t.upload = [](void*, const tplan_matrix* to, const float* from) -> const char* {
        std::memcpy(to->data, from, static_cast<size_t>(to->columns) * sizeof(float));
        return nullptr;
    };
    t.download = [](void*, float* to, const tplan_matrix* from) -> const char* {
        std::memcpy(to, from->data, static_cast<size_t>(from->columns) * sizeof(float));
        return nullptr;
    };
    t.copy_peer = [](void* context, void* to, void* other, const void* from,
                     size_t bytes) -> const char* {
        std::memcpy(to, from, bytes);
        if (of(other).number == broken_from && of(context).number == broken_to)
            static_cast<float*>(to)[bytes / sizeof(float) - 1] += 1;
        of(context).now += 1e-3 * (1 + of(other).number);
        return nullptr;
    };
    t.record = [](void* context, int64_t* event) -> const char* {
        of(context).marks.push_back(of(context).now);
        *event = static_cast<int64_t>(of(context).marks.size()) - 1;
        return nullptr;
    };
    t.elapsed = [](void* context, int64_t from, int64_t to, double* seconds) -> const char* {
        const auto& marks = of(context).marks;
        *seconds = marks.at(static_cast<size_t>(to)) - marks.at(static_cast<size_t>(from));
        return nullptr;
    };
    t.forget_events = [](void* context) { of(context).marks.clear(); };
    t.synchronise = [](void*) -> const char* { return nullptr; };
    return t;
}

constexpr double kForever = 1e9;

}  // namespace

TEST_CASE("copies between GPUs: time, way and data of every pair", "[executor]") {
    devices = 3;
    broken_from = 2;
    broken_to = 0;
    const auto table = table_of_test();
    const auto copies = measure_peer_copies(table, kForever);
    REQUIRE(copies.size() == 6);
    CHECK(copies[0].from == 0);  // neighbours first
    CHECK(copies[0].to == 1);
    CHECK(copies[1].to == 2);
    for (const auto& copy : copies) {
        const double seconds = 1e-3 * (1 + copy.from);
        CHECK(copy.bytes_per_s == Approx(static_cast<double>(kPeerCopyBytes) / seconds));
        CHECK(copy.direct == (copy.from + copy.to == 1));
        CHECK(copy.right == !(copy.from == 2 && copy.to == 0));
        CHECK(copy.address_from == std::string(1, static_cast<char>('a' + copy.from)));
    }
}

TEST_CASE("copies between GPUs end with their time, and there are none of one GPU", "[executor]") {
    broken_from = broken_to = -1;
    devices = 2;
    const auto table = table_of_test();
    const auto copies = measure_peer_copies(table, 0);
    REQUIRE(copies.size() == 2);
    CHECK(copies[0].bytes_per_s == 0);
    CHECK(copies[0].right);
    devices = 1;
    CHECK(measure_peer_copies(table, kForever).empty());
    devices = 8;
    CHECK_THROWS_WITH(measure_peer_copies(table, kForever), Catch::Contains("out of memory"));
}
