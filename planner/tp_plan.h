#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/json_io.h"
#include "core/schema.h"
#include "models/config.h"
#include "planner/match.h"

/// The plans transformers ships per model type (data/tp_plans).

namespace tplan {

enum class Transformers { v5_16, v5_10 };  // 5.16 is the default; 5.10 where a verdict differs
constexpr auto enum_names(Transformers) {
    return std::array<std::string_view, 2>{"5.16", "5.10"};
}

enum class SupportsTp { yes, no, expert_parallel_only };
constexpr auto enum_names(SupportsTp) {
    return std::array<std::string_view, 3>{"yes", "no", "expert-parallel-only"};
}

struct Verdict {
    SupportsTp supports_tp = SupportsTp::no;
    std::string reason;                   // one sentence
    Nullable<TpPlan> base_model_tp_plan;  // keys relative to the base model
    Nullable<std::string> lm_head;        // style in effect in that version
    Nullable<TpPlan> ep_plan;
    std::vector<std::string> lost_to_block_fp8;  // rules that transformers' quantiser drops
    bool operator==(const Verdict&) const = default;
};

/// What transformers answers for this model. Knows every model type of the shipped tables; one that
/// only tplan has a graph for has no plan of its own. Throws Error naming model_type for any other.
Verdict tp_verdict(const ModelConfig& config, Transformers version);

/// What the files of data/tp_plans look like: a plan, the types without one, the umbrellas.
std::vector<SchemaOf> tp_plan_schemas();

/// Reads a plan given by hand: a JSON object of pattern -> style. Throws Error for an unsupported
/// style, listing the supported ones.
TpPlan read_tp_plan(const std::string& path);

/// The same from a parsed document; `where` names it in messages.
TpPlan read_tp_plan(const Json& document, const std::string& where);

/// The rules that run: the plan given by hand, or else the model's base plan with the head's rule
/// under "lm_head"; empty when there is neither. A block-fp8 checkpoint loses the rules that
/// transformers' quantiser drops from this type's plan.
TpPlan rules_in_effect(const ModelConfig& config, const Verdict& verdict,
                       const std::optional<TpPlan>& by_hand);

}  // namespace tplan
