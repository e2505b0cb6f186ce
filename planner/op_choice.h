#pragma once
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "models/graph.h"
#include "models/layout.h"
#include "planner/plan.h"

/// The layouts each op may take in tplan's own plans: the alternatives of the layout search.

namespace tplan {

/// Where an activation stands: all of it on every rank, a summand on every rank, own columns (as
/// column_cut() says), or own rows (sequence parallelism).
enum class LayoutState { replicated, partial, columns, tokens };
constexpr auto enum_names(LayoutState) {
    return std::array<std::string_view, 4>{"replicated", "partial", "columns", "tokens"};
}

/// The layout a state means for an activation. Columns require that column_cut() has a cut.
Layout layout_of(const Block& block, int activation, LayoutState state, int tp,
                 const std::optional<Shares>& shares = {});

/// One way to run an op.
struct OpChoice {
    /// replicated: everything on every rank. tokens: own rows, weights whole. columns: own columns
    /// of what comes in, element by element. partial: on summands. out, in: a linear cut along its
    /// output or input. vocabulary, hidden: a table by rows or columns. heads: attention. experts,
    /// ffn: whole experts or a part of each. summed: summands are added, reduced once, then added
    /// to the residual stream.
    std::string name;
    std::vector<LayoutState> inputs, outputs;
    std::vector<TensorPlan> weights;  // one per weight of the op
};

/// The ways to run an op over `tp` ranks, in the order in which equally good ones are preferred;
/// the first is always "replicated", and the only one at tp 1. Unequal `shares` are those of
/// columns, table rows and whole experts; own rows and parts of experts stay even.
std::vector<OpChoice> op_choices(const Block& block, const Op& op, int tp,
                                 const std::optional<Shares>& shares = {});

}  // namespace tplan
