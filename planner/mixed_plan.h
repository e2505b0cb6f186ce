#pragma once
#include <string>
#include <vector>

#include "planner/request.h"

/// Tensor parallelism over two kinds of device: who takes how much.

namespace tplan {

/// A ratio of shares that was weighed.
struct SharesWeighed {
    Shares shares;
    bool fits = false;
    Seconds step;
    static void fields(auto& self, auto&& field) {
        field("shares", self.shares);
        field("fits", self.fits);
        field("step_s", self.step);
    }
    bool operator==(const SharesWeighed&) const = default;
};

/// One kind of the group without the other, over its own fastest link.
struct KindAlone {
    std::string device;
    int tp = 1;
    bool fits = false;
    Nullable<Seconds> step{};  // null where the degree does not work; `reason` says why
    std::string reason{};
    static void fields(auto& self, auto&& field) {
        field("device", self.device);
        field("tp", self.tp);
        field("fits", self.fits);
        field("step_s", self.step);
        field("reason", self.reason);
    }
    bool operator==(const KindAlone&) const = default;
};

/// The answer to "how much to whom" with its grounds.
struct SharesDecision {
    std::string sentence;
    Shares shares;
    std::vector<SharesWeighed> weighed;  // the even ones first; those of tplan's own layouts
    std::vector<KindAlone> alone;        // first kind, second kind
    static void fields(auto& self, auto&& field) {
        field("sentence", self.sentence);
        field("shares", self.shares);
        field("weighed", self.weighed);
        field("alone", self.alone);
    }
    bool operator==(const SharesDecision&) const = default;
};

/// Equal shares stay where no ratio is faster by more: engines take those alone, and predictions
/// are no finer.
constexpr double kWorthUnequal = 0.01;

/// So many ratios are weighed at most.
constexpr std::size_t kMostShares = 64;

/// The ratios of a group with `first` and `second` devices of its kinds: equal shares; every ratio
/// at which each device of the first kind has a whole number of the `heads` query heads and every
/// other one at least one; and those of small numbers, for axes finer than heads. Where there are
/// more than kMostShares, evenly spaced ones of them.
std::vector<Shares> shares_to_weigh(int first, int second, std::int64_t heads);

/// A planned degree over all devices of a group, and why its shares.
struct MixedPlan {
    PlannedDegree planned;
    SharesDecision decision;
};

/// Searches the layout for each of shares_to_weigh() and keeps the fastest that fits (or what the
/// goal asks for): exact for those ratios, each with one ratio for all that is cut. Where none fits
/// it is the one that overfills memory least. Transformers' own plan and plans given by hand cut
/// evenly. `options.shares` is not looked at. Requires `group.kinds` and tp = group.devices.
MixedPlan plan_mixed(const ModelConfig& config, const Model& model, const PlanOptions& options,
                     const HardwareProfile& group, const CostOptions& cost,
                     const Workload& workload, const SearchGoal& goal = {});

/// What cannot be asked of two kinds of device: training, several nodes, another degree than all of
/// them, `gpus` to choose from. Throws Error that names the flag, or the path below `where` in a
/// document.
void require_mixed(const PlanRequest& request, const HardwareProfile& group,
                   const std::string& where);

}  // namespace tplan
