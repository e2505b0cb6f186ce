#pragma once
#include <map>
#include <random>

#include "planner/layout_space.h"

namespace tplan::test {

/// A layout drawn at random: every way to run an op gets a price of its own that has nothing to do
/// with its cost.
inline Assignment random_assignment(const LayoutSpace& space, const ChoiceChain& priced,
                                    unsigned seed) {
    auto chain = priced;
    std::mt19937 random(seed);
    for (std::size_t b = 0; b < chain.blocks.size(); ++b) {
        for (std::size_t d = 0; d < chain.blocks[b].decisions.size(); ++d) {
            const auto& decision = space.blocks[b].decisions[d];
            if (decision.kind == SpaceDecision::Kind::supply) continue;
            std::map<std::vector<int>, double> price;  // of what ops take, however it is read
            auto& seconds = chain.blocks[b].decisions[d].seconds;
            for (std::size_t a = 0; a < seconds.size(); ++a) {
                const auto key = decision.picks.empty() ? std::vector<int>{static_cast<int>(a)}
                                                        : decision.picks[a];
                const auto known = price.find(key);
                if (known == price.end()) price[key] = static_cast<double>(random() % 1000);
                seconds[a] += price[key];
            }
        }
    }
    return solve(chain).value().assignment;
}

}  // namespace tplan::test
