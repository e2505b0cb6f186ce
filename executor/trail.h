#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "models/graph.h"

/// The last steps of each rank, kept for the report of a failure: what a flight recorder is to an
/// aeroplane.

namespace tplan {

/// One step a rank began. Times are of the host's steady clock; `end_s` 0 while it has not ended.
struct StepRecord {
    std::int64_t index = 0;  // position in the executed order
    std::string step;
    std::string kind;
    double bytes = 0;  // payload of a collective
    double begin_s = 0, end_s = 0;
    static void fields(auto& self, auto&& field) {
        field("index", self.index);
        field("step", self.step);
        field("kind", self.kind);
        field("bytes", self.bytes);
        field("begin_s", self.begin_s);
        field("end_s", self.end_s);
    }
    bool operator==(const StepRecord&) const = default;
};

struct RankTrail {
    int rank = 0;
    std::vector<StepRecord> steps;  // the oldest first
    static void fields(auto& self, auto&& field) {
        field("rank", self.rank);
        field("steps", self.steps);
    }
    bool operator==(const RankTrail&) const = default;
};

/// A ring of fixed size that lies where its owner likes, in memory shared with other processes too.
/// One writer; readers may come at any time, also after the writer died in the middle of a write.
class Trail {
  public:
    static constexpr std::size_t kSteps = 64;

    void begin(std::string_view step, std::int64_t index, OpKind kind, double bytes) noexcept;
    void end() noexcept;

    /// What is there now, the oldest first.
    std::vector<StepRecord> records() const;

    /// "step #17, all_reduce \"layers.0.mlp.down_proj.all_reduce\"", or "no step yet".
    std::string last() const;

  private:
    /// Read while it may be written: every part is whole by itself, the parts may be of two steps.
    struct Entry {
        std::atomic<std::int64_t> index{0}, begin_ns{0}, end_ns{0};
        std::atomic<double> bytes{0};
        std::atomic<int> kind{0};
        std::array<std::atomic<std::uint64_t>, 11> step{};  // letters, cut to fit, zeros behind
    };
    std::atomic<std::uint64_t> begun_{0};
    std::array<Entry, kSteps> entries_{};
};

}  // namespace tplan
