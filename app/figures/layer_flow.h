#pragma once
#include <string>
#include <vector>

#include "app/study.h"

/// What the shard map draws of one kind of layer, in execution order: weights with their cut, what
/// flows between them, and the collectives. From the program of the degree; of a degree that does
/// not work, from the graph with the cut that transformers would make.

namespace tplan {

/// A parameter of a step.
struct FlowWeight {
    std::string name;       // "self_attn.q_proj", "self_attn.q_proj.bias"
    std::string full_name;  // transformers', with '*' for the layer
    std::vector<std::int64_t> shape;
    DType dtype = DType::bf16;
    Split split;
    std::string style;
    std::int64_t unit = 0;  // rows (or columns, split in) of one head; 0 = no heads
};

/// What an activation is like after a step.
enum class FlowLayout {
    unknown,
    replicated,
    split,   // its own columns on every rank
    tokens,  // its own rows on every rank
    partial
};

struct FlowItem {
    OpKind kind = OpKind::linear;
    std::string name;  // of the step
    std::vector<FlowWeight> weights;
    bool residual = false;  // adds its input to the stream
    bool next = false;      // its weight is the next layer's (last: the final norm)
    FlowLayout out = FlowLayout::unknown;
    Split out_split;
    std::int64_t out_width = 0;
    int step = -1;  // of the section; -1 when nothing was priced
};

struct FlowSection {
    std::string name;         // "embedding", "layer (moe)", "head"
    std::vector<int> layers;  // empty outside the layers
    int section = -1;         // of the program; -1 when the degree does not work
    std::vector<FlowItem> items;
};

/// One entry per section of the program, or per block of the graph.
std::vector<FlowSection> layer_flow(const Study& study);

/// Index of the section a layer belongs to: -1 the first section (the embedding), -2 the last (the
/// head); the first one with layers when there is no such layer.
int section_of_layer(const std::vector<FlowSection>& sections, int layer);

}  // namespace tplan
