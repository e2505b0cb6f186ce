#include "planner/choice.h"

#include <cmath>
#include <random>

#include "tests/support/catch.h"

using namespace tplan;

// The solver against full enumeration over random small problems: whole-number costs, so that sums
// are exact and ties are many; illegal alternatives; repeated blocks; memory caps.

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kProblems = 600;
#else
constexpr int kProblems = 12000;
#endif

struct Random {
    std::mt19937 engine;
    int below(int n) { return static_cast<int>(engine() % static_cast<unsigned>(n)); }
    double seconds(int illegal_in) {
        return below(illegal_in) == 0 ? kIllegal : static_cast<double>(below(6));
    }
};

Decision random_decision(Random& random, int size, int illegal_in) {
    Decision decision{"d", {}, {}};
    for (int i = 0; i < size; ++i) {
        decision.seconds.push_back(random.seconds(illegal_in));
        decision.bytes.push_back(static_cast<double>(random.below(5)));
    }
    return decision;
}

Coupling random_coupling(Random& random, const ChoiceBlock& block, int a, int b) {
    Coupling coupling{a, b, {}};
    const auto entries = block.decisions[static_cast<std::size_t>(a)].size() *
                         block.decisions[static_cast<std::size_t>(b)].size();
    for (int i = 0; i < entries; ++i) coupling.seconds.push_back(random.seconds(7));
    return coupling;
}

/// Up to `inner` decisions of up to 4 alternatives between an entry and an exit of `states`, joined
/// in a line with some chords: residual connections.
ChoiceBlock random_block(Random& random, int states, bool entry, bool exit, int inner) {
    ChoiceBlock block;
    if (entry) {
        block.entry = 0;
        block.decisions.push_back(random_decision(random, states, 1000));
    }
    const int count = 1 + random.below(inner);
    for (int i = 0; i < count; ++i)
        block.decisions.push_back(random_decision(random, 1 + random.below(4), 12));
    if (exit) {
        block.exit = static_cast<int>(block.decisions.size());
        block.decisions.push_back(random_decision(random, states, 1000));
    }
    const int last = static_cast<int>(block.decisions.size()) - 1;
    for (int i = 0; i < last; ++i)
        block.couplings.push_back(random_coupling(random, block, i, i + 1));
    for (int i = 0; i + 2 <= last; ++i) {
        if (random.below(3) == 0)
            block.couplings.push_back(random_coupling(random, block, i + 2, i));
    }
    return block;
}

ChoiceChain random_chain(Random& random) {
    ChoiceChain chain;
    const int shape = random.below(3);
    if (shape == 0) {  // one block: up to 7 decisions
        chain.blocks.push_back(random_block(random, 1, false, false, 7));
        chain.sequence = {0};
        return chain;
    }
    const int states = 1 + random.below(3);
    chain.blocks.push_back(random_block(random, states, false, true, 2));
    chain.blocks.push_back(random_block(random, states, true, true, 2));
    chain.blocks.push_back(random_block(random, states, true, false, 2));
    chain.sequence = {0, 1, 2};
    if (shape == 2) chain.sequence = {0, 1, 1, 2};
    return chain;
}

/// Every assignment, by counting.
struct Enumeration {
    double best = kIllegal;
    double least_bytes = kIllegal;  // of the best
    double count = 0;
};
Enumeration enumerate(const ChoiceChain& chain, double cap) {
    Enumeration found;
    Assignment assignment;
    for (const int b : chain.sequence) {
        const auto& block = chain.blocks[static_cast<std::size_t>(b)];
        assignment.emplace_back(block.decisions.size(), 0);
    }
    const auto advance = [&] {
        for (std::size_t p = 0; p < assignment.size(); ++p) {
            const auto& block = chain.blocks[static_cast<std::size_t>(chain.sequence[p])];
            for (std::size_t d = 0; d < assignment[p].size(); ++d) {
                if (++assignment[p][d] < block.decisions[d].size()) return true;
                assignment[p][d] = 0;
            }
        }
        return false;
    };
    do {
        const auto cost = evaluate(chain, assignment);
        if (cost.seconds == kIllegal || cost.bytes > cap) continue;
        if (cost.seconds < found.best) found = {cost.seconds, cost.bytes, 0};
        if (cost.seconds == found.best) {
            found.least_bytes = std::min(found.least_bytes, cost.bytes);
            ++found.count;
        }
    } while (advance());
    return found;
}

double assignments(const ChoiceChain& chain) {
    double count = 1;
    for (const int b : chain.sequence) {
        for (const auto& decision : chain.blocks[static_cast<std::size_t>(b)].decisions)
            count *= decision.size();
    }
    return count;
}

}  // namespace

