#pragma once
#include <string>
#include <vector>

#include "core/json_io.h"
#include "models/graph.h"

/// How the keys of a TP plan match modules and parameters. transformers has four matchers, and they
/// do not always agree; (a) and (b) decide what is split, (c) what the checkpoint loader cuts, (d)
/// what saving gathers.

namespace tplan {

/// Pattern -> style spelling, in the shipped order (the order decides: first match wins in the
/// checkpoint loader).
using TpPlan = Named<std::string>;

/// Matcher (a), hooks on modules: digits between dots become '*', then exact look-up; no parent
/// fallback.
const std::string* match_module(const TpPlan& plan, const std::string& module);

/// Matcher (b), parameters: as (a), then the parent module, so that weight and bias inherit.
const std::string* match_parameter(const TpPlan& plan, const std::string& parameter);

/// Matcher (c), checkpoint loader: one alternation in plan order, '*' matches anything, unanchored,
/// first branch wins.
const std::string* match_checkpoint(const TpPlan& plan, const std::string& parameter);

/// Matcher (d), saving and verification: every digit run becomes '*', then full key, parent,
/// grandparent.
const std::string* match_saved(const TpPlan& plan, const std::string& parameter);

/// Patterns of the plan that no module or parameter matched, and generic names of parameters no
/// rule covers: the two warnings of transformers' verify_tp_plan.
struct PlanCoverage {
    std::vector<std::string> unused_rules;
    std::vector<std::string> unsharded;
    std::vector<std::string> matcher_disagreements;  // where (b), (c) and (d) differ, in words
};
PlanCoverage check_coverage(const TpPlan& plan, const Model& model);

}  // namespace tplan
