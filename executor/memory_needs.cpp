#include "executor/memory_needs.h"

#include <algorithm>
#include <set>

#include "core/text.h"
#include "executor/local.h"
#include "executor/rank_parameters.h"
#include "executor/rank_weights.h"
#include "executor/value_places.h"

namespace tplan {
namespace {

constexpr double kFloat = 4;

const Buffer& buffer_of(const Program& program, int index) {
    return program.buffers[static_cast<std::size_t>(index)];
}

/// Adds a step's weights; plain parameters count once however many steps read them.
void add_weights(const Program& program, const Workload& workload, DType dtype,
                 const Backend& backend, const ExecutedStep& at, const Step& step, int rank,
                 std::set<std::string>& seen, RankNeeds& needs) {
    const auto uses = weight_uses(program, at, rank);
    double plain = 0, fresh = 0;
    for (const auto& use : uses) {
        const bool experts = step.kind == OpKind::moe_experts && use.role == WeightRole::matrix;
        const double bytes = static_cast<double>(use.local.elements()) *
                             (experts ? bytes_of(backend.activation_dtype(dtype)) : kFloat);
        plain += bytes;
        const bool shared = step.kind != OpKind::linear || uses.size() == 1;
        if (!shared || seen.insert(weight_key(program, use)).second) fresh += bytes;
    }
    if (!step.biases.empty()) {
        for (const int b : step.outputs) {
            needs.weights += kFloat * static_cast<double>(local_width(buffer_of(program, b), rank));
        }
    }
    if (step.kind == OpKind::linear && !uses.empty()) {
        const auto& input = buffer_of(program, step.inputs[0]);
        const auto k = local_width(input, rank);
        const auto n = k == 0 ? 0 : static_cast<std::int64_t>(plain / kFloat) / k;
        const double packed =
            backend.packed_bytes({owned_rows(input, workload, rank).extent, n, k, dtype});
        if (packed > 0) {
            needs.weights += packed;
            needs.loading = std::max(needs.loading, fresh);
            return;
        }
    }
    needs.weights += fresh;
}

void add_cache(const Program& program, const Workload& workload, const Step& step, int rank,
               double element, RankNeeds& needs) {
    const auto& spec = *step.spec.attention;
    const auto tokens = cached_tokens(spec, workload) * workload.batch;
    const auto width = [&](std::size_t input) {
        return local_width(buffer_of(program, step.inputs[input]), rank);
    };
    const auto columns = spec.latent_width > 0
                             ? width(0) / spec.head_dim * (spec.head_dim + spec.v_head_dim)
                             : width(1) + width(2);
    needs.cache += static_cast<double>(tokens * columns) * element;
}

/// Space for the rows that one expert works on: at most all of them.
double experts_workspace(const Program& program, const Workload& workload, const Step& step,
                         int rank) {
    const auto& input = buffer_of(program, step.inputs[0]);
    const auto& down = program.tensors[static_cast<std::size_t>(step.weights[1].tensor)];
    const auto local = local_weight(down, rank);
    const auto ffn = step.spec.transposed && local.stack > 0 ? local.row_count() / local.stack
                                                             : local.column_count();
    return static_cast<double>(workload.rows(input.rows) * (2 * input.width + 3 * ffn)) * kFloat;
}

std::string training_text(const RankNeeds& own) {
    if (own.gradients == 0) return {};
    return fmt::format("gradients {}, optimizer {}, ", format_bytes(Bytes(own.gradients)),
                       format_bytes(Bytes(own.optimizer)));
}

/// Parameters in fp32 with their gradients and moments; values of every layer.
RankNeeds training_needs(const Program& program, const Workload& workload,
                         const std::vector<ExecutedStep>& steps, int rank) {
    RankNeeds needs;
    for (const auto& shard : parameter_shards(program, steps, rank))
        needs.weights += kFloat * static_cast<double>(shard.use.local.elements());
    needs.gradients = needs.weights;
    if (optimizer_of(program) == Optimizer::adamw) needs.optimizer = 2 * needs.weights;
    const auto places = place_values(program, steps, rank);
    for (const int allocation : places.allocations) {
        const auto a = static_cast<std::size_t>(allocation);
        const auto& like = buffer_of(program, places.buffers.first[a]);
        needs.activations += kFloat * static_cast<double>(owned_rows(like, workload, rank).extent *
                                                          places.buffers.widths[a]);
    }
    for (const auto& at : steps) {
        const auto& step = program.sections[static_cast<std::size_t>(at.section)]
                               .steps[static_cast<std::size_t>(at.step)];
        if (step.kind == OpKind::attention && !step.pass)
            add_cache(program, workload, step, rank, kFloat, needs);
    }
    return needs;
}

}  // namespace

double MemoryNeeds::total() const {
    double sum = 0;
    for (const auto& rank : ranks) sum += rank.total();
    return sum;
}

std::string MemoryNeeds::text() const {
    std::vector<std::string> parts;
    for (std::size_t first = 0, last = 0; first < ranks.size(); first = last + 1) {
        last = first;
        while (last + 1 < ranks.size() && ranks[last + 1] == ranks[first]) ++last;
        const auto& own = ranks[first];
        parts.push_back(
            fmt::format("{}: weights {}, KV cache {}, activations {}, {}while loading {}",
                        first == last ? fmt::format("rank {}", first)
                                      : fmt::format("ranks {} to {}, each", first, last),
                        format_bytes(Bytes(own.weights)), format_bytes(Bytes(own.cache)),
                        format_bytes(Bytes(own.activations)), training_text(own),
                        format_bytes(Bytes(own.loading))));
    }
    return join(parts, "; ");
}

MemoryNeeds memory_needs(const Program& program, const Workload& workload, DType dtype,
                         const Backend& backend) {
    MemoryNeeds needs;
    needs.available = backend.memory_available();
    const auto steps = executed_steps(program);
    const double element = bytes_of(backend.activation_dtype(dtype));
    const auto pairs = pair_buffers(program);
    for (int rank = 0; rank < program.tp; ++rank) {
        if (workload.phase == Phase::train) {
            needs.ranks.push_back(training_needs(program, workload, steps, rank));
            continue;
        }
        auto& own = needs.ranks.emplace_back();
        std::set<std::string> seen;
        double workspace = 0;
        for (const auto& at : steps) {
            const auto& step = program.sections[static_cast<std::size_t>(at.section)]
                                   .steps[static_cast<std::size_t>(at.step)];
            add_weights(program, workload, dtype, backend, at, step, rank, seen, own);
            if (step.kind == OpKind::attention)
                add_cache(program, workload, step, rank, element, own);
            if (step.kind == OpKind::moe_experts)
                workspace = std::max(workspace, experts_workspace(program, workload, step, rank));
        }
        own.activations = workspace;
        for (std::size_t b = 0; b < program.buffers.size(); ++b) {
            const auto& buffer = program.buffers[b];
            own.activations += static_cast<double>(owned_rows(buffer, workload, rank).extent *
                                                   local_width(buffer, rank)) *
                               (pairs[b] ? kFloat : element);
        }
    }
    return needs;
}

}  // namespace tplan
