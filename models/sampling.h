#pragma once
#include <limits>
#include <optional>

#include "models/graph.h"

/// What a step does with its logits, and so what the head must gather of them.

namespace tplan {

enum class Sampling {
    greedy,  // the largest logit of each sequence: (value, index), a tie is the lower index's
    top_p,   // needs all of them: no number of candidates is sure to hold the nucleus
    logits   // all of them, on every rank
};
constexpr auto enum_names(Sampling) {
    return std::array<std::string_view, 3>{"greedy", "top-p", "logits"};
}

/// Names of the ops that end the head of a model that chooses tokens.
constexpr std::string_view kCandidates = "candidates";
constexpr std::string_view kChoice = "greedy_token";

/// A candidate of a rank that has fewer columns than it is asked for: after any other.
constexpr float kNoValue = std::numeric_limits<float>::lowest();
constexpr float kNoIndex = 0x1p24F;

/// The model whose head ends in what `sampling` asks for at `tp` ranks: `model` itself where that
/// is its logits, else a copy kept in `kept`. Greedy appends OpKind::largest twice: `tp` candidates
/// (value, index) from the logits, one per rank where the vocabulary is cut, and the best of them;
/// at one rank the second alone. A model that ends so already is returned as it is. Throws Error
/// for a vocabulary above kNoIndex: an index is held as fp32.
const Model& with_sampling(const Model& model, Sampling sampling, int tp,
                           std::optional<Model>& kept);

}  // namespace tplan
