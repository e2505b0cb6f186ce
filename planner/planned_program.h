#pragma once
#include <optional>
#include <string>
#include <vector>

#include "models/config.h"
#include "planner/search.h"

/// From a model and what was asked to a priced program: the one place that knows which layout
/// `hf`, `best` and a plan given by hand stand for.

namespace tplan {

/// A program with what it was made from.
struct PlannedProgram {
    Model model;  // its blocks split where layers of one kind differ in layout
    Plan plan;
    Program program;
    Totals totals;
    std::vector<BlockLayout> layout;         // of the search; empty for hf and plans by hand
    std::optional<Certificate> certificate;  // likewise
};

/// `program` is absent where the degree does not work; `feasibility` says why.
struct PlannedDegree {
    std::optional<PlannedProgram> program;
    Feasibility feasibility;
};

/// Whether tplan chooses the layout itself: `best`, and no plan given by hand.
constexpr bool is_searched(const PlanOptions& options) {
    return options.layout == LayoutChoice::best && !options.tp_plan;
}

/// What a degree is lowered to before hardware, link and batch are known: the program, or the
/// space that is searched for each of them.
struct LoweredDegree {
    const Model* model = nullptr;
    std::optional<LayoutSpace> space;
    std::optional<Plan> plan;        // with `program`
    std::optional<Program> program;  // absent where the degree does not work
    Feasibility feasibility;
};

/// Whether there is something to price.
inline bool works(const LoweredDegree& degree) {
    return degree.space || degree.program;
}

/// `model` must outlive the result. `best` works at every degree. Requires a graph.
LoweredDegree lower_degree(const ModelConfig& config, const Model& model,
                           const PlanOptions& options, DType dtype);

/// The totals of a lowered degree, the link it ran over, and what was priced as something else.
struct PricedDegree {
    Totals totals;
    std::string link;  // that the collectives are priced over; empty for one rank
    std::vector<std::string> notes;
};
/// Requires that the degree works.
PricedDegree price_degree(const LoweredDegree& degree, const HardwareProfile& hardware,
                          const CostOptions& cost, const Workload& workload,
                          const SearchGoal& goal = {});

/// Plans and prices a lowered degree; the goal is of a search. Throws Error as compile() does.
PlannedDegree plan_program(const LoweredDegree& degree, const HardwareProfile& hardware,
                           const CostOptions& cost, const Workload& workload,
                           const SearchGoal& goal = {});

/// The same from the start.
PlannedDegree plan_program(const ModelConfig& config, const Model& model,
                           const PlanOptions& options, const HardwareProfile& hardware,
                           const CostOptions& cost, const Workload& workload,
                           const SearchGoal& goal = {});

/// Where two programs of one model differ, in words: parameters cut otherwise, collectives of a
/// layer.
std::vector<std::string> differences(const Program& program, const Program& other);

}  // namespace tplan
