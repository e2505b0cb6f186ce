#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/json_io.h"

namespace tplan::test {

/// Element `index` (row-major) of parameter `name` in the model whose logits are on file. Vectors
/// lie in [0, 1), everything else in [-1, 1); 24 random bits, so exact in float. The name's FNV-1a
/// hash seeds a SplitMix64 sequence of which the element takes number `index`.
double reference_weight(std::string_view name, bool vector, std::int64_t index);

/// What transformers computes with those weights for tiny_config() of the families: the first
/// logits at the last of `tokens`, seven digits (transformers_logits.json, written by the script of
/// the same name).
struct TransformersLogits {
    std::string schema, source;
    std::vector<std::int32_t> tokens;
    Named<std::vector<double>> last_logits;    // by family, the dense ones
    Named<std::vector<double>> expert_logits;  // by family, those with experts

    Named<std::vector<double>> all() const {
        auto both = last_logits;
        both.insert(both.end(), expert_logits.begin(), expert_logits.end());
        return both;
    }
    static void fields(auto& self, auto&& field) {
        field("schema", self.schema);
        field("source", self.source);
        field("tokens", self.tokens);
        field("last_logits", self.last_logits);
        field("expert_logits", self.expert_logits);
    }
};
TransformersLogits load_transformers_logits();

}  // namespace tplan::test
