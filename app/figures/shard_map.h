#pragma once
#include "app/figures/figure.h"
#include "app/figures/layer_flow.h"

namespace tplan {

/// Who holds what of one section: every weight in transformers' orientation [out, in], rows are
/// outputs, cut by rank; replicated ones hatched; activations as strips; collectives as diamonds
/// with payload and time; the residual stream over the top.
/// Ids: "w:<module>/r:<rank>" and "w:<module>/all" for weights, "a:<step>/.." for activations,
/// "c:<step>" for collectives, "op:<step>" for the rest.
DisplayList section_map(const Study& study, const FlowSection& section,
                        const FigureOptions& options, const TextMetrics& metrics,
                        bool legend = true);

/// The section that `options.layer` belongs to.
DisplayList shard_map(const Study& study, const FigureOptions& options, const TextMetrics& metrics);

/// All sections of the study, one below the other, ids prefixed "<section>/".
DisplayList shard_maps(const Study& study, const FigureOptions& options,
                       const TextMetrics& metrics);

/// What a tooltip says about the part of a weight that a rank holds.
std::string slice_title(const FlowWeight& weight, int rank, int tp);

/// In a few words each: "split out / 3", "10 to 11 heads each"; "replicated x4".
std::vector<std::string> cut_words(const FlowWeight& weight, int tp);

}  // namespace tplan
