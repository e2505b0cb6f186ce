#pragma once
#include <vector>

#include "planner/choice.h"

/// The order in which the decisions of a block are eliminated, shared by the solvers of choice.cpp
/// and choice_memory.cpp and retraced by the checker.

namespace tplan {

/// Which decisions a factor depends on (ascending), and how many entries it has.
struct FactorScope {
    std::vector<int> over;
    std::size_t entries = 1;
};

/// Scope of the given decisions.
FactorScope make_scope(const ChoiceBlock& block, std::vector<int> over);

/// Index of an assignment of all of a block's decisions in a factor.
std::size_t entry_of(const ChoiceBlock& block, const FactorScope& scope,
                     const std::vector<int>& chosen);

/// Calls `visit` with every assignment of the scope's decisions; others stay as they are in
/// `chosen`.
template <class Visit>
void for_each_entry(const ChoiceBlock& block, const FactorScope& scope, std::vector<int>& chosen,
                    const Visit& visit) {
    for (const int d : scope.over) chosen[static_cast<std::size_t>(d)] = 0;
    for (std::size_t entry = 0; entry < scope.entries; ++entry) {
        visit(entry);
        for (auto d = scope.over.rbegin(); d != scope.over.rend(); ++d) {
            auto& choice = chosen[static_cast<std::size_t>(*d)];
            if (++choice < block.decisions[static_cast<std::size_t>(*d)].size()) break;
            choice = 0;
        }
    }
}

/// One step of elimination: the factors that depend on the decision are joined and minimised over
/// it. Factors are numbered: the decisions' own costs, the couplings, then the messages in order.
struct EliminationStep {
    int decision = 0;
    std::vector<int> factors;
    FactorScope scope;  // of the message
};

struct Elimination {
    std::vector<EliminationStep> steps;
    std::vector<int> left;  // factors over entry and exit alone
};

/// All decisions but entry and exit, each time the one whose message has fewest entries.
Elimination plan_elimination(const ChoiceBlock& block);

/// That of every block of a chain: the ones it has, or made here.
std::shared_ptr<const std::vector<Elimination>> eliminations_of(const ChoiceChain& chain);

/// Scope of a numbered factor.
FactorScope scope_of(const ChoiceBlock& block, const Elimination& elimination, int factor);

}  // namespace tplan
