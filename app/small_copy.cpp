#include "app/small_copy.h"

#include <algorithm>
#include <numeric>

namespace tplan {
namespace {

constexpr std::int64_t kFfnPerRank = 48;

/// Experts enough for a choice among them, in as many groups as the model's, whole ones per rank.
void shrink_experts(ModelConfig& small, int tp) {
    constexpr std::int64_t kExpertFfnPerRank = 24, kFewest = 8;
    if (small.experts == 0) return;
    auto& routing = small.settings.routing;
    const auto unit = std::lcm(routing.groups, static_cast<std::int64_t>(tp));
    // Twice what a token visits, also within the groups it may visit.
    const auto wanted =
        std::max(kFewest, 2 * small.experts_per_token * routing.groups / routing.top_groups);
    const auto experts = std::max((wanted + unit - 1) / unit * unit, 2 * routing.groups);
    small.experts = std::min(small.experts, experts);
    small.moe_ffn = kExpertFfnPerRank * tp;
    if (small.shared_ffn > 0) small.shared_ffn = kFfnPerRank * tp;
}

void shrink_latent(ModelConfig& small) {
    constexpr std::int64_t kLatent = 32, kPlain = 16, kRotated = 8;
    if (small.kv_lora_rank == 0) return;
    if (small.q_lora_rank > 0) small.q_lora_rank = kLatent + kRotated;
    small.kv_lora_rank = kLatent;
    small.qk_nope_dim = small.v_head_dim = kPlain;
    small.qk_rope_dim = kRotated;
    small.head_dim = kPlain + kRotated;
}

}  // namespace

ModelConfig small_copy(const ModelConfig& config, int tp) {
    constexpr std::int64_t kHeadDim = 32, kVocabPerRank = 64, kPositions = 64;
    auto small = config;
    const auto group = config.heads / config.kv_heads;
    // One KV head stays one (multi-query); fewer KV heads than ranks stay so (they are copied).
    small.kv_heads = std::min<std::int64_t>(config.kv_heads, tp);
    small.heads = config.kv_heads >= tp ? group * small.kv_heads : config.heads;
    if (config.settings.rotary_fraction == 1) small.head_dim = std::min(config.head_dim, kHeadDim);
    shrink_latent(small);
    shrink_experts(small, tp);
    small.quant_method.clear();  // it runs in fp32
    small.hidden = small.heads * small.head_dim;
    small.ffn = kFfnPerRank * tp;
    small.vocab = kVocabPerRank * tp;
    small.max_positions = kPositions;
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
