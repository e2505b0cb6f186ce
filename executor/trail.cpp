#include "executor/trail.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "core/json_io.h"
#include "core/text.h"

namespace tplan {
namespace {

std::int64_t now_ns() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

}  // namespace

void Trail::begin(std::string_view step, std::int64_t index, OpKind kind, double bytes) noexcept {
    const auto number = begun_.load(std::memory_order_relaxed);
    auto& entry = entries_[number % kSteps];
    entry.index = index;
    entry.kind = static_cast<int>(kind);
    entry.bytes = bytes;
    const auto length = std::min(step.size(), entry.step.size() - 1);
    std::memcpy(entry.step.data(), step.data(), length);
    entry.step[length] = '\0';
    entry.end_ns = 0;
    entry.begin_ns = now_ns();
    begun_.store(number + 1, std::memory_order_release);
}

void Trail::end() noexcept {
    const auto number = begun_.load(std::memory_order_relaxed);
    if (number > 0) entries_[(number - 1) % kSteps].end_ns = now_ns();
}

std::vector<StepRecord> Trail::records() const {
    const auto number = begun_.load(std::memory_order_acquire);
    std::vector<StepRecord> records;
    for (auto i = number - std::min<std::uint64_t>(number, kSteps); i < number; ++i) {
        const auto& entry = entries_[i % kSteps];
        const std::string_view step(entry.step.data(),
                                    ::strnlen(entry.step.data(), entry.step.size()));
        records.push_back({entry.index, std::string(step),
                           std::string(name_of(static_cast<OpKind>(entry.kind))), entry.bytes,
                           static_cast<double>(entry.begin_ns) * 1e-9,
                           static_cast<double>(entry.end_ns) * 1e-9});
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
