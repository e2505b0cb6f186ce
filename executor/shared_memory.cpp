#include "executor/shared_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/error.h"
#include "core/text.h"

namespace tplan {
namespace {

constexpr std::size_t kPage = 4096;

void* mapped(void* address, std::size_t bytes, int flags, int descriptor) {
    void* data = ::mmap(address, bytes, PROT_READ | PROT_WRITE, flags, descriptor, 0);
    if (data == MAP_FAILED || (address != nullptr && data != address)) {
        const int why = errno;
        if (data != MAP_FAILED) ::munmap(data, bytes);
        throw Error("shared memory",
                    fmt::format("{} of addresses{} cannot be had: {}",
                                format_bytes(Bytes(static_cast<double>(bytes))),
                                address == nullptr ? "" : fmt::format(" at {}", address),
                                data == MAP_FAILED ? std::strerror(why) : "taken already"),
                    "raise the limit on address space (ulimit -v)");
    }
    // Children do not carry it in core dumps; a wish, not a need.
    ::madvise(data, bytes, MADV_DONTDUMP);
    return data;
}

}  // namespace

SharedMemory::SharedMemory(std::size_t bytes)
    : data_(mapped(nullptr, bytes, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1)),
      bytes_(bytes) {}

SharedMemory::SharedMemory(int descriptor, std::size_t bytes, void* address)
    : data_(mapped(address, bytes,
                   MAP_SHARED | MAP_NORESERVE | (address == nullptr ? 0 : MAP_FIXED_NOREPLACE),
                   descriptor)),
      bytes_(bytes) {}

SharedMemory::~SharedMemory() {
    ::munmap(data_, bytes_);
}

void* SharedHeap::allocate(std::size_t bytes) {
    const auto size = (std::max<std::size_t>(bytes, 1) + kPage - 1) / kPage * kPage;
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(free_.begin(), free_.end(),
                                    [&](const auto& piece) { return piece.second >= size; });
    if (found == free_.end()) return nullptr;
    const auto [offset, available] = *found;
    free_.erase(found);
    if (available > size) free_.emplace(offset + size, available - size);
    used_.emplace(offset, size);
    return begin_ + offset;
}

bool SharedHeap::release(void* memory) noexcept {
    auto* const at = static_cast<std::byte*>(memory);
    if (at < begin_ || at >= begin_ + bytes_) return false;
    const std::lock_guard lock(mutex_);
    const auto used = used_.find(static_cast<std::size_t>(at - begin_));
    if (used == used_.end()) return false;
    auto [offset, size] = *used;
    // Zero again for whoever comes next. Where holes are not supported the bytes are written.
    if (::madvise(memory, size, MADV_REMOVE) != 0) std::memset(memory, 0, size);
    auto node = used_.extract(used);  // reused below: nothing to allocate that could fail
    auto next = free_.lower_bound(offset);
    if (next != free_.end() && offset + size == next->first) {
        size += next->second;
        next = free_.erase(next);
    }
    if (next != free_.begin()) {
        const auto before = std::prev(next);
        if (before->first + before->second == offset) {
            before->second += size;
            return true;
        }
    }
    node.mapped() = size;
    free_.insert(std::move(node));
    return true;
}

}  // namespace tplan
