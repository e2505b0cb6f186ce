#pragma once
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/json_io.h"

/// Exact choice among alternatives: a chain of blocks, in each a few decisions that are coupled in
/// pairs. The layout search is one such problem; nothing here knows about layouts.
///
/// Solved by eliminating decision after decision (Bertele & Brioschi, Nonserial dynamic
/// programming, 1972) inside each block and a shortest path over the places of the chain, so that a
/// block that repeats is eliminated once. Exact whatever the couplings; the effort grows with the
/// widest elimination only.

namespace tplan {

constexpr double kIllegal = std::numeric_limits<double>::infinity();

/// One decision: a cost per alternative. `seconds` may be kIllegal, `bytes` may not.
struct Decision {
    std::string name;
    std::vector<double> seconds;
    std::vector<double> bytes;

    int size() const { return static_cast<int>(seconds.size()); }
};

/// What two decisions cost together: seconds[i * size of b + j].
struct Coupling {
    int a = 0, b = 0;
    std::vector<double> seconds;
};

/// Decisions that are taken anew at every place where the block stands. The exit decision of one
/// place and the entry decision of the next take the same alternative; -1 at the ends of the chain.
struct ChoiceBlock {
    std::vector<Decision> decisions;
    std::vector<Coupling> couplings;
    int entry = -1, exit = -1;
};

struct Elimination;  // planner/eliminate.h

struct ChoiceChain {
    std::vector<ChoiceBlock> blocks;
    std::vector<int> sequence;  // block at each place
    /// Of each block, for chains that are solved again with other costs; else null. It depends on
    /// what is coupled and on the numbers of alternatives alone.
    std::shared_ptr<const std::vector<Elimination>> eliminations{};
};

/// The alternative taken: [place][decision].
using Assignment = std::vector<std::vector<int>>;

/// What an assignment costs, summed without any solver. kIllegal seconds when it is not allowed.
struct ChoiceCost {
    double seconds = 0, bytes = 0;
};
ChoiceCost evaluate(const ChoiceChain& chain, const Assignment& assignment);

/// A lower bound on the cost of a decision and everything eliminated before it, for each assignment
/// of the decisions it is coupled to (`over`, ascending; the last runs fastest).
struct ChoiceMessage {
    int decision = 0;
    std::vector<int> over;
    std::vector<double> seconds;
    static void fields(auto& self, auto&& field) {
        field("decision", self.decision);
        field("over", self.over);
        field("seconds", self.seconds);
    }
    bool operator==(const ChoiceMessage&) const = default;
};

/// The messages of one block in the order of elimination, and what is left: a lower bound for each
/// pair of entry and exit ([entry][exit], size 1 where there is none).
struct BlockPotentials {
    std::vector<ChoiceMessage> messages;
    std::vector<double> table;
    static void fields(auto& self, auto&& field) {
        field("messages", self.messages);
        field("table", self.table);
    }
    bool operator==(const BlockPotentials&) const = default;
};

/// Proof that no assignment within the cap costs less than `bound`: numbers whose inequalities
/// anyone can check without solving anything. With a multiplier the inequalities are those of
/// seconds + multiplier * bytes, and bound = places[0][0] - multiplier * cap (weak duality).
struct Potentials {
    double seconds_per_byte = 0;
    double bytes_cap = 0;  // counts only with a multiplier above 0
    double bound = 0;
    std::vector<BlockPotentials> blocks;
    std::vector<std::vector<double>> places;  // [place][entry]: from there to the end, at least
    static void fields(auto& self, auto&& field) {
        field("seconds_per_byte", self.seconds_per_byte);
        field("bytes_cap", self.bytes_cap);
        field("bound_s", self.bound);
        field("blocks", self.blocks);
        field("places", self.places);
    }
    bool operator==(const Potentials&) const = default;
};

struct ChoiceSolution {
    Assignment assignment;
    ChoiceCost cost;
    double optima = 1;  // how many assignments cost the same, to rounding; without a cap only
    bool exact = true;  // no other within the cap is cheaper; else the gap to the bound is open
    Potentials potentials;
};

/// How hard to look where a cap binds: `exact` closes the gap by labels, as far as their number is
/// bounded (choice_memory.h); `quick` takes the best that the multipliers came across, within the
/// gap that the potentials show.
enum class Effort { exact, quick };

/// The two ends between which a cap on bytes trades. Of equally fast assignments that with fewest
/// bytes, then the one with the earlier alternatives; of equally small ones the fastest, without
/// potentials.
struct ChoiceEnds {
    ChoiceSolution fastest, smallest;
};
/// nullopt when no assignment is legal. Without `proof` neither has potentials.
std::optional<ChoiceEnds> solve_ends(const ChoiceChain& chain, bool proof = true);

/// The cheapest assignment within `bytes_cap`; nullopt when none is. `ends` are the chain's. With a
/// cap that binds, the potentials are those of the best multiplier: their bound may lie below the
/// cost, though the cost is the optimum. A cap that only the smallest keep leaves the fastest of
/// them, `ends.smallest`. Of the ends, `fastest` must have its potentials.
std::optional<ChoiceSolution> solve(const ChoiceChain& chain, const ChoiceEnds& ends,
                                    double bytes_cap, Effort effort = Effort::exact);

/// The same from the start; without a cap the fastest of all.
std::optional<ChoiceSolution> solve(const ChoiceChain& chain, double bytes_cap = kIllegal);

/// Checks potentials against the costs alone. Empty when every inequality holds; else the first
/// that does not, in words. An assignment within the cap that costs `bound` is then optimal.
std::string potentials_fault(const ChoiceChain& chain, const Potentials& potentials);

}  // namespace tplan
