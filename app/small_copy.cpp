#include "app/small_copy.h"

#include <algorithm>

namespace tplan {

ModelConfig small_copy(const ModelConfig& config, int tp) {
    constexpr std::int64_t kHeadDim = 32, kFfnPerRank = 48, kVocabPerRank = 64, kPositions = 64;
    auto small = config;
    const auto group = config.heads / config.kv_heads;
    // One KV head stays one (multi-query); fewer KV heads than ranks stay so (they are copied).
    small.kv_heads = std::min<std::int64_t>(config.kv_heads, tp);
    small.heads = config.kv_heads >= tp ? group * small.kv_heads : config.heads;
    if (config.settings.rotary_fraction == 1) small.head_dim = std::min(config.head_dim, kHeadDim);
    small.hidden = small.heads * small.head_dim;
    small.ffn = kFfnPerRank * tp;
    small.vocab = kVocabPerRank * tp;
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

}  // namespace tplan
