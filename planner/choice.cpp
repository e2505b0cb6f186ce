#include "planner/choice.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <utility>

#include "core/text.h"
#include "planner/choice_memory.h"
#include "planner/eliminate.h"

namespace tplan {
namespace {

/// Costs closer than this, relatively, are the same.
constexpr double kSame = 1e-12;
/// JSON has no infinity: a lower bound of so many seconds says as much.
constexpr double kUnreachable = 1e9;
/// What the inequalities of a proof may lack, of the bound.
constexpr double kSlack = 1e-9;

std::size_t at(int i) {
    return static_cast<std::size_t>(i);
}

/// A cost to minimise: the first decides, the second breaks ties, the third counts.
struct Value {
    double first = 0, second = 0, count = 1;

    Value operator+(const Value& other) const {
        return {first + other.first, second + other.second, count * other.count};
    }
};

bool same(double a, double b) {
    if (a == kIllegal || b == kIllegal) return a == b;
    return std::abs(a - b) <= kSame * std::max(std::abs(a), std::abs(b));
}

/// Keeps the better of two, counting equals together. True when `other` was taken.
bool keep_better(Value& best, const Value& other) {
    if (same(other.first, best.first)) {
        const double count = best.count + other.count;
        const bool taken = other.second < best.second && !same(other.second, best.second);
        if (taken) best = other;
        best.count = count;
        return taken;
    }
    if (other.first > best.first) return false;
    best = other;
    return true;
}

constexpr Value kNone{kIllegal, kIllegal, 0};

struct BlockSolution {
    const Elimination* elimination = nullptr;
    std::vector<std::vector<Value>> messages;  // per step
    std::vector<std::vector<int>> chosen;      // per step and entry: the best alternative
    std::vector<Value> table;                  // [entry][exit]
};

/// What is minimised: seconds + rate * bytes (then bytes), or bytes (then seconds).
struct Minimised {
    bool bytes_first = false;
    double rate = 0;
    bool proof = true;  // potentials are wanted; never with bytes first

    Value of(double seconds, double bytes) const {
        if (seconds == kIllegal) return {kIllegal, kIllegal, 0};
        if (bytes_first) return {bytes, seconds, 1};
        return {seconds + rate * bytes, bytes, 1};
    }
};

/// Value of a numbered factor at the chosen alternatives.
struct Factors {
    const ChoiceBlock& block;
    const Elimination& elimination;
    const std::vector<std::vector<Value>>& messages;
    const Minimised& objective;

