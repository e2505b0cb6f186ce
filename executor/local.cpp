#include "executor/local.h"

#include <algorithm>
#include <cassert>
#include <numeric>

#include "core/error.h"
#include "core/text.h"

namespace tplan {
namespace {

std::int64_t total(const std::vector<Slice>& parts) {
    std::int64_t extent = 0;
    for (const auto& part : parts) extent += part.extent;
    return extent;
}

/// What a rank holds of each dimension of a parameter.
std::vector<std::vector<Slice>> owned_dims(const ShardedTensor& tensor, int rank) {
    std::vector<std::vector<Slice>> parts;
    for (std::size_t d = 0; d < tensor.shape.size(); ++d) {
        const bool cut = tensor.split.kind != SplitKind::whole &&
                         static_cast<std::size_t>(tensor.split.dim) == d;
        if (cut) {
            parts.push_back(owned(tensor.split, tensor.shape[d], rank));
        } else {
            parts.push_back({{0, tensor.shape[d]}});
        }
    }
    return parts;
}

}  // namespace

std::vector<ExecutedStep> executed_steps(const Program& program) {
    std::vector<ExecutedStep> steps;
    for (std::size_t place = 0; place < program.order.size(); ++place) {
        const int section = program.order[place];
        const int layer = program.order_layer[place];
        const auto& body = program.sections[static_cast<std::size_t>(section)].steps;
        for (std::size_t i = 0; i < body.size(); ++i) {
            steps.push_back({section, static_cast<int>(i), layer, step_id(body[i], layer)});
        }
    }
    return steps;
}

std::vector<Slice> owned(const Split& split, std::int64_t n, int rank) {
    return slices(split, n, split.kind == SplitKind::whole ? 0 : rank);
}

Slice owned_rows(const Buffer& buffer, const Workload& workload, int rank) {
    const auto rows = workload.rows(buffer.rows);
    if (!buffer.layout.splits_rows()) return {0, rows};
    const auto own = slices(buffer.layout.split, rows, rank);
    return own.empty() ? Slice{rows, 0} : own.front();
}

std::vector<Slice> owned_columns(const Buffer& buffer, int rank) {
    if (!buffer.layout.splits_columns()) return {{0, buffer.width}};
    return owned(buffer.layout.split, buffer.width, rank);
}

std::int64_t local_width(const Buffer& buffer, int rank) {
    return total(owned_columns(buffer, rank));
}

std::int64_t LocalWeight::row_count() const {
    return total(rows);
}
std::int64_t LocalWeight::column_count() const {
    return total(columns);
}

LocalWeight local_weight(const ShardedTensor& tensor, int rank) {
    assert(!tensor.shape.empty() && tensor.shape.size() <= 3);
    auto parts = owned_dims(tensor, rank);
    if (parts.size() == 1) return {{{0, 1}}, std::move(parts[0])};
    if (parts.size() == 2) return {std::move(parts[0]), std::move(parts[1])};
    LocalWeight local{{}, std::move(parts[2]), total(parts[0])};
    for (const auto& experts : parts[0]) {
        for (std::int64_t e = experts.offset; e < experts.offset + experts.extent; ++e) {
            for (const auto& rows : parts[1])
                local.rows.push_back({e * tensor.shape[1] + rows.offset, rows.extent});
        }
    }
    return local;
}

LocalWeight local_bias(const ShardedTensor& tensor, const Buffer& buffer, int rank) {
    auto local = local_weight(tensor, rank);
    if (tensor.split.kind == SplitKind::whole && buffer.layout.splits_columns()) {
        local = {{{0, 1}}, owned_columns(buffer, rank)};
    }
    return local;
}

std::string weight_name(const ShardedTensor& tensor, int layer) {
    auto name = tensor.tied ? tensor.tied_to : tensor.name;
    const auto star = name.find('*');
    if (star != std::string::npos && layer >= 0) name.replace(star, 1, std::to_string(layer));
    return name;
}

WeightInstance resolve(const WeightRef& ref, const Program& program, int section, int layer) {
    if (!ref.next_layer) return {ref.tensor, layer};
    // The layer that runs next may be of another kind; its number follows in any case.
    const auto is_last = [&] {
        for (std::size_t i = 0; i < program.order.size(); ++i) {
            if (program.order[i] == section && program.order_layer[i] == layer) {
                return i + 1 == program.order.size() || program.order_layer[i + 1] < 0;
            }
        }
        return true;
    };
    if (is_last()) return {ref.last, -1};
    return {ref.tensor, layer + 1};
}

std::vector<bool> pair_buffers(const Program& program) {
    std::vector<bool> pairs(program.buffers.size(), false);
    for (const auto& section : program.sections) {
        for (const auto& step : section.steps) {
            const bool moves = is_collective(step.kind) || step.kind == OpKind::slice;
            const bool moved = moves && std::ranges::any_of(step.inputs, [&](int b) {
                                   return pairs[static_cast<std::size_t>(b)];
                               });
            if (step.kind != OpKind::largest && !moved) continue;
            for (const int b : step.outputs) pairs[static_cast<std::size_t>(b)] = true;
        }
    }
    return pairs;
}

BufferPlaces place_buffers(const Program& program, int rank) {
    BufferPlaces result;
    result.places.resize(program.buffers.size());
    const auto width = [&](int buffer) {
        return local_width(program.buffers[static_cast<std::size_t>(buffer)], rank);
    };
    const auto open = [&](const std::vector<int>& buffers) {
        const int allocation = static_cast<int>(result.widths.size());
        std::int64_t column = 0;
        for (const int b : buffers) {
            result.places[static_cast<std::size_t>(b)] = {allocation, column};
            column += width(b);
        }
        result.widths.push_back(column);
        result.first.push_back(buffers.front());
    };
    for (const auto& section : program.sections) {
        for (const auto& step : section.steps) {
            if (step.kind != OpKind::linear || step.outputs.size() < 2) continue;
            const auto& first = result.places[static_cast<std::size_t>(step.outputs.front())];
            const bool none_placed = std::ranges::all_of(step.outputs, [&](int b) {
                return result.places[static_cast<std::size_t>(b)].allocation < 0;
            });
            if (none_placed) {
                open(step.outputs);
                continue;
            }
            auto column = first.column;
            for (const int b : step.outputs) {
                const auto& place = result.places[static_cast<std::size_t>(b)];
                if (place.allocation != first.allocation || place.column != column) {
                    throw Error("program/" + step.name,
                                "its outputs already lie elsewhere, not side by side");
                }
                column += width(b);
            }
        }
    }
    for (std::size_t b = 0; b < program.buffers.size(); ++b) {
        if (result.places[b].allocation < 0) open({static_cast<int>(b)});
    }
    return result;
}

std::int64_t cached_tokens(const AttentionSpec& spec, const Workload& workload) {
    const auto tokens = workload.cached_tokens();
    // A prefill attends over all of its own tokens before the old ones may go.
    if (workload.phase != Phase::decode || spec.window == 0) return tokens;
    return std::min(tokens, spec.window);
}

std::vector<std::int64_t> held_heads(const Buffer& buffer, std::int64_t head_dim, int rank) {
    std::vector<std::int64_t> heads;
    for (const auto& slice : owned_columns(buffer, rank)) {
        for (std::int64_t at = 0; at + head_dim <= slice.extent; at += head_dim) {
            heads.push_back((slice.offset + at) / head_dim);
        }
    }
    return heads;
}

std::vector<std::int32_t> kv_of_heads(const Program& program, const Step& step, int rank) {
    const auto& q = program.buffers[static_cast<std::size_t>(step.inputs[0])];
    const auto& k = program.buffers[static_cast<std::size_t>(step.inputs[1])];
    const auto head_dim = step.spec.attention->head_dim;
    const auto all_heads = q.width / head_dim;
    if (step.spec.attention->latent_width > 0) {  // every head has keys of its own
        std::vector<std::int32_t> own(held_heads(q, head_dim, rank).size());
        std::iota(own.begin(), own.end(), 0);
        return own;
    }
    const auto all_kv_heads = k.width / head_dim;
    const auto held = held_heads(k, head_dim, rank);
    std::vector<std::int32_t> result;
    for (const auto head : held_heads(q, head_dim, rank)) {
        const auto needed = head * all_kv_heads / all_heads;
        const auto found = std::find(held.begin(), held.end(), needed);
        if (found == held.end()) {
            throw Error(
                "program/" + step.name,
                fmt::format("rank {} has query head {} but not its KV head {}", rank, head, needed),
                "cut q and k by whole groups of heads");
        }
        result.push_back(static_cast<std::int32_t>(found - held.begin()));
    }
    return result;
}

}  // namespace tplan
