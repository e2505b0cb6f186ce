#pragma once
#include <string>
#include <vector>

#include "planner/document.h"

namespace tplan {

/// One place where a document differs from what its own configuration and profile give.
struct Difference {
    std::string path;      // "predicted/ops/3/time_s"
    std::string found;     // in the document
    std::string expected;  // recomputed
    static void fields(auto& self, auto&& field) {
        field("path", self.path);
        field("found", self.found);
        field("expected", self.expected);
    }
    bool operator==(const Difference&) const = default;
};

/// Numbers recomputed elsewhere by the same formulas may round differently in their last bits; an
/// edit does not hide below that.
constexpr double kRoundingTolerance = 1e-12;

/// So many are listed; there may be more.
constexpr std::size_t kMostDifferences = 50;

/// "3 values differ, the first at PATH: found X, expected Y"; requires one.
std::string first_of(const std::vector<Difference>& differences);

/// Compares two documents value by value; numbers differ when they are further apart than
/// `tolerance` of the larger (0: at all). Stops after `limit` differences.
std::vector<Difference> compare_json(const Json& found, const Json& expected, std::size_t limit,
                                     double tolerance = kRoundingTolerance);

/// Independent checker. Recomputes shapes, slices, program, memory and prediction from the embedded
/// configuration, profile and request, and tests on its own that the shards of every parameter tile
/// it exactly or replicate it. Empty = the plan is what it says. A number that cannot stand where
/// it does, or goes with no other, is a difference too. Throws Error for a missing key and a wrong
/// type.
std::vector<Difference> check_plan(const Json& document, const std::string& where);

/// An error about a number of the document `where` as a difference.
Difference edit_of(const Error& error, const std::string& where);

/// Reads a plan document strictly (`tplan.plan/1`). Extra keys of a validated plan must have been
/// removed before.
PlanDocument read_plan(const Json& document, const std::string& where);

}  // namespace tplan
