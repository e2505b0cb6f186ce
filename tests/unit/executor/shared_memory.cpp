#include "executor/shared_memory.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "executor/world.h"
#include "tests/support/catch.h"

using namespace tplan;

TEST_CASE("pieces of shared memory are apart, zero, and come back whole", "[executor]") {
    SharedMemory memory(1 << 20);
    SharedHeap heap(memory.data(), memory.bytes());
    auto* const a = static_cast<std::byte*>(heap.allocate(5000));
    auto* const b = static_cast<std::byte*>(heap.allocate(1));
    auto* const c = static_cast<std::byte*>(heap.allocate(4096));
    REQUIRE(a == memory.data());
    CHECK(b == a + 8192);
    CHECK(c == b + 4096);
    std::memset(b, 7, 4096);
    CHECK(heap.release(b));
    CHECK_FALSE(heap.release(b));  // not twice
    auto* const again = static_cast<std::byte*>(heap.allocate(100));
    CHECK(again == b);  // the hole is used again
    CHECK(std::all_of(again, again + 4096, [](std::byte x) { return x == std::byte{0}; }));

    // Freed neighbours join, whatever the order: the whole range can be had again.
    CHECK(heap.release(a));
    CHECK(heap.release(c));
    CHECK(heap.release(again));
    CHECK(heap.allocate(1 << 20) == memory.data());
    CHECK(heap.allocate(1) == nullptr);

    int elsewhere = 0;
    CHECK_FALSE(heap.release(&elsewhere));
}

TEST_CASE("where addresses are scarce the reserve is smaller, and at last an error", "[executor]") {
    std::size_t tried = 0, granted = 0;
    const auto memory = reserve_memory(2, [&](std::size_t bytes) {
        ++tried;
        if (bytes > std::size_t{1} << 30) throw Error("test", "too much");
        granted = bytes;
        return std::make_shared<SharedMemory>(bytes);
    });
    CHECK(tried > 1);
    CHECK(memory->bytes() == granted);
    CHECK_THROWS_AS(reserve_memory(2,
                                   [](std::size_t) -> std::shared_ptr<SharedMemory> {
                                       throw Error("test", "nothing at all");
                                   }),
                    Error);
}
