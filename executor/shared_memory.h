#pragma once
#include <cstddef>
#include <map>
#include <mutex>

namespace tplan {

/// Memory that the processes of one host see at one address, without a name anywhere: it is gone
/// with the last of them, however they end.
class SharedMemory {
  public:
    /// For the children this process will fork: `bytes`, zero, taken from the system as they are
    /// touched. Throws Error when there is no such range of addresses.
    explicit SharedMemory(std::size_t bytes);

    /// The same behind a descriptor that can be sent to other processes; takes no ownership of it.
    /// `address` null: anywhere; else exactly there. Throws Error when that is not possible.
    SharedMemory(int descriptor, std::size_t bytes, void* address);

    ~SharedMemory();
    SharedMemory(const SharedMemory&) = delete;
    SharedMemory& operator=(const SharedMemory&) = delete;

    std::byte* data() const { return static_cast<std::byte*>(data_); }
    std::size_t bytes() const { return bytes_; }

  private:
    void* data_ = nullptr;
    std::size_t bytes_ = 0;
};

/// Hands out pieces of one rank's part of shared memory. Of the rank's process alone; thread-safe.
class SharedHeap {
  public:
    SharedHeap(std::byte* begin, std::size_t bytes)
        : begin_(begin), bytes_(bytes), free_{{0, bytes}} {}

    /// Zeroed, aligned to a page. Null when no piece is large enough.
    void* allocate(std::size_t bytes);

    /// Gives memory of allocate() back, its pages to the system. False for any other memory.
    bool release(void* memory) noexcept;

  private:
    std::byte* begin_;
    std::size_t bytes_;
    std::mutex mutex_;
    std::map<std::size_t, std::size_t> free_;  // offset -> bytes
    std::map<std::size_t, std::size_t> used_;
};

}  // namespace tplan
