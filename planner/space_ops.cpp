#include <algorithm>
#include <array>

#include "planner/cut.h"
#include "planner/fuse.h"
#include "planner/space_block.h"

namespace tplan {
namespace {

using State = LayoutState;

std::size_t at(int i) {
    return static_cast<std::size_t>(i);
}

}  // namespace

SpaceBuilder::SpaceBuilder(LayoutSpace& out, const Model& of, DType dtype)
    : space(out),
      model(of),
      norms_cross(out.options.kernels == Kernels::served && norms_cross_layers(of)),
      plan{.options = out.options, .styles = {}, .tensors = {}, .op_styles = {}, .notes = {}},
      lowering{of, plan, dtype, {}, {}} {
    for (const auto& block : model.blocks) {
        plan.tensors.emplace_back(block.tensors.size());
        plan.op_styles.emplace_back(block.ops.size(), -1);
    }
    lowering.program.tp = out.options.tp;
}

std::vector<int> SpaceBuilder::add_section(Section section) {
    if (section.steps.empty()) return {};
    lowering.program.sections.push_back(std::move(section));
    return {static_cast<int>(lowering.program.sections.size()) - 1};
}

BlockSpace::BlockSpace(SpaceBuilder& builder, std::size_t number)
    : shared_(builder),
      index_(number),
      block_(builder.model.blocks[number]),
      is_layer_(block_.prefix.find('*') != std::string::npos),
      lower_(builder.lowering, number),
      space_(builder.space.blocks[number]),
      problem_(builder.space.chain.blocks[number]) {}

void BlockSpace::make_choices() {
    for (const auto& op : block_.ops)
        space_.choices.push_back(op_choices(block_, op, tp(), shares()));
}

int BlockSpace::add_decision(SpaceDecision decision, std::string name) {
    const auto size = decision.sections.size();
    decision.kv_columns.resize(size, 0);
    problem_.decisions.push_back(
        {std::move(name), std::vector<double>(size, 0), std::vector<double>(size, 0)});
    space_.decisions.push_back(std::move(decision));
    return static_cast<int>(space_.decisions.size()) - 1;
}

void BlockSpace::add_ends() {
    const auto make = [&](SpaceDecision::Kind kind, const char* name) {
        SpaceDecision end;
        end.kind = kind;
        end.sections.resize(end_alternatives());
        return add_decision(std::move(end), name);
    };
    if (block_.input >= 0) problem_.entry = make(SpaceDecision::Kind::entry, "entry");
    if (!is_last()) problem_.exit = make(SpaceDecision::Kind::exit, "exit");
    // At one rank there is nothing to spread.
    for (const int end : {problem_.entry, problem_.exit}) {
        if (end < 0 || tp() > 1) continue;
        for (std::size_t a = 0; a < end_alternatives(); ++a) {
            if (stream_of(a) == State::tokens) problem_.decisions[at(end)].seconds[a] = kIllegal;
        }
    }
    if (problem_.entry < 0 || problem_.exit < 0 || shared_.space.tied_modes == 1) return;
    couple(problem_.entry, problem_.exit,
           [](std::size_t i, std::size_t j, auto&) { return tied_of(i) == tied_of(j); });
}

void BlockSpace::set_cuts(std::size_t op, const OpChoice& choice) {
    auto& cuts = shared_.plan.tensors[index_];
    const auto& weights = block_.ops[op].weights;
    for (std::size_t slot = 0; slot < weights.size(); ++slot) {
        cuts[at(weights[slot])] = choice.weights[slot];
        cut_scales(block_, weights[slot], cuts);
    }
}

OpFlow BlockSpace::flow_of(std::size_t op, const OpChoice& choice) const {
    OpFlow flow;
    const auto& what = block_.ops[op];
    for (std::size_t i = 0; i < what.inputs.size(); ++i)
        flow.inputs.push_back(layout_of(block_, what.inputs[i], choice.inputs[i], tp(), shares()));
    for (std::size_t i = 0; i < what.outputs.size(); ++i)
        flow.outputs.push_back(
            layout_of(block_, what.outputs[i], choice.outputs[i], tp(), shares()));
    return flow;
}

/// Lowers ops under their choices, fused as the kernels are.
Section BlockSpace::lower_ops(const std::vector<std::size_t>& ops, const Pick& pick) {
    std::vector<OpFlow> flows(block_.ops.size());
    for (std::size_t i = 0; i < ops.size(); ++i) {
        const auto& choice = space_.choices[ops[i]][at(pick.choices[i])];
        set_cuts(ops[i], choice);
        flows[ops[i]] = flow_of(ops[i], choice);
    }
    auto section = lower_.piece(ops, flows);
    if (shared_.space.options.kernels == Kernels::served) {
        const bool moved =
            std::find(pick.moved.begin(), pick.moved.end(), true) != pick.moved.end();
        if (!moved) fuse_projections(section, shared_.model.fused);
        fuse_residual_norms(section);
    }
    return section;
}

/// The norm that the next block begins with, in the stream's layout: part of this block's last
/// step where norms cross layers.
Step BlockSpace::next_norm(State stream) {
    auto& known = shared_.next_norms[static_cast<std::size_t>(stream)];
    if (known) return *known;
    BlockSpace layer(shared_, at(shared_.model.sequence[1].block));
    if (layer.space_.choices.empty()) layer.make_choices();
    for (std::size_t pick = 0; pick < layer.space_.choices[0].size(); ++pick) {
        if (layer.space_.choices[0][pick].inputs[0] == stream)
            known = layer.lower_ops({0}, {{static_cast<int>(pick)}, {}}).steps[0];
    }
    return known.value();
}

/// Bytes of weights on the fullest of the ranks; with even shares on rank 0: it holds at least as
/// much of each as any rank, but for copies of KV heads.
double BlockSpace::weight_bytes(std::size_t op, const OpChoice& choice, RankRange ranks) {
    set_cuts(op, choice);
    double bytes = 0;
    const auto& cuts = shared_.plan.tensors[index_];
    const auto add = [&](std::size_t t, OpKind reader) {
        const auto& tensor = block_.tensors[t];
        if (tensor.tied) return;
        double elements = static_cast<double>(tensor.elements());
        const auto& split = cuts[t].split;
        if (split.kind != SplitKind::whole) {
            const auto n = tensor.shape[at(split.dim)];
            const auto own = shares() ? largest_extent(split, n, ranks) : local_extent(split, n, 0);
            elements = elements / static_cast<double>(n) * static_cast<double>(own);
        }
        bytes += elements * bytes_of(shared_.lowering.weight_dtype(tensor, reader, is_layer_));
    };
    for (const int weight : block_.ops[op].weights) {
        add(at(weight), block_.ops[op].kind);
        each_scale(block_, weight, [&](int scales) { add(at(scales), block_.ops[op].kind); });
    }
    return bytes;
}

int BlockSpace::choice_named(std::size_t op, std::string_view name) const {
    const auto& choices = space_.choices[op];
    for (std::size_t i = 0; i < choices.size(); ++i) {
        if (choices[i].name == name) return static_cast<int>(i);
    }
    return -1;
}

/// q, k and v, or gate and up: whole, cut along the output, or all on own rows; what is not whole
/// stays or is moved by a collective. All but the first of three (k and v), and both of two, are
/// cut alike: attention and activation take nothing else.
std::vector<BlockSpace::Pick> BlockSpace::projection_picks(
    const std::vector<std::size_t>& ops) const {
    struct One {
        std::string_view name;
        bool moved;
    };
    constexpr std::array<One, 5> kAll = {{{"replicated", false},
                                          {"out", false},
                                          {"out", true},
                                          {"tokens", false},
                                          {"tokens", true}}};
    std::vector<Pick> picks;
    std::vector<One> taken;
    const auto fits = [&](const One& one) {
        if (taken.empty()) return true;
        const bool rows = one.name == "tokens";
        if (rows != (taken[0].name == "tokens")) return false;
        const bool alike = ops.size() == 2 || taken.size() > 1;
        return !alike || taken.back().name == one.name;
    };
    const auto extend = [&](const auto& self) -> void {
        if (taken.size() < ops.size()) {
            for (const auto& one : kAll) {
                if (!fits(one) || choice_named(ops[taken.size()], one.name) < 0) continue;
                taken.push_back(one);
                self(self);
                taken.pop_back();
            }
            return;
        }
        auto& pick = picks.emplace_back();
        for (std::size_t i = 0; i < ops.size(); ++i) {
            pick.choices.push_back(choice_named(ops[i], taken[i].name));
            pick.moved.push_back(taken[i].moved);
        }
    };
    extend(extend);
    return picks;
}

std::vector<BlockSpace::Pick> BlockSpace::picks_of(const std::vector<std::size_t>& ops) const {
    std::vector<Pick> picks;
    if (ops.size() > 1 && block_.ops[ops[0]].kind == OpKind::linear) {
        return projection_picks(ops);
    }
    const auto& first = space_.choices[ops[0]];
    for (std::size_t i = 0; i < first.size(); ++i) {
        if (ops.size() == 1) {
            picks.push_back({{static_cast<int>(i)}, {}});
            continue;
        }
        // An addition and the norm of its result: one kernel, one layout.
        const auto& second = space_.choices[ops[1]];
        for (std::size_t j = 0; j < second.size(); ++j) {
            if (second[j].inputs[0] == first[i].outputs[0])
                picks.push_back({{static_cast<int>(i), static_cast<int>(j)}, {}});
        }
    }
    return picks;
}

std::vector<int> BlockSpace::group_sections(const std::vector<std::size_t>& ops, const Pick& pick) {
    if (ops.size() == 1 && is_crossed_norm(ops[0])) return {};  // in the step before
    auto section = lower_ops(ops, pick);
    if (shared_.norms_cross && is_layer_ && ops.back() + 1 == block_.ops.size()) {
        const auto& choice = space_.choices[ops.back()][at(pick.choices.back())];
        if (choice.outputs[0] == State::replicated || choice.outputs[0] == State::tokens) {
            auto& last = section.steps.back();
            last = add_then_norm(last, next_norm(choice.outputs[0]), last.name);
        }
    }
    return shared_.add_section(std::move(section));
}

void BlockSpace::add_groups() {
    const int first = shares() ? shares()->ranks : tp();  // ranks of the first kind
    for (const auto& ops : fused_groups(shared_.model, block_, shared_.space.options.kernels)) {
        SpaceDecision decision;
        decision.ops = ops;
        const auto picks = picks_of(ops);
        std::vector<double> bytes;
        for (const auto& pick : picks) {
            decision.picks.push_back(pick.choices);
            decision.sections.push_back(group_sections(ops, pick));
            double sum = 0, second = 0, columns = 0;
            for (std::size_t i = 0; i < ops.size(); ++i) {
                const auto& choice = space_.choices[ops[i]][at(pick.choices[i])];
                sum += weight_bytes(ops[i], choice, {.begin = 0, .end = first});
                if (shares()) second += weight_bytes(ops[i], choice, {.begin = first, .end = tp()});
                if (block_.ops[ops[i]].kind != OpKind::attention) continue;
                const auto& cached =
                    shared_.lowering.program.sections[at(decision.sections.back()[0])];
                columns = static_cast<double>(cached.kv_width);
                decision.kv_window = static_cast<double>(cached.kv_window);
            }
            bytes.push_back(sum);
            if (shares()) decision.second_bytes.push_back(second);
            decision.kv_columns.push_back(columns);
        }
        group_picks_.push_back(picks);
        std::string name = block_.ops[ops[0]].name;
        if (ops.size() > 1) name += " ..";
        const int added = add_decision(std::move(decision), std::move(name));
        problem_.decisions[at(added)].bytes = std::move(bytes);
        group_of_.resize(block_.ops.size(), -1);
        for (const auto op : ops) group_of_[op] = added;
    }
}

}  // namespace tplan
