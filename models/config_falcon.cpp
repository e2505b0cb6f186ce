#include "models/config_fields.h"

namespace tplan {

void complete_falcon(const KeyReader& reader, ModelConfig& config) {
    auto& settings = config.settings;
    auto& names = config.modules;
    if (settings.new_decoder) {
        config.traits.qkv_packing = QkvPacking::per_kv_group;
        if (!settings.parallel) {
            throw Error(reader.path("parallel_attn"),
                        "false together with new_decoder_architecture has no graph");
        }
        if (settings.parallel_norms != 1) {
            names.attention_norm = "ln_attn";
            names.mlp_norm = "ln_mlp";
            return;
        }
    } else {
        // The old architecture has one KV head or as many as heads, whatever num_kv_heads says.
        config.kv_heads = settings.multi_query ? 1 : config.heads;
        config.traits.qkv_packing =
            settings.multi_query ? QkvPacking::concat : QkvPacking::per_head;
        if (settings.parallel && settings.parallel_norms == 2) {
            throw Error(reader.path("num_ln_in_parallel_attn"),
                        "2 without new_decoder_architecture has no graph");
        }
    }
    if (settings.parallel) names.mlp_norm.clear();  // one norm serves both sublayers
}

}  // namespace tplan
