#pragma once
#include <cstdio>

namespace tplan::test {

/// Marks the running test as skipped: ctest shows it as such, with the reason in its output. Return
/// from the test right after; Catch2 v2 has no skip of its own.
inline void skip(const char* reason) {
    std::printf("SKIPPED: %s\n", reason);
}

}  // namespace tplan::test
