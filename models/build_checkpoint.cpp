// Names on disk. transformers 5 packs and renames on loading (its conversion_mapping.py); a family
// file says which of its tensors that concerns.
#include <algorithm>

#include "models/build_block.h"

namespace tplan {
namespace {

/// What a weight in integers, or a tensor beside one, is called below its module on disk:
/// "qweight", "scales", "qzeros", "g_idx". Empty for any other tensor.
std::string group_part(const ModelConfig& config, const Tensor& tensor) {
    if (config.groups.bits == 0) return {};
    if (tensor.scales_of) {
        for (const auto* part : {"scales", "qzeros", "g_idx"}) {
            if (tensor.name.ends_with(part)) return part;
        }
    }
    return is_stored_only(tensor.dtype) ? "qweight" : "";
}

/// The same name with another last word.
std::string with_last(const std::string& name, const std::string& word) {
    return name.substr(0, name.rfind('.') + 1) + word;
}

/// The block's own names of what is on disk in place of `tensor`.
std::vector<std::string> parts(const ModelConfig& config, const Tensor& tensor) {
    const auto part = group_part(config, tensor);
    auto whole = tensor.scales_of ? *tensor.scales_of : tensor.name;
    if (whole.ends_with(".qweight")) whole = with_last(whole, "weight");
    const auto row = std::find_if(config.checkpoint.begin(), config.checkpoint.end(),
                                  [&](const auto& entry) { return entry.first == whole; });
    if (row != config.checkpoint.end()) {
        auto names = row->second;
        if (!part.empty()) {
            for (auto& name : names) name = with_last(name, part);
        } else if (tensor.scales_of) {
            for (auto& name : names) name += "_scale_inv";
        }
        return names;
    }
    // mxfp4 keeps four-bit values and scales as two tensors
    if (tensor.dtype == DType::mxfp4) return {tensor.name + "_blocks", tensor.name + "_scales"};
    return {tensor.name};
}

/// A module path below an umbrella as older checkpoints have it: base and head under one module.
std::string below_umbrella(const ModelConfig& config, const std::string& name) {
    const auto& traits = config.traits;
    if (config.umbrella.empty() || traits.umbrella_checkpoint.empty()) return name;
    if (!name.starts_with(traits.umbrella_prefix)) return traits.umbrella_checkpoint + "." + name;
    return traits.umbrella_checkpoint + "." + config.modules.base +
           name.substr(traits.umbrella_prefix.size());
}

}  // namespace

void name_on_disk(const ModelConfig& config, Model& model) {
    for (auto& block : model.blocks) {
        for (auto& tensor : block.tensors) {
            if (tensor.tied) continue;
            std::vector<std::string> names;
            for (const auto& part : parts(config, tensor))
                names.push_back(below_umbrella(config, below(block.prefix, part)));
            if (names != std::vector{below(block.prefix, tensor.name)})
                tensor.checkpoint_names = names;
        }
    }
}

}  // namespace tplan
