#pragma once
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/json_io.h"
#include "models/layout.h"

/// Tensor-parallel styles as data: one file per style in data/styles, every spelling old and new
/// mapped to one set.

namespace tplan {

enum class BiasRule { split, whole, none };  // none: the style governs no bias
constexpr auto enum_names(BiasRule) {
    return std::array<std::string_view, 3>{"split", "whole", "none"};
}

/// One style of the registry. `weight_dim` counts from the end as in transformers (-2 out, -1 in;
/// -3 experts, 0 rows of an embedding). `result` is what the op leaves before the style's own
/// communication, `output` after it: reshard() of the two gives the collective.
struct Style {
    std::string schema = "tplan.style/1";
    std::string name;
    std::vector<std::string> aliases;
    Nullable<int> weight_dim;
    bool packed = false;
    BiasRule bias = BiasRule::none;
    LayoutKind input = LayoutKind::replicated;
    LayoutKind result = LayoutKind::replicated;
    LayoutKind output = LayoutKind::replicated;
    bool expert_parallel = false;
    std::optional<std::string> refused;          // why no op can carry it here
    std::optional<std::string> added_when_tied;  // the key transformers adds it under, see verdicts
    std::string forward;                         // the collective in words, for people
    std::string source;

    static void fields(auto& self, auto&& field) {
        field("schema", self.schema);
        field("name", self.name);
        field("aliases", self.aliases);
        field("weight_dim", self.weight_dim);
        field("packed", self.packed);
        field("bias", self.bias);
        field("input", self.input);
        field("result", self.result);
        field("output", self.output);
        field("expert_parallel", self.expert_parallel);
        field("refused", self.refused);
        field("added_when_tied", self.added_when_tied);
        field("forward", self.forward);
        field("source", self.source);
    }
    bool operator==(const Style&) const = default;
};

// Which dimension of a weight the style cuts.
inline bool cuts_output(const Style& style) {
    return style.weight_dim.value == -2;
}
inline bool cuts_input(const Style& style) {
    return style.weight_dim.value == -1;
}
inline bool cuts_table(const Style& style) {
    return style.weight_dim.value >= 0;
}
inline bool cuts_table_rows(const Style& style) {
    return style.weight_dim.value == 0;
}

/// All styles, sorted by name. Throws Error for a malformed file or a spelling claimed twice.
std::vector<Style> load_styles();

/// The same, read once per process: judging and planning many degrees must not read 18 files each
/// time.
const std::vector<Style>& shared_styles();

/// The style of a spelling, old or new. Throws Error listing the supported names for any other.
const Style& find_style(const std::vector<Style>& styles, const std::string& spelling);

}  // namespace tplan
