#include "planner/layout_space.h"

#include <algorithm>

#include "planner/column_cut.h"
#include "planner/eliminate.h"
#include "planner/space_block.h"

namespace tplan {
namespace {

std::size_t at(int i) {
    return static_cast<std::size_t>(i);
}

bool ties_embedding(const Model& model) {
    const auto& tensors = model.blocks.back().tensors;
    return std::any_of(tensors.begin(), tensors.end(), [](const Tensor& t) { return t.tied; });
}

/// The memory of both kinds of a group as one number, see price_layouts().
struct KindBytes {
    const CompiledProgram& catalogue;
    double second_scale = 1;  // a byte of the second kind in bytes of the first

    explicit KindBytes(const CompiledProgram& compiled) : catalogue(compiled) {
        if (!compiled.second) return;
        const double own = compiled.memory.capacity, other = compiled.second->memory.capacity;
        if (own > 0 && other > 0) second_scale = own / other;
    }

    /// Columns that the section's attention caches per token.
    static double cached_columns(const CompiledProgram& kind, int section) {
        const auto& steps = kind.sections[at(section)];
        for (int i = 0; i < steps.steps; ++i) {
            const auto& shape = kind.steps[at(steps.first_step + i)].shape;
            if (shape.kind != OpKind::attention) continue;
            return shape.latent_width > 0 ? shape.latent_width
                                          : shape.kv_heads * (shape.head_dim + shape.v_head_dim);
        }
        return 0;
    }

    /// Bytes of an alternative; `token` are those of a cached column.
    double bytes(const SpaceDecision& decision, std::size_t alternative, double weights,
                 double token) const {
        const double columns = decision.kv_columns[alternative];
        if (!catalogue.second) return weights + columns * token;
        const auto& sections = decision.sections[alternative];
        const auto held = [&](const CompiledProgram& kind) {
            return columns > 0 ? cached_columns(kind, sections[0]) * token : 0;
        };
        const double others =
            decision.second_bytes.empty() ? weights : decision.second_bytes[alternative];
        return std::max(weights + held(catalogue),
                        (others + held(*catalogue.second)) * second_scale);
    }
};

}  // namespace

LayoutSpace make_layout_space(const Model& model, const PlanOptions& options, DType dtype) {
    LayoutSpace space;
    std::optional<Model> kept;
    space.model = &with_sampling(model, options, kept);
    if (kept) {
        space.sampled = std::make_shared<const Model>(std::move(*kept));
        space.model = space.sampled.get();
    }
    const auto& sampled = *space.model;
    space.options = options;
    space.options.shares = unequal(options.shares);
    space.tied_modes = ties_embedding(sampled) ? 3 : 1;
    space.blocks.resize(sampled.blocks.size());
    space.chain.blocks.resize(sampled.blocks.size());
    SpaceBuilder builder(space, sampled, dtype);
    for (std::size_t i = 0; i < sampled.blocks.size(); ++i) BlockSpace(builder, i).build();
    for (const auto& use : sampled.sequence) space.chain.sequence.push_back(use.block);
    space.chain.eliminations = eliminations_of(space.chain);
    space.catalogue = std::move(builder.lowering.program);
    return space;
}

ChoiceChain price_layouts(const LayoutSpace& space, const HardwareProfile& hardware,
                          const CostOptions& cost, const Workload& workload) {
    auto chain = space.chain;
    price_layouts(space, compile(space.catalogue, hardware, cost), workload, chain);
    return chain;
}

void price_layouts(const LayoutSpace& space, const CompiledProgram& compiled,
                   const Workload& workload, ChoiceChain& chain) {
    std::vector<double> seconds;
    for (std::size_t s = 0; s < space.catalogue.sections.size(); ++s) {
        double sum = 0;
        for (std::size_t i = 0; i < space.catalogue.sections[s].steps.size(); ++i)
            sum +=
                price_step(compiled, static_cast<int>(s), static_cast<int>(i), workload).time.value;
        seconds.push_back(sum);
    }
    const auto total = [&](const std::vector<int>& sections) {
        double sum = 0;
        for (const int s : sections) sum += seconds[at(s)];
        return sum;
    };
    const KindBytes memory(compiled);
    const double element = bytes_of(workload.kv_dtype) * static_cast<double>(workload.batch);
    const auto cached = static_cast<double>(workload.cached_tokens());
    for (std::size_t b = 0; b < chain.blocks.size(); ++b) {
        auto& block = chain.blocks[b];
        const auto& meaning = space.blocks[b];
        const auto& unpriced = space.chain.blocks[b];
        for (std::size_t d = 0; d < block.decisions.size(); ++d) {
            const auto& from = meaning.decisions[d];
            const auto& without = unpriced.decisions[d];
            const double tokens = from.kv_window > 0 ? std::min(from.kv_window, cached) : cached;
            for (std::size_t a = 0; a < from.sections.size(); ++a) {
                block.decisions[d].seconds[a] = without.seconds[a] + total(from.sections[a]);
                block.decisions[d].bytes[a] =
                    memory.bytes(from, a, without.bytes[a], tokens * element);
            }
        }
        for (std::size_t c = 0; c < block.couplings.size(); ++c) {
            auto& numbers = block.couplings[c].seconds;
            const auto& without = unpriced.couplings[c].seconds;
            for (std::size_t i = 0; i < numbers.size(); ++i)
                numbers[i] = without[i] + total(meaning.couplings[c].sections[i]);
        }
    }
}

std::vector<BlockLayout> layout_of(const LayoutSpace& space, const Assignment& assignment) {
    std::vector<BlockLayout> layout;
    const auto& model = *space.model;
    for (std::size_t place = 0; place < model.sequence.size(); ++place) {
        const auto& use = model.sequence[place];
        const auto& block = model.blocks[at(use.block)];
        const auto& meaning = space.blocks[at(use.block)];
        const auto& problem = space.chain.blocks[at(use.block)];
        BlockLayout entry;
        entry.block = use.block;
        const auto stream = [&](int end) {
            return end < 0 ? LayoutState::replicated
                           : kStreams[at(assignment[place][at(end)]) % kStreams.size()];
        };
        entry.input = stream(problem.entry);
        entry.output = stream(problem.exit);
        entry.ops.resize(block.ops.size());
        for (std::size_t d = 0; d < meaning.decisions.size(); ++d) {
            const auto& decision = meaning.decisions[d];
            const auto pick = at(assignment[place][d]);
            for (std::size_t i = 0; i < decision.ops.size(); ++i) {
                const auto op = decision.ops[i];
                entry.ops[op] = {block.ops[op].name,
                                 meaning.choices[op][at(decision.picks[pick][i])].name};
            }
        }
        const auto same = std::find_if(layout.begin(), layout.end(), [&](const BlockLayout& known) {
            return known.block == entry.block && known.input == entry.input &&
                   known.output == entry.output && known.ops == entry.ops;
        });
        auto& into = same == layout.end() ? layout.emplace_back(std::move(entry)) : *same;
        into.layers.push_back(use.layer);
    }
    std::stable_sort(layout.begin(), layout.end(),
                     [](const auto& a, const auto& b) { return a.block < b.block; });
    return layout;
}

}  // namespace tplan
