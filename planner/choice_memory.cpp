#include "planner/choice_memory.h"

#include <algorithm>

#include "planner/eliminate.h"

namespace tplan {
namespace {

std::size_t at(int i) {
    return static_cast<std::size_t>(i);
}

/// A partial assignment that no other beats in both seconds and bytes. `trace` says how it came
/// about.
struct Label {
    double seconds = 0, bytes = 0;
    int trace = -1;
};
using Front = std::vector<Label>;  // ascending seconds, descending bytes

/// Either one decision taken (decision >= 0) or two traces joined.
struct Trace {
    int decision = -1, choice = 0;
    int left = -1, right = -1;
};

/// Labels that may be weighed at the places of the chain: about a second's work.
constexpr std::size_t kMostLabels = 4'000'000;

/// Drops what is dominated and what exceeds the cap.
template <class L>
void prune(std::vector<L>& front, double cap) {
    std::sort(front.begin(), front.end(), [](const L& a, const L& b) {
        return a.seconds != b.seconds ? a.seconds < b.seconds : a.bytes < b.bytes;
    });
    double least = cap;
    bool any = false;
    std::erase_if(front, [&](const L& label) {
        if (label.bytes > cap || (any && label.bytes >= least)) return true;
        least = label.bytes;
        any = true;
        return false;
    });
}

/// Label elimination of one block: as choice.cpp, with fronts for numbers.
struct LabelBlock {
    const ChoiceBlock& block;
    double cap;
    std::vector<Trace> traces;
    std::vector<std::vector<Front>> messages;
    const Elimination& elimination;

    int record(const Trace& trace) {
        traces.push_back(trace);
        return static_cast<int>(traces.size()) - 1;
    }

    int join(int a, int b) {
        if (a < 0 || b < 0) return std::max(a, b);
        return record({.left = a, .right = b});
    }

    Front factor(int number, const std::vector<int>& chosen) const {
        const auto own = static_cast<int>(block.decisions.size());
        if (number < own) {
            const auto& decision = block.decisions[at(number)];
            const auto choice = at(chosen[at(number)]);
            return decision.seconds[choice] == kIllegal
                       ? Front{}
                       : Front{{decision.seconds[choice], decision.bytes[choice]}};
        }
        const auto pairs = static_cast<int>(block.couplings.size());
        if (number >= own + pairs) {
            const auto step = at(number - own - pairs);
            return messages[step][entry_of(block, elimination.steps[step].scope, chosen)];
        }
        const auto& c = block.couplings[at(number - own)];
        const auto width = block.decisions[at(c.b)].seconds.size();
        const double seconds = c.seconds[at(chosen[at(c.a)]) * width + at(chosen[at(c.b)])];
        return seconds == kIllegal ? Front{} : Front{{seconds, 0}};
    }

    Front sum(const std::vector<int>& factors, const std::vector<int>& chosen) {
        Front total{{}};
        for (const int number : factors) {
            const auto own = factor(number, chosen);
            Front next;
            for (const auto& a : total) {
                for (const auto& b : own) {
                    next.push_back({a.seconds + b.seconds, a.bytes + b.bytes, -1});
                    if (next.back().bytes > cap) {
                        next.pop_back();
                    } else {
                        next.back().trace = join(a.trace, b.trace);
                    }
                }
            }
            prune(next, cap);
            total = std::move(next);
            if (total.empty()) break;
        }
        return total;
    }

    /// The fronts of every pair of entry and exit.
    std::vector<Front> solve() {
        std::vector<int> chosen(block.decisions.size(), 0);
        for (const auto& step : elimination.steps) {
            std::vector<Front> message(step.scope.entries);
            for_each_entry(block, step.scope, chosen, [&](std::size_t entry) {
                auto& best = message[entry];
                const int size = block.decisions[at(step.decision)].size();
                for (int choice = 0; choice < size; ++choice) {
                    chosen[at(step.decision)] = choice;
                    for (auto label : sum(step.factors, chosen)) {
                        const int own = record({.decision = step.decision, .choice = choice});
                        label.trace = join(own, label.trace);
                        best.push_back(label);
                    }
                }
                prune(best, cap);
            });
            messages.push_back(std::move(message));
        }
        std::vector<int> over;
        for (const int end : {block.entry, block.exit}) {
            if (end >= 0) over.push_back(end);
        }
        const auto ends = make_scope(block, over);
        std::vector<Front> table(ends.entries);
        for_each_entry(block, ends, chosen,
                       [&](std::size_t entry) { table[entry] = sum(elimination.left, chosen); });
        return table;
    }

