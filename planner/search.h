#pragma once
#include <optional>
#include <vector>

#include "planner/layout_space.h"

/// The fastest layout of a model at one degree, with a proof.

namespace tplan {

/// What can be checked about an optimal layout without searching: numbers whose inequalities say
/// that no layout of the space is faster than `bound`. Spec: planner/search.h and choice.h.
struct Certificate {
    Seconds step;       // of the plan
    Seconds bound;      // no layout within the cap is faster
    double gap = 0;     // step / bound - 1
    bool exact = true;  // the plan is the optimum, even where the gap is open: closed by labels
    /// Bytes that weights and cache of a rank may take where memory binds; null where it does not.
    /// On two kinds of device as price_layouts() counts them.
    Nullable<double> bytes_cap;
    double log10_layouts = 0;  // how many layouts the space has
    Potentials potentials;
    static void fields(auto& self, auto&& field) {
        field("step_s", self.step);
        field("bound_s", self.bound);
        field("gap", self.gap);
        field("exact", self.exact);
        field("bytes_cap", self.bytes_cap);
        field("log10_layouts", self.log10_layouts);
        field("potentials", self.potentials);
    }
    bool operator==(const Certificate&) const = default;
};

/// A layout with its program, price and proof.
struct LayoutResult {
    std::vector<BlockLayout> layout;
    LaidOut laid_out;
    Program program;
    Totals totals;
    std::string link;                // it was priced over
    std::vector<std::string> notes;  // what was priced as something else
    Certificate certificate;
};

/// A layout on one machine, with all of it that no batch and no length changes.
struct WorkedLayout {
    Assignment assignment;
    std::vector<BlockLayout> layout;
    LaidOut laid_out;
    Program program;
    CompiledProgram compiled;
};

/// A space on one machine over one link, searched for one workload after the other: what was
/// lowered and folded is used again. Finds what search_layout() finds from the start.
struct LayoutSearch {
    const LayoutSpace* space = nullptr;
    const HardwareProfile* hardware = nullptr;
    CostOptions cost;
    CompiledProgram catalogue;                               // the space's
    ChoiceChain chain;                                       // priced for the last workload
    double log10_layouts = 0;                                // of the space
    std::vector<std::shared_ptr<const WorkedLayout>> known;  // the latest first
};

/// `space` and `hardware` must outlive the result. Throws Error as compile() does.
LayoutSearch make_layout_search(const LayoutSpace& space, const HardwareProfile& hardware,
                                const CostOptions& cost);

/// What a search finds, as LayoutResult has it.
struct FoundLayout {
    std::shared_ptr<const WorkedLayout> worked;
    Totals totals;
    std::optional<Certificate> certificate;  // where the goal asks for a proof
};

/// What a search is for: the fastest layout that fits in memory, or of those whose weights and
/// cache take least memory the fastest.
struct SearchGoal {
    bool least_memory = false;
    Effort effort = Effort::exact;
    bool proof = true;  // false: the same layout without its certificate
};

/// The layout that the goal asks for; where none fits in memory, the one that takes least
/// (`totals.memory.fits` says so). `max_batch` and `max_context` are those of the degree: so much
/// fits in a layout with least weights and cache, which need not be this one. `workload.dtype` is
/// the space's.
FoundLayout search_layout(LayoutSearch& search, const Workload& workload,
                          const SearchGoal& goal = {});

/// The same for one workload, with a certificate. Throws Error as compile() does. The space must
/// outlive the call only: one lowering serves every link, batch and context.
LayoutResult search_layout(const LayoutSpace& space, const HardwareProfile& hardware,
                           const CostOptions& cost, const Workload& workload,
                           const SearchGoal& goal = {});

/// The same from the start. `options.tp_plan` and `options.layout` are not looked at.
LayoutResult search_layout(const Model& model, const PlanOptions& options,
                           const HardwareProfile& hardware, const CostOptions& cost,
                           const Workload& workload, const SearchGoal& goal = {});

/// Checks a certificate of a plan of the given layout against freshly priced costs, without
/// solving anything. Empty when it holds, else what does not.
std::string certificate_fault(const Model& model, const PlanOptions& options,
                              const HardwareProfile& hardware, const CostOptions& cost,
                              const Workload& workload, const std::vector<BlockLayout>& layout,
                              const Certificate& certificate);

}  // namespace tplan
