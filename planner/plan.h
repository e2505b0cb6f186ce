#pragma once
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "models/build.h"
#include "models/program.h"
#include "models/sampling.h"
#include "planner/style.h"
#include "planner/tp_plan.h"

/// Who splits what: a model's TP plan applied to its graph for one degree.

namespace tplan {

enum class LayoutChoice {
    hf,
    best
};  // the model's own plan as transformers runs it, or tplan's own
constexpr auto enum_names(LayoutChoice) {
    return std::array<std::string_view, 2>{"hf", "best"};
}
enum class Kernels { served, hf };  // fused as vLLM and TensorRT-LLM run, or one GEMM per module
constexpr auto enum_names(Kernels) {
    return std::array<std::string_view, 2>{"served", "hf"};
}

/// What to plan. `tp_plan` given by hand replaces the model's own (keys are full module patterns or
/// relative ones).
struct PlanOptions {
    int tp = 1;
    LayoutChoice layout = LayoutChoice::best;
    Kernels kernels = Kernels::served;
    Sampling sampling = Sampling::logits;
    Transformers transformers = Transformers::v5_16;
    std::optional<TpPlan> tp_plan;
    /// Of tplan's own layouts on two kinds of device, see plan_mixed(); none: equal shares.
    std::optional<Shares> shares{};

    static void fields(auto& self, auto&& field) {
        field("tp", self.tp);
        field("layout", self.layout);
        field("kernels", self.kernels);
        field("sampling", self.sampling);
        field("transformers", self.transformers);
        field("tp_plan", self.tp_plan);
        field("shares", self.shares);
    }
    bool operator==(const PlanOptions&) const = default;
};

/// The model with the head that `options` ask for: with_sampling().
inline const Model& with_sampling(const Model& model, const PlanOptions& options,
                                  std::optional<Model>& kept) {
    return with_sampling(model, options.sampling, options.tp, kept);
}

/// The cut of one tensor.
struct TensorPlan {
    std::string style = "replicated";
    Split split;
    bool operator==(const TensorPlan&) const = default;
};

/// The layouts an op takes, one per input, and leaves, one per output, before any communication.
struct OpFlow {
    std::vector<Layout> inputs;
    std::vector<Layout> outputs;
    bool operator==(const OpFlow&) const = default;
};

/// The layouts of a block: of the residual stream as it comes and as it is handed on (of the last
/// block: of its result), and of every op.
struct BlockFlow {
    Layout input, output;
    std::vector<OpFlow> ops;
    bool operator==(const BlockFlow&) const = default;
};

/// A layout for every tensor and op of the model: `tensors[block][tensor]`, `op_styles[block][op]`
/// (index into `styles`, -1 when no rule governs the op's module). `flows[block]` gives the layouts
/// of activations outright; empty: they follow from the cuts by the rules of flow().
struct Plan {
    PlanOptions options;
    std::vector<Style> styles;
    std::vector<std::vector<TensorPlan>> tensors;
    std::vector<std::vector<int>> op_styles;
    std::vector<BlockFlow> flows{};
    std::vector<std::string>
        notes;  // uneven splits that run, replicated leftovers, warnings of verify_tp_plan
};

/// Why a degree does not work, and what tplan can do about it.
struct Feasibility {
    bool feasible = true;
    /// False: the configuration does not give a size that a rule divides, so that `feasible` says
    /// no more than that nothing known forbids the degree. `notes` name the size.
    bool certain = true;
    std::vector<Violation> violations;
    std::vector<std::string>
        remedies;  // kv_replication, uneven_shards, vocab_padding, block_padding, replicate_module
    std::vector<std::string> notes;
    bool operator==(const Feasibility&) const = default;
};

/// The first violation in words, for a line of its own.
std::string first_message(const Feasibility& feasibility);

/// Judges the model's plan as transformers runs it: heads and KV heads where
/// q/k/v are split and not gathered, packed halves, a gathered vocabulary, experts under expert
/// parallelism, a cut quantisation block. Every violation is listed. Plain uneven splits that run
/// are notes. Works without a graph too, from the configuration and the plan's keys; tp 1 is always
/// feasible. `options.layout` is not looked at.
Feasibility judge(const ModelConfig& config, const Verdict& verdict, const PlanOptions& options);

/// judge() less what `options.layout` mends: with `best`, KV heads are copied where the degree
/// passes them (tp % kv_heads == 0 and heads % tp == 0). What make_plan() goes by.
Feasibility judge_layout(const ModelConfig& config, const Verdict& verdict,
                         const PlanOptions& options);

/// Whether `options.layout` gives every rank a whole KV head, a copy of another rank's: more ranks
/// than KV heads, evenly.
bool copies_kv_heads(const ModelConfig& config, const PlanOptions& options);

/// How far lists of working degrees go.
constexpr int kHighestDegreeListed = 16;

/// The degrees 1..max at which judge_layout() finds no violation, ascending. `options.tp` is not
/// looked at.
std::vector<int> working_degrees(const ModelConfig& config, const Verdict& verdict,
                                 PlanOptions options, int max = kHighestDegreeListed);

/// The same rules with keys from the root of the model, as transformers looks modules up in a
/// dictionary given to it: "layers.*.mlp.up_proj" becomes "model.layers.*.mlp.up_proj", and
/// "lm_head" the head's own name. Keys from the root stay as they are.
TpPlan from_root(const TpPlan& rules, const Model& model);

/// The cut of every tensor as transformers would load it, whether or not the degree then runs: what
/// `inspect` shows of a degree that judge() refuses. Requires a graph and tp >= 1.
Plan assign(const ModelConfig& config, const Model& model, const PlanOptions& options);

/// What make_plan() gives: one of the two says why the other is empty.
struct Planned {
    std::optional<Plan> plan;
    Feasibility feasibility;
};

/// Applies the plan. Returns violations instead when the degree does not work under
/// `options.layout`: with `best`, KV heads are replicated where the degree passes them (tp %
/// kv_heads == 0), everything else is as `hf`. A model without a TP plan is feasible at tp 1 only.
/// Beyond judge_layout(), a style that the graph's op cannot carry is `op_unsupported`.
/// Requires a graph (`config.family`) and tp >= 1.
Planned make_plan(const ModelConfig& config, const Model& model, const PlanOptions& options);

}  // namespace tplan