    void unwind(int trace, std::vector<int>& chosen) const {
        if (trace < 0) return;
        const auto& t = traces[at(trace)];
        if (t.decision >= 0) chosen[at(t.decision)] = t.choice;
        unwind(t.left, chosen);
        unwind(t.right, chosen);
    }
};

/// A label at a place: where it came from and the block's own label.
struct Step {
    double seconds = 0, bytes = 0;
    int before = -1;  // label of the place before
    int entry = 0, exit = 0;
    int trace = -1;  // of the block
};

struct Dual {
    const Potentials& potentials;
    double cap, best_known;

    /// Can a label that stands before `place` in state `state` still end below what is known?
    bool hopeful(double seconds, double bytes, std::size_t place, std::size_t state) const {
        const double rate = potentials.seconds_per_byte;
        const double to_go = place < potentials.places.size() ? potentials.places[place][state] : 0;
        const double bound = seconds + to_go - rate * (cap - bytes);
        return bound <= best_known * (1 + 1e-12);
    }
};

}  // namespace

LabelSearch solve_within(const ChoiceChain& chain, double bytes_cap, double best_known,
                         const Potentials& potentials) {
    const auto eliminations = eliminations_of(chain);
    std::vector<LabelBlock> blocks;
    std::vector<std::vector<Front>> tables;
    for (std::size_t b = 0; b < chain.blocks.size(); ++b) {
        blocks.push_back({chain.blocks[b], bytes_cap, {}, {}, (*eliminations)[b]});
        tables.push_back(blocks.back().solve());
    }
    const Dual dual{potentials, bytes_cap, best_known};
    std::vector<std::vector<Step>> labels(chain.sequence.size());  // that survive, per place
    std::vector<std::vector<int>> alive{{-1}};  // per state: labels of the place before
    std::size_t weighed = 0;
    for (std::size_t place = 0; place < chain.sequence.size(); ++place) {
        const auto b = at(chain.sequence[place]);
        const auto& block = chain.blocks[b];
        const auto exits = block.exit < 0 ? 1 : block.decisions[at(block.exit)].seconds.size();
        std::vector<std::vector<Step>> reached(exits);
        for (std::size_t i = 0; i < tables[b].size(); ++i) {
            for (const int before : alive[i / exits]) {
                const Step from = before < 0 ? Step{} : labels[place - 1][at(before)];
                weighed += tables[b][i].size();
                if (weighed > kMostLabels) return {std::nullopt, false};
                for (const auto& label : tables[b][i]) {
                    const double seconds = from.seconds + label.seconds;
                    const double bytes = from.bytes + label.bytes;
                    if (bytes > bytes_cap || !dual.hopeful(seconds, bytes, place + 1, i % exits))
                        continue;
                    reached[i % exits].push_back({seconds, bytes, before,
                                                  static_cast<int>(i / exits),
                                                  static_cast<int>(i % exits), label.trace});
                }
            }
        }
        alive.assign(exits, {});
        auto& own = labels[place];
        for (std::size_t exit = 0; exit < exits; ++exit) {
            prune(reached[exit], bytes_cap);
            for (const auto& step : reached[exit]) {
                alive[exit].push_back(static_cast<int>(own.size()));
                own.push_back(step);
            }
        }
    }
    if (alive.front().empty()) return {};
    Assignment assignment(chain.sequence.size());
    int label = alive.front().front();
    for (auto place = chain.sequence.size(); place-- > 0;) {
        const auto b = at(chain.sequence[place]);
        const auto& step = labels[place][at(label)];
        auto& chosen = assignment[place];
        chosen.assign(chain.blocks[b].decisions.size(), 0);
        blocks[b].unwind(step.trace, chosen);
        if (chain.blocks[b].entry >= 0) chosen[at(chain.blocks[b].entry)] = step.entry;
        if (chain.blocks[b].exit >= 0) chosen[at(chain.blocks[b].exit)] = step.exit;
        label = step.before;
    }
    return {std::move(assignment)};
}

}  // namespace tplan
