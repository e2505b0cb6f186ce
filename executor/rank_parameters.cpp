#include "executor/rank_parameters.h"

#include <algorithm>
#include <cassert>

#include "core/error.h"
#include "core/text.h"
#include "executor/device_memory.h"

namespace tplan {
namespace {

const Step& step_of(const Program& program, const ExecutedStep& at) {
    return program.sections[static_cast<std::size_t>(at.section)]
        .steps[static_cast<std::size_t>(at.step)];
}

const ShardedTensor& tensor_of(const Program& program, const WeightUse& use) {
    return program.tensors[static_cast<std::size_t>(use.instance.tensor)];
}

/// The biases of a step as uses: of a linear one per output, of a collective all of its one output.
std::vector<WeightUse> bias_uses(const Program& program, const ExecutedStep& at, int rank) {
    const auto& step = step_of(program, at);
    std::vector<WeightUse> uses;
    for (std::size_t i = 0; i < step.biases.size(); ++i) {
        if (step.biases[i].tensor < 0) continue;
        const auto output = is_collective(step.kind) ? 0 : i;
        const auto& buffer = program.buffers[static_cast<std::size_t>(step.outputs[output])];
        WeightUse use;
        use.instance = resolve(step.biases[i], program, at.section, at.layer);
        use.role = WeightRole::bias;
        use.local = local_bias(tensor_of(program, use), buffer, rank);
        uses.push_back(std::move(use));
    }
    return uses;
}

bool same_part(const WeightUse& a, const WeightUse& b) {
    return a.local.rows == b.local.rows && a.local.columns == b.local.columns &&
           a.transposed == b.transposed;
}

void add_shard(const Program& program, const ExecutedStep& at, WeightUse use,
               std::vector<ParameterShard>& shards, std::map<std::string, std::size_t>& known) {
    auto name = weight_name(tensor_of(program, use), use.instance.layer);
    const auto [it, fresh] = known.emplace(name, shards.size());
    if (fresh) {
        shards.push_back({std::move(name), std::move(use)});
    } else if (!same_part(shards[it->second].use, use)) {
        throw Error("program/" + at.id,
                    name +
                        " is cut otherwise than where it is read first: one rank would train "
                        "two copies of it",
                    "plan with --layout hf");
    }
}

}  // namespace

std::string parameter_name(const Program& program, const WeightRef& ref, const ExecutedStep& at) {
    const int of = differentiated_section(program, at.section);
    const auto instance = resolve(ref, program, of >= 0 ? of : at.section, at.layer);
    return weight_name(program.tensors[static_cast<std::size_t>(instance.tensor)], instance.layer);
}

std::vector<ParameterShard> parameter_shards(const Program& program,
                                             const std::vector<ExecutedStep>& steps, int rank) {
    std::vector<ParameterShard> shards;
    std::map<std::string, std::size_t> known;
    for (const auto& at : steps) {
        if (step_of(program, at).pass) continue;
        for (auto& use : weight_uses(program, at, rank))
            add_shard(program, at, std::move(use), shards, known);
        for (auto& use : bias_uses(program, at, rank))
            add_shard(program, at, std::move(use), shards, known);
    }
    return shards;
}

ShardExtent extent_of(const ParameterShard& shard) {
    const auto rows = shard.use.local.row_count(), columns = shard.use.local.column_count();
    return shard.use.transposed ? ShardExtent{columns, rows} : ShardExtent{rows, columns};
}

Optimizer optimizer_of(const Program& program) {
    for (const auto& section : program.sections) {
        for (const auto& step : section.steps) {
            if (step.optimizer) return *step.optimizer;
        }
    }
    return Optimizer::sgd;
}

RankParameters::RankParameters(Backend& backend, int rank, const Program& program,
                               const std::vector<ExecutedStep>& steps, RankWeights& weights)
    : shards_(parameter_shards(program, steps, rank)) {
    const bool moments = optimizer_of(program) == Optimizer::adamw;
    for (const auto& shard : shards_) {
        auto loaded = weights.load(shard.use);
        memory_.push_back(std::move(loaded.owner));
        TrainedWeight trained;
        trained.value = loaded.view;
        const auto beside = [&](MemoryKind kind) {
            auto matrix = trained.value;
            memory_.push_back(
                device_memory(backend, rank, static_cast<std::size_t>(matrix.bytes()), kind));
            matrix.data = memory_.back().get();
            return matrix;
        };
        trained.gradient = beside(MemoryKind::exchanged);
        if (moments) {
            trained.mean = beside(MemoryKind::own);
            trained.variance = beside(MemoryKind::own);
        }
        by_name_.emplace(shard.name, weights_.size());
        weights_.push_back(trained);
    }
}

const TrainedWeight& RankParameters::named(const std::string& name) const {
    assert(by_name_.contains(name));
    return weights_[by_name_.at(name)];
}

const ParameterShard& RankParameters::shard(const std::string& name) const {
    assert(by_name_.contains(name));
    return shards_[by_name_.at(name)];
}

}  // namespace tplan