TEST_CASE("choice: the solver agrees with full enumeration on small problems") {
    Random random{std::mt19937{20261122}};
    int capped = 0, impossible = 0, ties = 0, open = 0, checked = 0;
    while (checked < kProblems) {
        const auto chain = random_chain(random);
        if (assignments(chain) > 20000) continue;
        ++checked;
        const auto free = solve(chain);
        const auto all = enumerate(chain, kIllegal);
        REQUIRE(free.has_value() == (all.count > 0));
        if (!free) {
            ++impossible;
            continue;
        }
        REQUIRE(free->cost.seconds == all.best);
        REQUIRE(free->cost.bytes == all.least_bytes);
        REQUIRE(free->optima == all.count);
        REQUIRE(evaluate(chain, free->assignment).seconds == all.best);
        REQUIRE(potentials_fault(chain, free->potentials).empty());
        REQUIRE(free->potentials.bound == all.best);
        ties += all.count > 1;

        const double cap = free->cost.bytes - 1 - random.below(4);
        const auto within = enumerate(chain, cap);
        const auto bounded = solve(chain, cap);
        REQUIRE(bounded.has_value() == (within.count > 0));
        if (!bounded) continue;
        ++capped;
        REQUIRE(bounded->cost.seconds == within.best);
        REQUIRE(bounded->cost.bytes <= cap);
        REQUIRE(potentials_fault(chain, bounded->potentials).empty());
        REQUIRE(bounded->potentials.bound <= within.best + 1e-9);
        open += bounded->potentials.bound < within.best - 1e-9;
    }
    // The cases are there: a generator that makes only easy ones proves nothing.
    CHECK(capped > kProblems / 5);
    CHECK(impossible > kProblems / 100);
    CHECK(ties > kProblems / 10);
    CHECK(open > 0);
}

TEST_CASE("choice: costs scale, a further alternative never hurts") {
    Random random{std::mt19937{7}};
    for (int i = 0; i < 300; ++i) {
        auto chain = random_chain(random);
        const auto before = solve(chain);
        if (!before) continue;
        auto doubled = chain;
        for (auto& block : doubled.blocks) {
            for (auto& decision : block.decisions) {
                for (auto& seconds : decision.seconds) seconds *= 2;
            }
            for (auto& coupling : block.couplings) {
                for (auto& seconds : coupling.seconds) seconds *= 2;
            }
        }
        REQUIRE(solve(doubled)->cost.seconds == 2 * before->cost.seconds);

        auto& block = chain.blocks.back();
        auto& decision = block.decisions.back();
        const int index = static_cast<int>(block.decisions.size()) - 1;
        if (index == block.entry || index == block.exit) continue;
        const auto size = static_cast<std::size_t>(decision.size());
        decision.seconds.push_back(random.seconds(12));
        decision.bytes.push_back(0);
        for (auto& c : block.couplings) {
            if (c.a != index && c.b != index) continue;
            std::vector<double> wider;
            const auto columns = block.decisions[static_cast<std::size_t>(c.b)].seconds.size();
            const auto old = c.b == index ? size : columns;
            const auto rows = block.decisions[static_cast<std::size_t>(c.a)].seconds.size();
            for (std::size_t r = 0; r < rows; ++r) {
                for (std::size_t k = 0; k < columns; ++k) {
                    const bool known = (c.a != index || r < size) && (c.b != index || k < size);
                    wider.push_back(known ? c.seconds[r * old + k] : random.seconds(7));
                }
            }
            c.seconds = std::move(wider);
        }
        REQUIRE(solve(chain)->cost.seconds <= before->cost.seconds);
    }
}

TEST_CASE("choice: a changed potential, a cheaper cost or another bound is found out") {
    Random random{std::mt19937{11}};
    int told = 0;
    for (int i = 0; i < 200; ++i) {
        auto chain = random_chain(random);
        const auto solution = solve(chain);
        if (!solution || solution->cost.seconds == 0) continue;
        auto raised = solution->potentials;
        raised.bound += 0.5;
        REQUIRE_FALSE(potentials_fault(chain, raised).empty());
        raised = solution->potentials;
        for (auto& block : raised.blocks) {
            if (!block.messages.empty()) block.messages.front().seconds.front() += 0.25;
        }
        // Raising a bound that nothing leans on may stay true; raising the last one may not.
        raised.places.front().front() += 0.25;
        REQUIRE_FALSE(potentials_fault(chain, raised).empty());
        auto cheaper = chain;
        const auto place = solution->assignment.size() - 1;
        auto& block = cheaper.blocks[static_cast<std::size_t>(chain.sequence[place])];
        auto& decision = block.decisions.back();
        decision.seconds[static_cast<std::size_t>(solution->assignment[place].back())] -= 1;
        REQUIRE_FALSE(potentials_fault(cheaper, solution->potentials).empty());
        ++told;
    }
    CHECK(told > 50);
}
