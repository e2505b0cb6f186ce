#include <algorithm>
#include <cassert>

#include "planner/space_block.h"

namespace tplan {
namespace {

using State = LayoutState;
constexpr std::size_t kStates = 4;

std::size_t at(int i) {
    return static_cast<std::size_t>(i);
}

}  // namespace

/// What a decision's alternative leaves of an activation.
State BlockSpace::left_by(int decision, std::size_t alternative, int activation) const {
    const auto& made = space_.decisions[at(decision)];
    if (made.kind == SpaceDecision::Kind::entry) return stream_of(alternative);
    for (std::size_t i = 0; i < made.ops.size(); ++i) {
        const auto& op = block_.ops[made.ops[i]];
        const auto& choice = space_.choices[made.ops[i]][at(made.picks[alternative][i])];
        for (std::size_t out = 0; out < op.outputs.size(); ++out) {
            if (op.outputs[out] != activation) continue;
            return choice.outputs[out];
        }
    }
    assert(false);
    return State::replicated;
}

/// A projection that may run fused hands its output to a collective exactly where its alternative
/// says so.
bool BlockSpace::may_supply(int decision, std::size_t alternative, int activation,
                            unsigned set) const {
    const auto& made = space_.decisions[at(decision)];
    if (made.kind != SpaceDecision::Kind::ops) return true;
    const auto& pick = group_picks_[at(decision - first_group_)][alternative];
    for (std::size_t i = 0; i < pick.moved.size(); ++i) {
        if (block_.ops[made.ops[i]].outputs[0] != activation) continue;
        const auto left = left_by(decision, alternative, activation);
        const bool stays = left == State::replicated || set == bit_of(left);
        return stays != pick.moved[i];
    }
    return true;
}

std::vector<BlockSpace::Reader> BlockSpace::readers_of(int activation) const {
    std::vector<Reader> readers;
    for (std::size_t d = 0; d < space_.decisions.size(); ++d) {
        const auto& decision = space_.decisions[d];
        Reader reader{static_cast<int>(d), std::vector<unsigned>(decision.sections.size(), 0)};
        bool reads = false;
        for (std::size_t i = 0; i < decision.ops.size(); ++i) {
            const auto& op = block_.ops[decision.ops[i]];
            if (made_by(activation) == reader.decision) continue;  // inside the group
            for (std::size_t in = 0; in < op.inputs.size(); ++in) {
                if (op.inputs[in] != activation) continue;
                reads = true;
                for (std::size_t a = 0; a < reader.needs.size(); ++a) {
                    const auto& choice = space_.choices[decision.ops[i]][at(decision.picks[a][i])];
                    reader.needs[a] |= bit_of(choice.inputs[in]);
                }
            }
        }
        const bool leaves =
            decision.kind == SpaceDecision::Kind::exit && activation == block_.output;
        for (std::size_t a = 0; leaves && a < reader.needs.size(); ++a)
            reader.needs[a] = bit_of(stream_of(a));
        if (reads || leaves) readers.push_back(std::move(reader));
    }
    return readers;
}

int BlockSpace::made_by(int activation) const {
    if (activation == block_.input) return problem_.entry;
    for (std::size_t i = 0; i < block_.ops.size(); ++i) {
        const auto& outputs = block_.ops[i].outputs;
        if (std::find(outputs.begin(), outputs.end(), activation) != outputs.end())
            return group_of_[i];
    }
    return -1;
}

/// Sections that bring an activation from the layout it was left in into all of `set`: whole
/// first when that is wanted, the rest cut from it. False when it cannot be.
bool BlockSpace::supply(int activation, State from, unsigned set, std::vector<int>& sections) {
    if (set & bit_of(State::partial))
        return from == State::partial && set == bit_of(State::partial);
    auto source = from;
    if ((set & bit_of(State::replicated)) && from != State::replicated) {
        append_reshard(activation, from, State::replicated, sections);
        source = State::replicated;
    }
    for (const auto to : {State::columns, State::tokens}) {
        if (!(set & bit_of(to)) || to == from) continue;
        if (to == State::tokens && block_.activations[at(activation)].rows != Rows::tokens)
            return false;
        append_reshard(activation, source, to, sections);
    }
    return true;
}

void BlockSpace::append_reshard(int activation, State from, State to, std::vector<int>& sections) {
    auto& known =
        reshards_[at(activation) * kStates * kStates + static_cast<std::size_t>(from) * kStates +
                  static_cast<std::size_t>(to)];
    if (!known.second) {
        known = {shared_.add_section(lower_.reshard_piece(
                     activation, layout_of(block_, activation, from, tp(), shares()),
                     layout_of(block_, activation, to, tp(), shares()))),
                 true};
    }
    sections.insert(sections.end(), known.first.begin(), known.first.end());
}

/// Unions of what the readers may need, one alternative of each.
std::vector<unsigned> BlockSpace::unions(const std::vector<Reader>& readers) {
    std::vector<bool> reached(1U << kStates, false);
    reached[0] = true;
    for (const auto& reader : readers) {
        std::vector<bool> next(reached.size(), false);
        for (unsigned set = 0; set < reached.size(); ++set) {
            for (const unsigned need : reader.needs) {
                if (reached[set]) next[set | need] = true;
            }
        }
        reached = std::move(next);
    }
    std::vector<unsigned> sets;
    for (unsigned set = 1; set < reached.size(); ++set) {
        const bool kept = set == bit_of(State::partial) || !(set & bit_of(State::partial));
        if (reached[set] && kept) sets.push_back(set);
    }
    return sets;
}

/// What is wanted whole and in parts is cut from the whole, which may cost less than the parts
/// alone. The program does so only where a reader wants it whole: such a set is listed once for
/// each reader, who then must. `wanting` is that reader, or none (readers.size()).
void BlockSpace::name_who_wants_whole(const std::vector<Reader>& readers,
                                      std::vector<unsigned>& sets,
                                      std::vector<std::size_t>& wanting) {
    const auto whole = bit_of(State::replicated);
    for (const unsigned set : unions(readers)) {
        if (!(set & whole) || set == whole) {
            sets.push_back(set);
            wanting.push_back(readers.size());
            continue;
        }
        for (std::size_t r = 0; r < readers.size(); ++r) {
            const auto& needs = readers[r].needs;
            const bool may = std::any_of(needs.begin(), needs.end(),
                                         [&](unsigned need) { return (need & whole) != 0; });
            if (!may) continue;
            sets.push_back(set);
            wanting.push_back(r);
        }
    }
}

void BlockSpace::join_activation(int activation) {
    const int maker = made_by(activation);
    const auto readers = readers_of(activation);
    const bool result = activation == block_.output && is_last();
    if (maker < 0 || (readers.empty() && !result)) return;
    const auto feed = [&](std::size_t i, unsigned set, std::vector<int>& sections) {
        const auto left = left_by(maker, i, activation);
        if (!may_supply(maker, i, activation, set)) return false;
        return supply(activation, left, set, sections);
    };
    if (result) {
        // The result is wanted whole.
        assert(readers.empty());
        auto& decision = space_.decisions[at(maker)];
        for (std::size_t i = 0; i < decision.sections.size(); ++i) {
            if (!feed(i, bit_of(State::replicated), decision.sections[i]))
                problem_.decisions[at(maker)].seconds[i] = kIllegal;
        }
        return;
    }
    if (readers.size() == 1) {
        couple(maker, readers[0].decision,
               [&](std::size_t i, std::size_t j, std::vector<int>& sections) {
                   return feed(i, readers[0].needs[j], sections);
               });
        return;
    }
    SpaceDecision supplied;
    supplied.kind = SpaceDecision::Kind::supply;
    supplied.activation = activation;
    std::vector<std::size_t> wants_whole;
    name_who_wants_whole(readers, supplied.sets, wants_whole);
    supplied.sections.resize(supplied.sets.size());
    const auto sets = supplied.sets;
    const int hub =
        add_decision(std::move(supplied), block_.activations[at(activation)].name + " (supply)");
    couple(maker, hub, [&](std::size_t i, std::size_t j, std::vector<int>& sections) {
        return feed(i, sets[j], sections);
    });
    for (std::size_t r = 0; r < readers.size(); ++r) {
        const auto& needs = readers[r].needs;
        couple(hub, readers[r].decision, [&](std::size_t i, std::size_t j, auto&) {
            const bool stands_in = wants_whole[i] == r && !(needs[j] & bit_of(State::replicated));
            return (needs[j] & ~sets[i]) == 0 && !stands_in;
        });
    }
}

/// Where norms cross layers, the first norm and the last addition have the stream's layout.
void BlockSpace::tie_norms() {
    if (!shared_.norms_cross) return;
    if (problem_.entry >= 0) {
        const int norm = group_of_[0];
        couple(problem_.entry, norm, [&](std::size_t i, std::size_t j, auto&) {
            const auto& d = space_.decisions[at(norm)];
            return space_.choices[0][at(d.picks[j][0])].inputs[0] == stream_of(i);
        });
    }
    if (is_layer_) {
        const int last = group_of_.back();
        couple(last, problem_.exit, [&](std::size_t i, std::size_t j, auto&) {
            return left_by(last, i, block_.output) == stream_of(j);
        });
    }
    if (block_.input < 0) {
        auto& exit = space_.decisions[at(problem_.exit)];
        for (std::size_t a = 0; a < exit.sections.size(); ++a) {
            Section norm;
            if (problem_.decisions[at(problem_.exit)].seconds[a] == kIllegal) continue;
            norm.steps.push_back(next_norm(stream_of(a)));
            exit.sections[a] = shared_.add_section(std::move(norm));
        }
    }
}

/// Embedding and head share a table: a head can be a view of a whole one, or must be cut as it.
void BlockSpace::tie_storage() {
    if (shared_.space.tied_modes == 1) return;
    const auto storage_of = [](const Split& split) {
        if (split.kind == SplitKind::whole) return TiedStorage::whole;
        return split.dim == 0 ? TiedStorage::vocabulary : TiedStorage::hidden;
    };
    if (block_.input < 0) {
        const int table = group_of_[0];
        couple(table, problem_.exit, [&](std::size_t i, std::size_t j, auto&) {
            const auto& choice = space_.choices[0][at(space_.decisions[at(table)].picks[i][0])];
            const auto storage = storage_of(choice.weights[0].split);
            shared_.table[static_cast<std::size_t>(storage)] = choice.weights[0].split;
            return storage == tied_of(j);
        });
    }
    if (!is_last()) return;
    for (std::size_t op = 0; op < block_.ops.size(); ++op) {
        if (block_.ops[op].weights.empty() || !block_.tensors[at(block_.ops[op].weights[0])].tied)
            continue;
        const int head = group_of_[op];
        couple(problem_.entry, head, [&](std::size_t i, std::size_t j, auto&) {
            const auto storage = tied_of(i);
            if (storage == TiedStorage::whole) return true;
            const auto& choice = space_.choices[op][at(space_.decisions[at(head)].picks[j][0])];
            return choice.weights[0].split == shared_.table[static_cast<std::size_t>(storage)];
        });
    }
}

void BlockSpace::build() {
    if (space_.choices.empty()) make_choices();
    reshards_.resize(block_.activations.size() * kStates * kStates);
    add_ends();
    first_group_ = static_cast<int>(space_.decisions.size());
    add_groups();
    for (std::size_t a = 0; a < block_.activations.size(); ++a)
        join_activation(static_cast<int>(a));
    tie_norms();
    tie_storage();
}

}  // namespace tplan
