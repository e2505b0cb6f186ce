// One libFuzzer program per reader, built by the `fuzz` preset (clang):
//   cmake --preset fuzz && cmake --build build/fuzz --target fuzz_config
//   build/fuzz/tests/fuzz/fuzz_config -max_total_time=60 tests/fuzz/corpus/config
// An input that crashes it goes into tests/fuzz/corpus/<reader>, where the unit tests read it ever
// after.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/error.h"
#include "tests/fuzz/readers.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const auto& reader = tplan::test::find_reader(TPLAN_FUZZ_READER);
    try {
        reader.read({reinterpret_cast<const char*>(data), size});
    } catch (const tplan::Error&) {
        // Refused, as it should be.
    }
    return 0;
}
