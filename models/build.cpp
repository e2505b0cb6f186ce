#include "models/build.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "models/build_block.h"
#include "models/config_fields.h"

namespace tplan {
namespace {

Columns stream(const ModelConfig& config) {
    return {config.hidden, Axis::hidden};
}

Block build_embedding(const ModelConfig& config, const std::string& base) {
    BlockDraft draft{config, {}, 0};
    draft.block.prefix = base;
    const auto& names = config.modules;
    const int table = add_tensor(draft, {.name = names.embedding + ".weight",
                                         .shape = {config.vocab, config.hidden},
                                         .axes = {Axis::vocab, Axis::hidden},
                                         .dtype = config.dtype});
    OpSpec spec;
    spec.factor = config.settings.embedding_multiplier;
    if (config.traits.scale_embedding) spec.factor *= std::sqrt(static_cast<double>(config.hidden));
    int x = add_op(draft, OpKind::embedding, names.embedding, {}, {table}, stream(config), spec);
    if (!names.positions.empty()) {
        const int positions = add_tensor(draft, {.name = names.positions + ".weight",
                                                 .shape = {config.max_positions, config.hidden},
                                                 .axes = {Axis::positions, Axis::hidden},
                                                 .dtype = config.dtype});
        x = add_op(draft, OpKind::position_embedding, names.positions, {x}, {positions},
                   stream(config));
    }
    draft.block.output = x;
    return std::move(draft.block);
}

int add_residual(BlockDraft& draft, const std::string& name, std::vector<int> terms) {
    OpSpec spec;
    spec.factor = draft.config.settings.residual_multiplier;
    return add_op(draft, OpKind::add, name, std::move(terms), {}, stream(draft.config), spec);
}

int norm_if(BlockDraft& draft, const std::string& module, int input) {
    return module.empty() ? input : add_norm(draft, module, input);
}

/// One decoder layer. Sequential: x += attention(norm(x)); x += mlp(norm(x)). Parallel: both read
/// the block's input and are added together. A norm that the family lacks is left out.
Block build_layer(const ModelConfig& config, const LayerTraits& layer, const std::string& base) {
    BlockDraft draft{
        config, {}, std::count(config.layer_traits.begin(), config.layer_traits.end(), layer)};
    const auto& names = config.modules;
    draft.block.prefix = base + "." + names.layers + ".*";
    const int x = add_activation(draft, "hidden", Rows::tokens, stream(config));
    draft.block.input = x;

    const int normed = norm_if(draft, names.attention_norm, x);
    int attention = config.traits.latent_attention ? build_latent_attention(draft, normed)
                                                   : build_attention(draft, layer, normed);
    attention = norm_if(draft, names.attention_out_norm, attention);
    if (config.settings.parallel) {
        const int mlp_input = names.mlp_norm.empty() ? normed : add_norm(draft, names.mlp_norm, x);
        const int mlp = build_mlp(draft, layer, mlp_input);
        draft.block.output = add_residual(draft, "residual", {x, attention, mlp});
        return std::move(draft.block);
    }
    const int middle = add_residual(draft, "attention_residual", {x, attention});
    int mlp = build_mlp(draft, layer, norm_if(draft, names.mlp_norm, middle));
    mlp = norm_if(draft, names.mlp_out_norm, mlp);
    draft.block.output = add_residual(draft, "mlp_residual", {middle, mlp});
    return std::move(draft.block);
}

/// Final norm, the last token of each sequence, and its logits. The prefix is empty: lm_head lies
/// outside the base model, so the norm's module path is written out.
Block build_head(const ModelConfig& config, const std::string& base) {
    BlockDraft draft{config, {}, 0};
    const auto& names = config.modules;
    const auto& settings = config.settings;
    int x = add_activation(draft, "hidden", Rows::tokens, stream(config));
    draft.block.input = x;
    x = add_norm(draft, base + "." + names.final_norm, x);
    x = add_op(draft, OpKind::select_last, "select_last", {x}, {}, stream(config));
    draft.block.activations[static_cast<std::size_t>(x)].rows = Rows::sequences;

    std::vector<int> weights{add_tensor(draft, {.name = names.lm_head + ".weight",
                                                .shape = {config.vocab, config.hidden},
                                                .axes = {Axis::vocab, Axis::hidden},
                                                .dtype = config.dtype,
                                                .tied = config.tied_embeddings})};
    if (settings.lm_head_bias) {
        weights.push_back(add_tensor(draft, {.name = names.lm_head + ".bias",
                                             .shape = {config.vocab},
                                             .axes = {Axis::vocab},
                                             .dtype = config.dtype}));
    }
    const Columns logits{config.vocab, Axis::vocab};
    x = add_op(draft, OpKind::linear, names.lm_head, {x}, std::move(weights), logits);
    const double factor = settings.logit_multiplier / settings.logit_divisor;
    if (factor != 1 || settings.logit_softcap > 0) {
        OpSpec spec;
        spec.factor = factor;
        spec.softcap = settings.logit_softcap;
        x = add_op(draft, OpKind::scale, "logit_scale", {x}, {}, logits, spec);
    }
    draft.block.output = x;
    return std::move(draft.block);
}

/// Counts must stay exact as doubles and 64-bit integers.
void refuse_huge(const ModelConfig& config, const Model& model) {
    double elements = 0;
    for (const auto& use : model.sequence) {
        for (const auto& tensor : model.blocks[static_cast<std::size_t>(use.block)].tensors) {
            double count = 1;
            for (const auto extent : tensor.shape) count *= static_cast<double>(extent);
            elements += count;
        }
    }
    if (elements > 0x1p53)
        throw Error(config.source, fmt::format("{:.3g} parameters are more than 2^53", elements));
}

void require_known_quantisation(const ModelConfig& config) {
    const auto where = config.source + "/quantization_config/";
    if (config.quant_method.empty() || config.quant_method == "mxfp4") return;
    if (config.groups.bits > 0) {
        if (!config.traits.transposed && !config.traits.experts_in_out) return;
        throw Error(where + "quant_method",
                    fmt::format("{} with integer weights has no graph: its weights are [in, out]",
                                config.model_type),
                    "drop quantization_config to plan the unquantised model");
    }
    if (config.quant_method != "fp8") {
        throw Error(where + "quant_method",
                    fmt::format("\"{}\" has no graph; known: fp8, mxfp4, awq, gptq",
                                shown(config.quant_method)),
                    "drop quantization_config to plan the unquantised model");
    }
    if (config.quant_block[0] == 0) {
        throw Error(where + "weight_block_size",
                    "fp8 without weight blocks has no graph; expected [rows, columns]");
    }
}

/// What the family has apart; names of the whole as vLLM has them.
std::vector<FusedModules> fused_modules(const ModelConfig& config) {
    const auto& names = config.modules;
    std::vector<FusedModules> fused;
    if (names.qkv.empty() && !config.traits.latent_attention)
        fused.push_back({{names.q, names.k, names.v}, "qkv_proj"});
    if (names.gate_up.empty() && config.traits.gated)
        fused.push_back({{names.gate, names.up}, "gate_up_proj"});
    return fused;
}

}  // namespace

Model build_model(const ModelConfig& config) {
    assert(!config.family.empty());
    require_known_quantisation(config);
    Model model;
    model.model_type = config.model_type;
    model.max_positions = config.max_positions;
    model.base_prefix =
        config.umbrella.empty() ? config.modules.base : config.traits.umbrella_prefix;

    if (config.settings.qk_norm && config.traits.qk_norm == QkNorm::per_head_weights) {
        model.notes.push_back(
            "q and k norm weights are shown as one [heads, head_dim] tensor each");
    }

    model.blocks.push_back(build_embedding(config, model.base_prefix));
    model.sequence.push_back({0, -1});
    std::vector<LayerTraits> kinds;
    for (std::size_t layer = 0; layer < config.layer_traits.size(); ++layer) {
        const auto& traits = config.layer_traits[layer];
        auto kind = std::find(kinds.begin(), kinds.end(), traits);
        if (kind == kinds.end()) {
            model.blocks.push_back(build_layer(config, traits, model.base_prefix));
            kind = kinds.insert(kinds.end(), traits);
        }
        model.sequence.push_back(
            {static_cast<int>(kind - kinds.begin()) + 1, static_cast<int>(layer)});
    }
    model.blocks.push_back(build_head(config, model.base_prefix));
    model.sequence.push_back({static_cast<int>(model.blocks.size()) - 1, -1});
    model.fused = fused_modules(config);
    name_on_disk(config, model);
    refuse_huge(config, model);
    return model;
}

}  // namespace tplan
