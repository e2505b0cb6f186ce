#include "executor/trail.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "core/json_io.h"
#include "core/text.h"

namespace tplan {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

std::int64_t now_ns() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

}  // namespace

void Trail::begin(std::string_view step, std::int64_t index, OpKind kind, double bytes) noexcept {
    const auto number = begun_.load(std::memory_order_relaxed);
    auto& entry = entries_[number % kSteps];
    entry.index.store(index, kRelaxed);
    entry.kind.store(static_cast<int>(kind), kRelaxed);
    entry.bytes.store(bytes, kRelaxed);
    std::array<char, sizeof entry.step> letters{};
    step.copy(letters.data(), letters.size() - 1);
    for (std::size_t i = 0; i < entry.step.size(); ++i) {
        std::uint64_t word = 0;
        std::memcpy(&word, letters.data() + i * sizeof word, sizeof word);
        entry.step[i].store(word, kRelaxed);
    }
    entry.end_ns.store(0, kRelaxed);
    entry.begin_ns.store(now_ns(), kRelaxed);
    begun_.store(number + 1, std::memory_order_release);
}

void Trail::end() noexcept {
    const auto number = begun_.load(std::memory_order_relaxed);
    if (number > 0) entries_[(number - 1) % kSteps].end_ns.store(now_ns(), kRelaxed);
}

std::vector<StepRecord> Trail::records() const {
    const auto number = begun_.load(std::memory_order_acquire);
    std::vector<StepRecord> records;
    for (auto i = number - std::min<std::uint64_t>(number, kSteps); i < number; ++i) {
        const auto& entry = entries_[i % kSteps];
        std::array<char, sizeof entry.step> letters{};
        for (std::size_t w = 0; w < entry.step.size(); ++w) {
            const auto word = entry.step[w].load(kRelaxed);
            std::memcpy(letters.data() + w * sizeof word, &word, sizeof word);
        }
        const std::string_view step(letters.data(), ::strnlen(letters.data(), letters.size()));
        records.push_back({entry.index.load(kRelaxed), std::string(step),
                           std::string(name_of(static_cast<OpKind>(entry.kind.load(kRelaxed)))),
                           entry.bytes.load(kRelaxed),
                           static_cast<double>(entry.begin_ns.load(kRelaxed)) * 1e-9,
                           static_cast<double>(entry.end_ns.load(kRelaxed)) * 1e-9});
    }
    return records;
}

std::string Trail::last() const {
    const auto all = records();
    if (all.empty()) return "no step yet";
    return fmt::format("step #{}, {} \"{}\"{}", all.back().index, all.back().kind, all.back().step,
                       all.back().end_s > 0 ? " done" : "");
}

}  // namespace tplan
