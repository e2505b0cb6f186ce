#pragma once
#include <array>
#include <string_view>

#include "planner/planned_program.h"

namespace tplan {

enum class Objective { latency, throughput, memory };
constexpr auto enum_names(Objective) {
    return std::array<std::string_view, 3>{"latency", "throughput", "memory"};
}

/// What was asked: enough to make the same plan again.
struct PlanRequest {
    PlanOptions plan;
    CostOptions cost;
    Workload workload;
    Nullable<int> gpus;  // degrees 1..gpus were weighed; null when the degree was given
    Objective objective = Objective::latency;
    Nullable<Seconds> max_ttft, max_tpot;
    std::optional<Training> training;  // phase train only; its mesh has the degree of `plan`

    static void fields(auto& self, auto&& field) {
        field("plan", self.plan);
        field("cost", self.cost);
        field("workload", self.workload);
        field("gpus", self.gpus);
        field("objective", self.objective);
        field("max_ttft_s", self.max_ttft);
        field("max_tpot_s", self.max_tpot);
        field("training", self.training);
    }
    bool operator==(const PlanRequest&) const = default;
};

}  // namespace tplan
