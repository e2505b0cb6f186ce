#include "executor/cpu/memory.h"

#include <filesystem>
#include <limits>

#include "executor/memory_needs.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/executor/tiny_run.h"

using namespace tplan;
using namespace tplan::test;

namespace {

/// A system's files below a temporary folder.
struct System {
    void file(const std::string& path, const std::string& text) {
        std::filesystem::create_directories(std::filesystem::path(root / path).parent_path());
        root.file(path, text);
    }
    double available() const { return cpu::available_bytes(root.path()); }
    TempDir root;
};

}  // namespace

TEST_CASE("memory available is the system's, or less where a control group limits it",
          "[executor]") {
    System system;
    CHECK(system.available() == std::numeric_limits<double>::infinity());
    system.file("proc/meminfo",
                "MemTotal:       4000 kB\nMemFree: 100 kB\nMemAvailable:   2000 kB\n");
    CHECK(system.available() == 2000 * 1024.0);
    system.file("sys/fs/cgroup/memory.max", "max\n");
    system.file("sys/fs/cgroup/memory.current", "1000\n");
    CHECK(system.available() == 2000 * 1024.0);
    system.file("sys/fs/cgroup/memory.max", "51000\n");
    CHECK(system.available() == 50000);
    system.file("sys/fs/cgroup/memory/memory.limit_in_bytes", "3000\n");
    system.file("sys/fs/cgroup/memory/memory.usage_in_bytes", "5000\n");
    CHECK(system.available() == 0);
}

TEST_CASE("allocated memory is zero and aligned, large memory to large pages", "[executor]") {
    for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{3} << 20}) {
        void* memory = cpu::allocate_bytes(bytes);
        REQUIRE(memory != nullptr);
        const auto alignment = bytes >= (std::size_t{2} << 20) ? std::size_t{2} << 20 : 64;
        CHECK(reinterpret_cast<std::uintptr_t>(memory) % alignment == 0);
        const auto* begin = static_cast<const char*>(memory);
        CHECK(std::all_of(begin, begin + bytes, [](char c) { return c == 0; }));
        cpu::release_bytes(memory);
    }
}

TEST_CASE("a run's needs: weights once, cache and buffers per rank", "[executor]") {
    // hidden 64, ffn 128, 4 heads of 16 over 2 KV heads, 2 layers, vocabulary 256
    const TinyModel tiny("llama");
    const Workload workload{.phase = Phase::decode, .batch = 2, .context = 10};
    const auto whole =
        memory_needs(*tiny.program(1), workload, DType::fp32, *make_backend("cpu", 1));
    const double attention = 64 * 64 + 2 * 32 * 64 + 64 * 64;
    const double mlp = 3 * 64 * 128;
    const double weights = 2 * (attention + mlp + 2 * 64) + 64 + 2 * 256 * 64;
    CHECK(whole.ranks.size() == 1);
    CHECK(whole.ranks[0].weights == 4 * weights);
    CHECK(whole.ranks[0].cache == 4.0 * 2 * 10 * 2 * (32 + 32));

    const auto halves =
        memory_needs(*tiny.program(2), workload, DType::fp32, *make_backend("cpu", 2));
    CHECK(halves.ranks.size() == 2);
    CHECK(halves.ranks[1].cache == whole.ranks[0].cache / 2);
    // llama's plan cuts all matrices but the embedding; the norms are whole
    const double uncut = 2 * 2 * 64 + 64 + 256 * 64;
    CHECK(halves.ranks[1].weights == 4 * ((weights - uncut) / 2 + uncut));
    CHECK(halves.total() == halves.ranks[0].total() + halves.ranks[1].total());
    CHECK(halves.fits());
    CHECK(halves.text().find("ranks 0 to 1, each: weights ") == 0);
}

TEST_CASE("tied tables are held once where one form serves both uses", "[executor]") {
    const TinyModel tiny("qwen3");  // tied
    // One row: the head reads the plain table of the embedding.
    const auto one = memory_needs(*tiny.program(1), {.phase = Phase::decode, .batch = 1},
                                  DType::fp32, *make_backend("cpu", 1));
    double parameters = 0;
    for (const auto& use : tiny.model.sequence) {
        for (const auto& tensor : tiny.model.blocks[static_cast<std::size_t>(use.block)].tensors) {
            if (!tensor.tied) parameters += static_cast<double>(tensor.elements());
        }
    }
    CHECK(one.ranks[0].weights == 4 * parameters);
}
