// A libnvidia-ml.so.1 of four GPUs in two pairs joined by NVLink, one pair on each socket.
#include <cstdint>
#include <cstdio>
#include <cstring>

namespace {

constexpr unsigned kGpus = 4;
constexpr int kNotSupported = 3;

unsigned number_of(void* device) {
    return static_cast<unsigned>(reinterpret_cast<std::uintptr_t>(device)) - 1;
}
bool joined(void* one, void* other) {
    return number_of(one) / 2 == number_of(other) / 2;
}

struct PciInfo {
    char legacy[16];
    unsigned domain, bus, device, device_id, subsystem_id;
    char address[32];
};

}  // namespace

extern "C" {

int nvmlInit_v2() {
    return 0;
}
int nvmlShutdown() {
    return 0;
}
const char* nvmlErrorString(int) {
    return "something";
}
int nvmlSystemGetDriverVersion(char* out, unsigned length) {
    std::snprintf(out, length, "999.99");
    return 0;
}
int nvmlDeviceGetCount_v2(unsigned* count) {
    *count = kGpus;
    return 0;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** device) {
    *device = reinterpret_cast<void*>(static_cast<std::uintptr_t>(index + 1));
    return 0;
}
int nvmlDeviceGetName(void*, char* out, unsigned length) {
    std::snprintf(out, length, "Test GPU");
    return 0;
}
int nvmlDeviceGetPciInfo_v3(void* device, PciInfo* out) {
    *out = {};
    std::snprintf(out->address, sizeof out->address, "00000000:F%X:00.0", number_of(device));
    return 0;
}
int nvmlDeviceGetNvLinkState(void*, unsigned link, int* up) {
    if (link >= 6) return kNotSupported;
    *up = link < 4 ? 1 : 0;
    return 0;
}
int nvmlDeviceGetMaxPcieLinkGeneration(void*, unsigned* out) {
    *out = 4;
    return 0;
}
int nvmlDeviceGetMaxPcieLinkWidth(void*, unsigned* out) {
    *out = 16;
    return 0;
}
int nvmlDeviceGetTopologyCommonAncestor(void* one, void* other, int* level) {
    *level = joined(one, other) ? 40 : 50;
    return 0;
}
int nvmlDeviceGetP2PStatus(void* one, void* other, int what, int* status) {
    if (what == 2) {
        *status = joined(one, other) ? 0 : 5;
        return 0;
    }
    *status = joined(one, other) ? 0 : 1;
    return 0;
}

}  // extern "C"
