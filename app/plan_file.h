#pragma once
#include <optional>
#include <string>

#include "app/validated.h"

/// Plan files of both kinds, validated or not.

namespace tplan {

/// The schema of a plan together with its validation; Validation is what it has more.
constexpr std::string_view kValidatedSchema = "tplan.validated/1";

/// One JSON document `tplan.validated/1`: everything of the plan, then the validation.
Json write_validated(const PlanDocument& plan, const Validation& validation);

/// A plan file of either kind. `validation` is set for a validated plan; `plan` is the plan's own
/// document.
struct PlanFile {
    Json plan;
    std::optional<Validation> validation;
};

/// Takes a file of either kind apart. Throws Error when it cannot be read, is not JSON, or a
/// validated plan lacks a key (OutOfRange for a number that cannot be one there); whether the plan
/// itself is one is read_plan()'s question.
PlanFile read_plan_file(const std::string& path);

/// The same from a parsed document; `where` names it in messages.
PlanFile take_apart(Json document, const std::string& where);

/// Is there a file of that name with the schema of a plan, validated or not? Throws Error for a
/// file that is not JSON.
bool is_plan_file(const std::string& path);

}  // namespace tplan
