#pragma once
#include <string>

#include "planner/document.h"

namespace tplan {

/// A plan for a terminal: the answer and how sure it is, the rejected degrees, transformers' own
/// plan beside it, the layout with its proof, the Pareto table, the estimate, notes.
std::string plan_text(const PlanDocument& plan);

/// How an op is shared out, for people: choices are named for the search (planner/op_choice.cpp).
std::string cut_text(const std::string& choice);

}  // namespace tplan
