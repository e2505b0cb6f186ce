#include "cost_model/rank_view.h"

namespace tplan {
namespace {

std::size_t at(int i) {
    return static_cast<std::size_t>(i);
}

/// Sizes of the program's buffers and tensors on the fullest of the ranks.
struct View {
    const Program& program;
    RankRange ranks;

    std::int64_t width(int buffer, RankRange of) const {
        const auto& b = program.buffers[at(buffer)];
        return largest_width(b.layout, b.width, of);
    }
    std::int64_t width(int buffer) const { return width(buffer, ranks); }

    std::int64_t widths(const std::vector<int>& buffers, RankRange of) const {
        std::int64_t sum = 0;
        for (const int b : buffers) sum += width(b, of);
        return sum;
    }

    double bytes(const WeightRef& ref, RankRange of) const {
        const auto& tensor = program.tensors[at(ref.tensor)];
        double elements = 1;
        for (std::size_t d = 0; d < tensor.shape.size(); ++d) {
            const bool cut = tensor.split.kind != SplitKind::whole && at(tensor.split.dim) == d;
            elements *= static_cast<double>(cut ? largest_extent(tensor.split, tensor.shape[d], of)
                                                : tensor.shape[d]);
        }
        return elements * bytes_of(tensor.dtype);
    }

    /// What of the bytes that the step counts for the fullest of all ranks falls to these.
    double share_of_weights(const Step& step) const {
        double own = 0, all = 0;
        for (const auto& ref : step.weights) {
            own += bytes(ref, ranks);
            all += bytes(ref, {});
        }
        return all > 0 ? own / all : 1;
    }

    bool splits_columns(int buffer) const {
        return program.buffers[at(buffer)].layout.splits_columns();
    }

    /// `heads` of the columns of a buffer, on these ranks.
    std::int64_t heads_of(std::int64_t heads, int buffer) const {
        const auto all = width(buffer, {});
        return all > 0 ? heads * width(buffer) / all : 0;
    }

    void set_heads(Step& step) const {
        auto& attention = *step.spec.attention;
        const bool unpacks = step.kind == OpKind::unpack_qkv;
        const auto& held = unpacks ? step.outputs : step.inputs;
        if (held.empty() || !splits_columns(step.inputs[0])) return;
        attention.heads = heads_of(attention.heads, held[0]);
        attention.kv_heads = heads_of(attention.kv_heads, held[unpacks ? 1 : 2]);
    }

    /// Whole experts are the first dimension of their weights; parts of experts are even.
    void set_experts(Step& step) const {
        const auto& weight = program.tensors[at(step.weights[0].tensor)];
        if (weight.split.kind == SplitKind::whole || weight.split.dim != 0) return;
        step.spec.moe->experts = largest_extent(weight.split, weight.shape[0], ranks);
    }

    void set_sizes(Step& step) const {
        if (is_collective(step.kind)) return;
        // Columns that are no buffer's (of a step that is priced alone) are whole.
        const bool product = step.kind == OpKind::linear || step.kind == OpKind::embedding ||
                             step.kind == OpKind::slice;
        if (product && widths(step.outputs, {}) == step.n) step.n = widths(step.outputs, ranks);
        if (step.k > 0 && !step.inputs.empty() && width(step.inputs[0], {}) == step.k)
            step.k = width(step.inputs[0]);
        step.weight_bytes *= share_of_weights(step);
        if (step.spec.attention) set_heads(step);
        if (step.spec.moe && step.kind == OpKind::moe_experts) set_experts(step);
    }
};

}  // namespace

Program rank_view(const Program& program, RankRange ranks) {
    auto out = program;
    out.ranks = ranks;
    const View view{program, ranks};
    for (auto& section : out.sections) {
        for (auto& step : section.steps) {
            view.set_sizes(step);
            if (step.kind != OpKind::attention || section.kv_width == 0) continue;
            const auto& attention = *step.spec.attention;
            if (attention.latent_width == 0)
                section.kv_width = attention.kv_heads * (attention.head_dim + attention.v_head_dim);
        }
    }
    return out;
}

}  // namespace tplan
