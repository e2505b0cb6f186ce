#include "app/small_copy.h"

#include <algorithm>

namespace tplan {
namespace {

/// Extends `taken`, the entries of the places so far, to the whole sequence.
bool extend(const Model& small, const std::vector<BlockLayout>& layout,
            std::vector<std::size_t>& taken) {
    const auto place = taken.size();
    if (place == small.sequence.size()) return true;
    const auto stream = place == 0 ? LayoutState::replicated : layout[taken.back()].output;
    for (std::size_t i = 0; i < layout.size(); ++i) {
        if (layout[i].block != small.sequence[place].block || layout[i].input != stream) continue;
        taken.push_back(i);
        if (extend(small, layout, taken)) return true;
        taken.pop_back();
    }
    return false;
}

}  // namespace

ModelConfig small_copy(const ModelConfig& config, int tp) {
    constexpr std::int64_t kHeadDim = 32, kFfnPerRank = 48, kVocabPerRank = 64, kPositions = 64,
                           kRemainder = 16;
    auto small = config;
    const auto group = config.heads / config.kv_heads;
    // One KV head stays one (multi-query); fewer KV heads than ranks stay so (they are copied).
    // Heads that do not divide keep their numbers: the remainder is what is to be tried.
    const bool even = config.heads % tp == 0 && (config.kv_heads < tp || config.kv_heads % tp == 0);
    if (even) {
        small.kv_heads = std::min<std::int64_t>(config.kv_heads, tp);
        small.heads = config.kv_heads >= tp ? group * small.kv_heads : config.heads;
    }
    if (config.settings.rotary_fraction == 1) small.head_dim = std::min(config.head_dim, kHeadDim);
    small.hidden = small.heads * small.head_dim;
    small.ffn = kFfnPerRank * tp + (config.ffn % tp == 0 ? 0 : kRemainder);
    small.vocab = kVocabPerRank * tp + (config.vocab % tp == 0 ? 0 : kRemainder);
    small.max_positions = kPositions;
    small.quant_method.clear();  // it runs in fp32, and its sizes are below any block
    small.quant_block = {0, 0};
    small.layer_traits.clear();
    for (const auto& traits : config.layer_traits) {
        if (!std::ranges::count(small.layer_traits, traits)) small.layer_traits.push_back(traits);
    }
    small.layers = static_cast<std::int64_t>(small.layer_traits.size());
    if (small.layers == 1) {  // the residual stream must cross a layer boundary
        small.layer_traits.push_back(small.layer_traits.front());
        small.layers = 2;
    }
    return small;
}

std::vector<BlockLayout> small_layout(const Model& small, const std::vector<BlockLayout>& layout) {
    std::vector<std::size_t> taken;
    if (!extend(small, layout, taken)) {
        throw Error("numerics", "the plan's layout cannot be laid over the small copy of the model",
                    "report this with the plan");
    }
    std::vector<BlockLayout> result;
    for (std::size_t i = 0; i < layout.size(); ++i) {
        auto entry = layout[i];
        entry.layers.clear();
        for (std::size_t place = 0; place < taken.size(); ++place) {
            if (taken[place] == i) entry.layers.push_back(small.sequence[place].layer);
        }
        if (!entry.layers.empty()) result.push_back(std::move(entry));
    }
    return result;
}

}  // namespace tplan