    Value operator()(int factor, const std::vector<int>& chosen) const {
        const auto own = static_cast<int>(block.decisions.size());
        if (factor < own) {
            const auto& decision = block.decisions[at(factor)];
            const auto choice = at(chosen[at(factor)]);
            return objective.of(decision.seconds[choice], decision.bytes[choice]);
        }
        const auto pairs = static_cast<int>(block.couplings.size());
        if (factor < own + pairs) {
            const auto& c = block.couplings[at(factor - own)];
            const auto width = block.decisions[at(c.b)].seconds.size();
            return objective.of(c.seconds[at(chosen[at(c.a)]) * width + at(chosen[at(c.b)])], 0);
        }
        const auto step = at(factor - own - pairs);
        return messages[step][entry_of(block, elimination.steps[step].scope, chosen)];
    }
};

std::vector<int> ends_of(const ChoiceBlock& block) {
    std::vector<int> ends;
    for (const int end : {block.entry, block.exit}) {
        if (end >= 0) ends.push_back(end);
    }
    return ends;
}

BlockSolution solve_block(const ChoiceBlock& block, const Elimination& elimination,
                          const Minimised& objective) {
    BlockSolution solution{&elimination, {}, {}, {}};
    std::vector<int> chosen(block.decisions.size(), 0);
    const Factors factors{block, elimination, solution.messages, objective};
    for (const auto& step : elimination.steps) {
        std::vector<Value> message(step.scope.entries);
        std::vector<int> picked(step.scope.entries, 0);
        for_each_entry(block, step.scope, chosen, [&](std::size_t entry) {
            auto best = kNone;
            const int size = block.decisions[at(step.decision)].size();
            for (int choice = 0; choice < size; ++choice) {
                chosen[at(step.decision)] = choice;
                Value sum;
                for (const int f : step.factors) sum = sum + factors(f, chosen);
                if (sum.first != kIllegal && keep_better(best, sum)) picked[entry] = choice;
            }
            message[entry] = best;
        });
        solution.messages.push_back(std::move(message));
        solution.chosen.push_back(std::move(picked));
    }
    // Entry before exit, whatever their numbers.
    FactorScope ends = make_scope(block, ends_of(block));
    solution.table.resize(ends.entries);
    for_each_entry(block, ends, chosen, [&](std::size_t entry) {
        Value sum;
        for (const int f : elimination.left) sum = sum + factors(f, chosen);
        solution.table[entry] = sum;
    });
    return solution;
}

int states(const ChoiceBlock& block, int end) {
    return end < 0 ? 1 : block.decisions[at(end)].size();
}

/// All decisions of a block once entry and exit are known.
std::vector<int> unwind(const ChoiceBlock& block, const BlockSolution& solution, int entry,
                        int exit) {
    std::vector<int> chosen(block.decisions.size(), 0);
    if (block.entry >= 0) chosen[at(block.entry)] = entry;
    if (block.exit >= 0) chosen[at(block.exit)] = exit;
    const auto& steps = solution.elimination->steps;
    for (auto s = steps.size(); s-- > 0;) {
        chosen[at(steps[s].decision)] = solution.chosen[s][entry_of(block, steps[s].scope, chosen)];
    }
    return chosen;
}

/// Costs to go, [place][entry], one place more than there are: the end.
std::vector<std::vector<Value>> costs_to_go(const ChoiceChain& chain,
                                            const std::vector<BlockSolution>& solved) {
    std::vector<std::vector<Value>> to_go(chain.sequence.size() + 1);
    to_go.back() = {Value{}};
    for (auto place = chain.sequence.size(); place-- > 0;) {
        const auto b = at(chain.sequence[place]);
        const auto& block = chain.blocks[b];
        const int exits = states(block, block.exit);
        auto& here = to_go[place];
        here.assign(at(states(block, block.entry)), kNone);
        for (std::size_t entry = 0; entry < here.size(); ++entry) {
            for (int exit = 0; exit < exits; ++exit) {
                const auto sum =
                    solved[b].table[entry * at(exits) + at(exit)] + to_go[place + 1][at(exit)];
                if (sum.first != kIllegal) keep_better(here[entry], sum);
            }
        }
    }
    return to_go;
}

Assignment follow(const ChoiceChain& chain, const std::vector<BlockSolution>& solved,
                  const std::vector<std::vector<Value>>& to_go) {
    Assignment assignment;
    int entry = 0, before = -1;  // states in which this place and the last one begin
    for (std::size_t place = 0; place < chain.sequence.size(); ++place) {
        const auto b = at(chain.sequence[place]);
        const auto& block = chain.blocks[b];
        const int exits = states(block, block.exit);
        auto best = kNone;
        int exit = 0;
        for (int e = 0; e < exits; ++e) {
            const auto sum = solved[b].table[at(entry * exits + e)] + to_go[place + 1][at(e)];
            if (sum.first != kIllegal && keep_better(best, sum)) exit = e;
        }
        // Most layers are as the one before.
        const bool again =
            place > 0 && b == at(chain.sequence[place - 1]) && entry == before && exit == entry;
        assignment.push_back(again ? assignment.back() : unwind(block, solved[b], entry, exit));
        before = std::exchange(entry, exit);
    }
    return assignment;
}

std::vector<double> finite(const std::vector<Value>& values) {
    std::vector<double> numbers;
    for (const auto& value : values) numbers.push_back(std::min(value.first, kUnreachable));
    return numbers;
}

Potentials potentials_of(const std::vector<BlockSolution>& solved,
                         const std::vector<std::vector<Value>>& to_go, double rate, double cap) {
    Potentials potentials;
    potentials.seconds_per_byte = rate;
    potentials.bytes_cap = rate > 0 ? cap : 0;
    for (const auto& block : solved) {
        auto& own = potentials.blocks.emplace_back();
        for (std::size_t s = 0; s < block.messages.size(); ++s) {
            const auto& step = block.elimination->steps[s];
            own.messages.push_back({step.decision, step.scope.over, finite(block.messages[s])});
        }
        own.table = finite(block.table);
    }
    for (std::size_t place = 0; place + 1 < to_go.size(); ++place)
        potentials.places.push_back(finite(to_go[place]));
    potentials.bound = potentials.places.front().front() - rate * potentials.bytes_cap;
    return potentials;
}

std::optional<ChoiceSolution> solve_for(const ChoiceChain& chain, const Minimised& objective,
                                        double cap) {
    const auto eliminations = eliminations_of(chain);
    std::vector<BlockSolution> solved;
    for (std::size_t b = 0; b < chain.blocks.size(); ++b)
        solved.push_back(solve_block(chain.blocks[b], (*eliminations)[b], objective));
    const auto to_go = costs_to_go(chain, solved);
    if (to_go.front().front().first == kIllegal) return std::nullopt;
    ChoiceSolution solution;
    solution.assignment = follow(chain, solved, to_go);
    solution.cost = evaluate(chain, solution.assignment);
    solution.optima = to_go.front().front().count;
    if (objective.proof && !objective.bytes_first)
        solution.potentials = potentials_of(solved, to_go, objective.rate, cap);
    return solution;
}

/// The multiplier with the highest bound, by cutting planes: the dual is the lower envelope of one
/// line per assignment, and each solution gives a line. `fast` exceeds the cap, `small` does not.
ChoiceSolution best_multiplier(const ChoiceChain& chain, ChoiceSolution fast, ChoiceSolution small,
                               double cap, ChoiceSolution& feasible) {
    auto best = fast;
    for (int round = 0; round < 60; ++round) {
        const double saved = fast.cost.bytes - small.cost.bytes;
        if (saved <= 0) break;
        const double rate = (small.cost.seconds - fast.cost.seconds) / saved;
        auto middle = *solve_for(chain, {.rate = rate}, cap);
        if (middle.potentials.bound > best.potentials.bound) best = middle;
        const double value = middle.cost.seconds + rate * middle.cost.bytes;
        const double known = fast.cost.seconds + rate * fast.cost.bytes;
        const bool within = middle.cost.bytes <= cap;
        if (within && middle.cost.seconds < feasible.cost.seconds) feasible = middle;
        if (same(value, known) || value >= known) break;
        (within ? small : fast) = std::move(middle);
    }
    return best;
}

std::string describe_bound(const std::string& what, double stored, double found) {
    return fmt::format("{}: {} is above {}", what, stored, found);
}

/// Checks one block's inequalities; `found` in words or empty.
std::string block_fault(const ChoiceBlock& block, const BlockPotentials& potentials, double rate,
                        double slack, const std::string& name) {
    Elimination retraced;
    std::vector<std::vector<Value>> messages;
    const Minimised objective{.rate = rate};
    const auto own = block.decisions.size(), pairs = block.couplings.size();
    std::vector<bool> used(own + pairs + potentials.messages.size(), false);
    std::vector<bool> gone(own, false);
    std::vector<int> chosen(own, 0);
    const Factors value{block, retraced, messages, objective};
    const auto depends = [&](std::size_t factor, int decision) {
        const auto over = scope_of(block, retraced, static_cast<int>(factor)).over;
        return std::find(over.begin(), over.end(), decision) != over.end();
    };
    for (const auto& message : potentials.messages) {
        const int d = message.decision;
        if (d < 0 || at(d) >= own || gone[at(d)] || d == block.entry || d == block.exit)
            return fmt::format("{}: decision {} is not there to eliminate", name, d);
        for (const int o : message.over) {
            if (o < 0 || at(o) >= own || gone[at(o)] || o == d)
                return fmt::format("{}: a message over decision {}", name, o);
        }
        gone[at(d)] = true;
        EliminationStep step{d, {}, make_scope(block, message.over)};
        if (message.seconds.size() != step.scope.entries)
            return fmt::format("{}: a message of {} entries, not {}", name, message.seconds.size(),
                               step.scope.entries);
        for (std::size_t f = 0; f < own + pairs + messages.size(); ++f) {
            if (used[f] || !depends(f, d)) continue;
            used[f] = true;
            step.factors.push_back(static_cast<int>(f));
            for (const int o : scope_of(block, retraced, static_cast<int>(f)).over) {
                const auto& over = message.over;
                if (o != d && std::find(over.begin(), over.end(), o) == over.end())
                    return fmt::format("{}: the message of decision {} leaves out {}", name, d, o);
            }
        }
        std::string fault;
        for_each_entry(block, step.scope, chosen, [&](std::size_t entry) {
            for (int choice = 0; choice < block.decisions[at(d)].size(); ++choice) {
                chosen[at(d)] = choice;
                double sum = 0;
                for (const int f : step.factors) sum += value(f, chosen).first;
                if (fault.empty() && message.seconds[entry] > sum + slack)
                    fault = describe_bound(fmt::format("{}/{} alternative {}", name,
                                                       block.decisions[at(d)].name, choice),
                                           message.seconds[entry], sum);
            }
        });
        if (!fault.empty()) return fault;
        auto& stored = messages.emplace_back();
        for (const double seconds : message.seconds) stored.push_back({seconds, 0, 1});
        retraced.steps.push_back(std::move(step));
    }
    for (std::size_t d = 0; d < own; ++d) {
        const int i = static_cast<int>(d);
        if (!gone[d] && i != block.entry && i != block.exit)
            return fmt::format("{}: {} is not bounded", name, block.decisions[d].name);
    }
    const auto ends = make_scope(block, ends_of(block));
    if (potentials.table.size() != ends.entries)
        return fmt::format("{}: a table of {} entries", name, potentials.table.size());
    std::string fault;
    for_each_entry(block, ends, chosen, [&](std::size_t entry) {
        double sum = 0;
        for (std::size_t f = 0; f < used.size(); ++f) {
            if (!used[f]) sum += value(static_cast<int>(f), chosen).first;
        }
        if (fault.empty() && potentials.table[entry] > sum + slack)
            fault = describe_bound(name + "/table", potentials.table[entry], sum);
    });
    return fault;
}

}  // namespace

ChoiceCost evaluate(const ChoiceChain& chain, const Assignment& assignment) {
    assert(assignment.size() == chain.sequence.size());
    ChoiceCost cost;
    int state = -1;
    for (std::size_t place = 0; place < assignment.size(); ++place) {
        const auto& block = chain.blocks[at(chain.sequence[place])];
        const auto& chosen = assignment[place];
        for (std::size_t d = 0; d < block.decisions.size(); ++d) {
            cost.seconds += block.decisions[d].seconds[at(chosen[d])];
            cost.bytes += block.decisions[d].bytes[at(chosen[d])];
        }
        for (const auto& c : block.couplings) {
            const auto width = block.decisions[at(c.b)].seconds.size();
            cost.seconds += c.seconds[at(chosen[at(c.a)]) * width + at(chosen[at(c.b)])];
        }
        if (block.entry >= 0 && place > 0 && chosen[at(block.entry)] != state)
            cost.seconds = kIllegal;
        state = block.exit >= 0 ? chosen[at(block.exit)] : -1;
    }
    return cost;
}

std::optional<ChoiceEnds> solve_ends(const ChoiceChain& chain, bool proof) {
    auto fastest = solve_for(chain, {.proof = proof}, kIllegal);
    if (!fastest) return std::nullopt;
    auto smallest = solve_for(chain, {.bytes_first = true}, kIllegal);
    return ChoiceEnds{std::move(*fastest), std::move(*smallest)};
}

std::optional<ChoiceSolution> solve(const ChoiceChain& chain, const ChoiceEnds& ends,
                                    double bytes_cap, Effort effort) {
    if (ends.fastest.cost.bytes <= bytes_cap) return ends.fastest;
    if (ends.smallest.cost.bytes > bytes_cap) return std::nullopt;
    auto feasible = ends.smallest;
    auto bound = best_multiplier(chain, ends.fastest, ends.smallest, bytes_cap, feasible);
    // Of the smallest, `ends` has the fastest: there is nothing to look for.
    const bool settled = ends.smallest.cost.bytes == bytes_cap;
    LabelSearch labels{.assignment = {}, .complete = settled};
    if (settled) feasible = ends.smallest;
    if (!settled && effort == Effort::exact)
        labels = solve_within(chain, bytes_cap, feasible.cost.seconds, bound.potentials);
    ChoiceSolution solution;
    solution.assignment =
        labels.assignment ? std::move(*labels.assignment) : std::move(feasible.assignment);
    solution.cost = evaluate(chain, solution.assignment);
    solution.potentials = std::move(bound.potentials);
    solution.exact = labels.complete || same(solution.cost.seconds, solution.potentials.bound);
    return solution;
}

std::optional<ChoiceSolution> solve(const ChoiceChain& chain, double bytes_cap) {
    const auto ends = solve_ends(chain);
    return ends ? solve(chain, *ends, bytes_cap) : std::nullopt;
}

std::string potentials_fault(const ChoiceChain& chain, const Potentials& potentials) {
    const auto& places = potentials.places;
    if (potentials.seconds_per_byte < 0) return "a negative multiplier bounds nothing";
    if (potentials.blocks.size() != chain.blocks.size() || places.size() != chain.sequence.size())
        return "potentials of another problem";
    const double slack = kSlack * std::abs(potentials.bound) / static_cast<double>(places.size());
    for (std::size_t b = 0; b < chain.blocks.size(); ++b) {
        const auto fault =
            block_fault(chain.blocks[b], potentials.blocks[b], potentials.seconds_per_byte, slack,
                        fmt::format("block {}", b));
        if (!fault.empty()) return fault;
    }
    for (std::size_t place = 0; place < places.size(); ++place) {
        const auto b = at(chain.sequence[place]);
        const auto exits = at(states(chain.blocks[b], chain.blocks[b].exit));
        const auto entries = at(states(chain.blocks[b], chain.blocks[b].entry));
        if (places[place].size() != entries) return fmt::format("place {}: other states", place);
        for (std::size_t i = 0; i < entries * exits; ++i) {
            const auto after = place + 1 < places.size() ? places[place + 1][i % exits] : 0;
            const auto sum = potentials.blocks[b].table[i] + after;
            if (places[place][i / exits] > sum + slack)
                return describe_bound(fmt::format("place {}", place), places[place][i / exits],
                                      sum);
        }
    }
    const double bound =
        places.front().front() - potentials.seconds_per_byte * potentials.bytes_cap;
    if (potentials.bound > bound + slack) return describe_bound("bound", potentials.bound, bound);
    return {};
}

}  // namespace tplan
