#include "app/small_copy.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace tplan {
namespace {

constexpr std::int64_t kFfnPerRank = 48, kRemainder = 16;

/// `per_rank` columns for every rank, and a remainder where the model's own `n` leave one.
std::int64_t shrunk(std::int64_t n, std::int64_t per_rank, int tp) {
    return per_rank * tp + (n % tp == 0 ? 0 : kRemainder);
}

/// Experts enough for a choice among them, in as many groups as the model's, whole ones per rank
/// where the model's own are; else as many as they are.
void shrink_experts(ModelConfig& small, int tp) {
    constexpr std::int64_t kExpertFfnPerRank = 24, kFewest = 8;
    if (small.experts == 0) return;
    small.moe_ffn = shrunk(small.moe_ffn, kExpertFfnPerRank, tp);
    if (small.shared_ffn > 0) small.shared_ffn = shrunk(small.shared_ffn, kFfnPerRank, tp);
    if (small.experts % tp != 0) return;
    const auto& routing = small.settings.routing;
    const auto unit = std::lcm(routing.groups, static_cast<std::int64_t>(tp));
    // Twice what a token visits, also within the groups it may visit.
    const auto wanted =
        std::max(kFewest, 2 * small.experts_per_token * routing.groups / routing.top_groups);
    const auto experts = std::max((wanted + unit - 1) / unit * unit, 2 * routing.groups);
    small.experts = std::min(small.experts, experts);
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
    constexpr std::int64_t kHeadDim = 32, kVocabPerRank = 64, kPositions = 64;
    auto small = config;
    const auto group = config.heads / config.kv_heads;
    // One KV head stays one (multi-query); fewer KV heads than ranks stay so (they are copied).
    // Heads that do not divide keep their numbers: the remainder is what is to be tried.
    const bool even = config.heads % tp == 0 && (config.kv_heads < tp || config.kv_heads % tp == 0);
    if (even) {
        small.kv_heads = std::min<std::int64_t>(config.kv_heads, tp);
        small.heads = config.kv_heads >= tp ? group * small.kv_heads : config.heads;
    }
    // Heads stay as they are where not all of a small one's rotated columns would have a partner.
    const double rotated = config.settings.rotary_fraction * kHeadDim;
    if (std::fmod(rotated, 2) == 0) small.head_dim = std::min(config.head_dim, kHeadDim);
    shrink_latent(small);
    shrink_experts(small, tp);
    small.hidden = small.heads * small.head_dim;
    small.ffn = shrunk(config.ffn, kFfnPerRank, tp);
    small.vocab = shrunk(config.vocab, kVocabPerRank, tp);
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
