#include "planner/eliminate.h"

#include <algorithm>
#include <limits>

namespace tplan {
namespace {

std::size_t at(int i) {
    return static_cast<std::size_t>(i);
}

/// The decisions besides `decision` that the given factors depend on.
std::vector<int> neighbours(const std::vector<std::vector<int>>& scopes,
                            const std::vector<int>& factors, int decision) {
    std::vector<int> over;
    for (const int f : factors) {
        for (const int d : scopes[at(f)]) {
            if (d != decision && std::find(over.begin(), over.end(), d) == over.end())
                over.push_back(d);
        }
    }
    std::sort(over.begin(), over.end());
    return over;
}

}  // namespace

FactorScope make_scope(const ChoiceBlock& block, std::vector<int> over) {
    FactorScope scope{std::move(over), 1};
    for (const int d : scope.over) scope.entries *= block.decisions[at(d)].seconds.size();
    return scope;
}

std::size_t entry_of(const ChoiceBlock& block, const FactorScope& scope,
                     const std::vector<int>& chosen) {
    std::size_t entry = 0;
    for (const int d : scope.over) {
        entry = entry * block.decisions[at(d)].seconds.size() + at(chosen[at(d)]);
    }
    return entry;
}

Elimination plan_elimination(const ChoiceBlock& block) {
    std::vector<std::vector<int>> scopes;
    for (std::size_t d = 0; d < block.decisions.size(); ++d)
        scopes.push_back({static_cast<int>(d)});
    for (const auto& coupling : block.couplings) {
        auto over = std::vector{coupling.a, coupling.b};
        std::sort(over.begin(), over.end());
        scopes.push_back(std::move(over));
    }
    std::vector<bool> used(scopes.size(), false);
    std::vector<bool> gone(block.decisions.size(), false);
    for (const int kept : {block.entry, block.exit}) {
        if (kept >= 0) gone[at(kept)] = true;
    }

    const auto touching = [&](int decision) {
        std::vector<int> factors;
        for (std::size_t f = 0; f < scopes.size(); ++f) {
            const auto& over = scopes[f];
            if (!used[f] && std::find(over.begin(), over.end(), decision) != over.end())
                factors.push_back(static_cast<int>(f));
        }
        return factors;
    };
    Elimination elimination;
    for (;;) {
        EliminationStep best;
        best.scope.entries = std::numeric_limits<std::size_t>::max();
        for (std::size_t d = 0; d < gone.size(); ++d) {
            if (gone[d]) continue;
            const int decision = static_cast<int>(d);
            auto factors = touching(decision);
            auto scope = make_scope(block, neighbours(scopes, factors, decision));
            if (scope.entries < best.scope.entries)
                best = {decision, std::move(factors), std::move(scope)};
        }
        if (best.scope.entries == std::numeric_limits<std::size_t>::max()) break;
        gone[at(best.decision)] = true;
        for (const int f : best.factors) used[at(f)] = true;
        scopes.push_back(best.scope.over);
        used.push_back(false);
        elimination.steps.push_back(std::move(best));
    }
    for (std::size_t f = 0; f < scopes.size(); ++f) {
        if (!used[f]) elimination.left.push_back(static_cast<int>(f));
    }
    return elimination;
}

std::shared_ptr<const std::vector<Elimination>> eliminations_of(const ChoiceChain& chain) {
    if (chain.eliminations) return chain.eliminations;
    auto made = std::make_shared<std::vector<Elimination>>();
    for (const auto& block : chain.blocks) made->push_back(plan_elimination(block));
    return made;
}

FactorScope scope_of(const ChoiceBlock& block, const Elimination& elimination, int factor) {
    const auto own = static_cast<int>(block.decisions.size());
    const auto pairs = static_cast<int>(block.couplings.size());
    if (factor < own) return make_scope(block, {factor});
    if (factor >= own + pairs) return elimination.steps[at(factor - own - pairs)].scope;
    // A coupling keeps its own order of the two: its table is stored that way.
    const auto& coupling = block.couplings[at(factor - own)];
    return make_scope(block, {coupling.a, coupling.b});
}

}  // namespace tplan
