#include "executor/rank_weights.h"

#include <algorithm>
#include <cassert>
#include <functional>

#include "core/error.h"
#include "core/text.h"
#include "executor/device_memory.h"

namespace tplan {
namespace {

// Weights travel to the device through a host buffer of this many floats (4 MiB).
constexpr std::int64_t kHostFloats = 1 << 20;

const ShardedTensor& tensor_of(const Program& program, const WeightInstance& instance) {
    return program.tensors[static_cast<std::size_t>(instance.tensor)];
}

/// A request for `rows` x `columns` of the use's parameter.
WeightPart part_of(const Program& program, const WeightUse& use, Slice rows, Slice columns,
                   std::int64_t stride) {
    const auto& tensor = tensor_of(program, use.instance);
    WeightPart part;
    part.name = weight_name(tensor, use.instance.layer);
    part.shape = tensor.shape;
    part.role = use.role;
    part.fan_in = fan_in_of(tensor.shape, use.transposed);
    part.rows = rows;
    part.columns = columns;
    part.stride = stride;
    return part;
}

}  // namespace

std::vector<WeightUse> weight_uses(const Program& program, const ExecutedStep& at, int rank) {
    const auto& step = program.sections[static_cast<std::size_t>(at.section)]
                           .steps[static_cast<std::size_t>(at.step)];
    std::vector<WeightUse> uses;
    for (std::size_t slot = 0; slot < step.weights.size(); ++slot) {
        WeightUse use;
        use.instance = resolve(step.weights[slot], program, at.section, at.layer);
        use.local = local_weight(tensor_of(program, use.instance), rank);
        const bool product = step.kind == OpKind::linear;  // all its weights are matrices
        use.role = weight_role(step.kind, step.spec, product ? 0 : slot);
        const bool matrix = tensor_of(program, use.instance).shape.size() > (product ? 1U : 2U);
        use.transposed = step.spec.transposed && matrix;
        uses.push_back(std::move(use));
    }
    return uses;
}

std::string weight_key(const Program& program, const WeightUse& use) {
    auto key = weight_name(tensor_of(program, use.instance), use.instance.layer);
    const auto append = [&](char what, const std::vector<Slice>& parts) {
        for (const auto& part : parts) {
            key += fmt::format(" {}{}+{}", what, part.offset, part.extent);
        }
    };
    append('r', use.local.rows);
    append('c', use.local.columns);
    return use.transposed ? key + " turned" : key;
}

RankWeights::Loaded RankWeights::allocate(std::int64_t rows, std::int64_t columns, DType dtype) {
    Loaded loaded;
    loaded.view = {nullptr, rows, columns, columns, dtype};
    loaded.owner = device_memory(backend_, rank_, static_cast<std::size_t>(loaded.view.bytes()));
    loaded.view.data = loaded.owner.get();
    return loaded;
}

RankWeights::Loaded RankWeights::load(const WeightUse& use, DType dtype) {
    auto& known = known_[weight_key(program_, use)];
    if (auto owner = known.owner.lock()) return {known.view, std::move(owner)};
    const auto stack = use.local.stack;
    const auto rows = use.local.row_count();
    const auto columns = use.local.column_count();
    auto loaded = use.transposed && stack > 0 ? allocate(stack * columns, rows / stack, dtype)
                                              : allocate(rows, columns, dtype);
    fill(loaded.view, use);
    known = {loaded.view, loaded.owner};
    return loaded;
}

void RankWeights::fill(const Matrix& to, const WeightUse& use) {
    if (to.elements() == 0) return;
    if (use.transposed) {
        const std::span<const Slice> rows(use.local.rows);
        const auto each = rows.size() / static_cast<std::size_t>(use.local.stack);
        for (std::int64_t i = 0; i < use.local.stack; ++i) {
            auto one = to;
            one.rows = to.rows / use.local.stack;
            one.data = to.place(i * one.rows, 0);
            fill_transposed(one, use, rows.subspan(static_cast<std::size_t>(i) * each, each));
        }
        return;
    }
    const auto most = std::max<std::int64_t>(1, kHostFloats / to.columns);
    std::int64_t filled = 0;
    for (const auto& rows : use.local.rows) {
        for (std::int64_t at = 0; at < rows.extent; at += most) {
            const auto count = std::min(most, rows.extent - at);
            host_.resize(static_cast<std::size_t>(count * to.columns));
            std::int64_t column = 0;
            for (const auto& columns : use.local.columns) {
                source_(part_of(program_, use, {rows.offset + at, count}, columns, to.columns),
                        host_.data() + column);
                column += columns.extent;
            }
            auto chunk = to;
            chunk.rows = count;
            chunk.data = to.place(filled, 0);
            backend_.upload(rank_, chunk, host_.data());
            filled += count;
        }
    }
    assert(filled == to.rows);
}

void RankWeights::fill_transposed(const Matrix& to, const WeightUse& use,
                                  std::span<const Slice> all_rows) {
    const auto most = std::max<std::int64_t>(1, kHostFloats / to.columns);
    std::int64_t filled = 0;
    for (const auto& columns : use.local.columns) {
        for (std::int64_t at = 0; at < columns.extent; at += most) {
            const auto count = std::min(most, columns.extent - at);
            host_.resize(static_cast<std::size_t>(count * to.columns));
            std::int64_t row = 0;
            for (const auto& rows : all_rows) {
                source_(part_of(program_, use, rows, {columns.offset + at, count}, count),
                        host_.data() + row * count);
                row += rows.extent;
            }
            turned_.resize(host_.size());
            for (std::int64_t i = 0; i < count; ++i) {
                for (std::int64_t k = 0; k < to.columns; ++k) {
                    turned_[static_cast<std::size_t>(i * to.columns + k)] =
                        host_[static_cast<std::size_t>(k * count + i)];
                }
            }
            auto chunk = to;
            chunk.rows = count;
            chunk.data = to.place(filled, 0);
            backend_.upload(rank_, chunk, turned_.data());
            filled += count;
        }
    }
}

PackedWeights RankWeights::load_linear(const std::vector<WeightUse>& uses, std::int64_t rows,
                                       DType dtype) {
    Loaded all;
    if (uses.size() == 1) {
        all = load(uses.front());
    } else {
        const auto out_rows = [](const WeightUse& use) {
            return use.transposed ? use.local.column_count() : use.local.row_count();
        };
        const auto& first = uses.front();
        std::int64_t n = 0;
        for (const auto& use : uses) n += out_rows(use);
        all = allocate(n, first.transposed ? first.local.row_count() : first.local.column_count());
        std::int64_t at = 0;
        for (const auto& use : uses) {
            auto part = all.view;
            part.rows = out_rows(use);
            part.data = all.view.place(at, 0);
            fill(part, use);
            at += part.rows;
        }
    }
    const LinearShape shape{rows, all.view.rows, all.view.columns, dtype};
    return backend_.pack(rank_, shape, all.view, all.owner);
}

RankWeights::Loaded RankWeights::load_summed_biases(const ExecutedStep& at, const Step& step) {
    const auto& buffer = program_.buffers[static_cast<std::size_t>(step.outputs[0])];
    std::vector<float> sum(static_cast<std::size_t>(local_width(buffer, rank_)));
    for (const auto& bias : step.biases) {
        WeightUse use;
        use.instance = resolve(bias, program_, at.section, at.layer);
        use.role = WeightRole::bias;
        use.local = local_bias(tensor_of(program_, use.instance), buffer, rank_);
        std::vector<float> part;
        for (const auto& columns : use.local.columns) {
            const auto begin = part.size();
            part.resize(begin + static_cast<std::size_t>(columns.extent));
            source_(part_of(program_, use, {0, 1}, columns, columns.extent), part.data() + begin);
        }
        if (part.size() != sum.size()) {
            throw Error("program/" + at.id,
                        fmt::format("bias of {} elements on {} columns of rank {}", part.size(),
                                    sum.size(), rank_));
        }
        std::transform(sum.begin(), sum.end(), part.begin(), sum.begin(), std::plus<>());
    }
    auto loaded = allocate(1, static_cast<std::int64_t>(sum.size()));
    backend_.upload(rank_, loaded.view, sum.data());
    return loaded;
}

RankWeights::Loaded RankWeights::load_bias(const ExecutedStep& at, const Step& step) {
    if (step.biases.empty()) return {};
    std::vector<float> all;
    if (is_collective(step.kind)) return load_summed_biases(at, step);
    for (std::size_t i = 0; i < step.outputs.size(); ++i) {
        const auto& buffer = program_.buffers[static_cast<std::size_t>(step.outputs[i])];
        const auto begin = all.size();
        all.resize(begin + static_cast<std::size_t>(local_width(buffer, rank_)));
        if (i >= step.biases.size() || step.biases[i].tensor < 0) continue;
        WeightUse use;
        use.instance = resolve(step.biases[i], program_, at.section, at.layer);
        use.role = WeightRole::bias;
        use.local = local_bias(tensor_of(program_, use.instance), buffer, rank_);
        if (use.local.elements() != local_width(buffer, rank_)) {
            throw Error("program/" + at.id,
                        fmt::format("bias of {} elements on {} columns of rank {}",
                                    use.local.elements(), local_width(buffer, rank_), rank_));
        }
        float* to = all.data() + begin;
        for (const auto& columns : use.local.columns) {
            source_(part_of(program_, use, {0, 1}, columns, columns.extent), to);
            to += columns.extent;
        }
    }
    auto loaded = allocate(1, static_cast<std::int64_t>(all.size()));
    backend_.upload(rank_, loaded.view, all.data());
    return loaded;
}

}  // namespace tplan
