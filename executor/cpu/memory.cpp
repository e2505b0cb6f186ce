#include "executor/cpu/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>

namespace tplan::cpu {
namespace {

constexpr double kUnlimited = std::numeric_limits<double>::infinity();
constexpr std::size_t kLargePage = std::size_t{2} << 20;

/// The number in a one-line file; infinity when there is none ("max", no file).
double number_in(const std::string& path) {
    std::ifstream file(path);
    double value = 0;
    return file >> value ? value : kUnlimited;
}

double system_available(const std::string& root) {
    std::ifstream file(root + "/proc/meminfo");
    for (std::string key; file >> key;) {
        double kibibytes = 0;
        if (key == "MemAvailable:" && file >> kibibytes) return kibibytes * 1024;
        file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
    }
    return kUnlimited;
}

/// Limit less usage of one folder of the control group tree.
double group_available(const std::string& limit, const std::string& usage) {
    const double most = number_in(limit);
    const double used = number_in(usage);
    if (most == kUnlimited || used == kUnlimited) return kUnlimited;
    return std::max(0.0, most - used);
}

}  // namespace

double available_bytes(const std::string& root) {
    const auto group = root + "/sys/fs/cgroup";
    return std::min({system_available(root),
                     group_available(group + "/memory.max", group + "/memory.current"),
                     group_available(group + "/memory/memory.limit_in_bytes",
                                     group + "/memory/memory.usage_in_bytes")});
}

void* allocate_bytes(std::size_t bytes) {
    const std::size_t alignment = bytes >= kLargePage ? kLargePage : 64;
    const auto rounded = (std::max<std::size_t>(bytes, 1) + alignment - 1) / alignment * alignment;
    void* memory = std::aligned_alloc(alignment, rounded);
    if (memory == nullptr) return nullptr;
    if (alignment == kLargePage) madvise(memory, rounded, MADV_HUGEPAGE);  // a wish, not a need
    std::memset(memory, 0, rounded);
    return memory;
}

void release_bytes(void* memory) noexcept {
    std::free(memory);
}

}  // namespace tplan::cpu
