#pragma once
#include <optional>
#include <string>
#include <vector>

#include "app/refusal.h"

/// `tplan show`: who holds what of each kind of layer, of a plan file or of a model at one degree.

namespace tplan {

/// `tplan.show/1`.
struct ShowDocument {
    std::string schema = "tplan.show/1";
    std::string model;
    int tp = 1;
    std::vector<TensorShards> tensors;
    static void fields(auto& self, auto&& field) {
        field("schema", self.schema);
        field("model", self.model);
        field("tp", self.tp);
        field("tensors", self.tensors);
    }
};

/// The shard map, or why there is none.
struct ShowResult {
    std::optional<ShowDocument> document;
    std::string text;                // the map for a terminal
    std::optional<Refusal> refusal;  // set instead when the degree does not work
};

/// `what` names a plan file of either kind, whose own degree and layout count, or a model, for
/// which `tp` must be given. Throws Error for an unreadable file, an unknown model, one without a
/// graph, and a missing degree.
ShowResult show(const std::string& what, std::optional<int> tp, LayoutChoice layout);

}  // namespace tplan
