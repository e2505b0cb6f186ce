#pragma once
#include <cstddef>
#include <string>

namespace tplan::cpu {

/// Bytes this process may still take: what the system calls available, or less where a control
/// group limits it. `root` is the folder that holds proc/ and sys/, "" outside of tests. Infinite
/// where the system does not say.
double available_bytes(const std::string& root = {});

/// Zeroed memory aligned to 64 bytes; to 2 MiB, and in large pages where the system gives them,
/// from 2 MiB up. Null when there is none. Pages lie near the thread that calls.
void* allocate_bytes(std::size_t bytes);
void release_bytes(void* memory) noexcept;

}  // namespace tplan::cpu
