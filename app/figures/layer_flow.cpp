#include "app/figures/layer_flow.h"

#include <algorithm>

#include "app/carried_buffers.h"

namespace tplan {
namespace {

std::size_t at(int index) {
    return static_cast<std::size_t>(index);
}

/// "model.layers.*.self_attn.q_proj.weight" -> "self_attn.q_proj".
std::string short_name(std::string name) {
    if (const auto star = name.find("*."); star != std::string::npos) name = name.substr(star + 2);
    for (const std::string_view tail : {".weight", ".qweight"}) {
        if (name.ends_with(tail)) name.resize(name.size() - tail.size());
    }
    return name;
}

/// Rows of one head along the dimension that counts heads; 0 when none does.
std::int64_t head_unit(const ModelConfig& config, const Tensor& tensor, const Split& split) {
    if (split.kind == SplitKind::whole || tensor.axes.empty()) return 0;
    if (split.kind == SplitKind::covering || split.kind == SplitKind::qkv) return split.unit;
    const auto axis = tensor.axes[at(split.dim)];
    if (axis != Axis::heads && axis != Axis::kv_heads) return 0;
    const auto heads = axis == Axis::heads ? config.heads : config.kv_heads;
    const auto extent = tensor.shape[at(split.dim)];
    return heads > 0 && extent % heads == 0 ? extent / heads : 0;
}

/// The graph's tensor of a full name, or nullptr.
const Tensor* find_tensor(const Model& model, const std::string& name) {
    for (const auto& block : model.blocks) {
        for (const auto& tensor : block.tensors) {
            if (full_name(block, tensor, -1) == name) return &tensor;
        }
    }
    return nullptr;
}

FlowWeight weight_of(const Study& study, const ShardedTensor& sharded) {
    const auto* tensor = find_tensor(*study.model, sharded.name);
    return {short_name(sharded.name),
            sharded.name,
            sharded.shape,
            sharded.dtype,
            sharded.split,
            sharded.style,
            tensor ? head_unit(*study.config, *tensor, sharded.split) : 0};
}

/// Whether a buffer that was written before `from` holds partial sums: a reduction works on it in
/// place, or it is added up with others before one does.
bool holds_sums(const std::vector<Step>& steps, std::size_t from, int buffer) {
    for (auto s = from; s < steps.size(); ++s) {
        const auto& step = steps[s];
        if (!std::ranges::count(step.inputs, buffer)) continue;
        if (step.kind == OpKind::all_reduce || step.kind == OpKind::reduce_scatter) return true;
        return step.kind == OpKind::add && holds_sums(steps, s + 1, step.outputs.front());
    }
    return false;
}

/// The layout of a step's first output.
void set_output(FlowItem& item, const Program& program, const std::vector<Step>& steps,
                std::size_t s) {
    if (steps[s].outputs.empty()) return;
    const int buffer = steps[s].outputs.front();
    const auto& out = program.buffers[at(buffer)];
    item.out_width = out.width;
    item.out_split = out.layout.split;
    item.out = out.layout.splits_rows()                 ? FlowLayout::tokens
               : out.layout.kind == LayoutKind::split   ? FlowLayout::split
               : out.layout.kind == LayoutKind::partial ? FlowLayout::partial
                                                        : FlowLayout::replicated;
    if (item.out == FlowLayout::replicated && holds_sums(steps, s + 1, buffer))
        item.out = FlowLayout::partial;
}

/// Whether an addition has a term of the stream (what a section takes over, or an earlier such
/// addition gave), and so is the residual's; its result then belongs to the stream.
bool joins_stream(std::vector<int>& stream, const std::vector<int>& terms,
                  const std::vector<int>& results) {
    if (!std::ranges::any_of(terms, [&](int t) { return std::ranges::count(stream, t) > 0; }))
        return false;
    stream.push_back(results.front());
    return true;
}

FlowSection from_program(const Study& study, int index) {
    const auto& program = *study.lowered->program;
    const auto& section = program.sections[at(index)];
    FlowSection flow{section.name, section.layers, index, {}};
    if (flow.layers == std::vector<int>{-1}) flow.layers.clear();
    auto stream = carried_into(section);
    for (std::size_t s = 0; s < section.steps.size(); ++s) {
        const auto& step = section.steps[s];
        auto& item = flow.items.emplace_back();
        item.kind = step.kind;
        item.name = step.name;
        item.step = static_cast<int>(s);
        item.residual =
            step.kind == OpKind::add_norm ||
            (step.kind == OpKind::add && joins_stream(stream, step.inputs, step.outputs));
        item.next =
            flow.layers.size() > 0 && std::ranges::any_of(step.weights, &WeightRef::next_layer);
        for (const auto* refs : {&step.weights, &step.biases}) {
            for (const auto& ref : *refs) {
                if (ref.tensor >= 0)
                    item.weights.push_back(weight_of(study, program.tensors[at(ref.tensor)]));
            }
        }
        set_output(item, program, section.steps, s);
    }
    return flow;
}

FlowSection from_graph(const Study& study, int index) {
    const auto& block = study.model->blocks[at(index)];
    const auto& cuts = study.lowered->plan->tensors[at(index)];
    FlowSection flow;
    for (const auto& use : study.model->sequence) {
        if (use.block == index && use.layer >= 0) flow.layers.push_back(use.layer);
    }
    flow.name = !flow.layers.empty() ? "layer" : block.input < 0 ? "embedding" : "head";
    std::vector<int> stream{block.input};
    for (const auto& op : block.ops) {
        auto& item = flow.items.emplace_back();
        item.kind = op.kind;
        item.name = op.name;
        item.residual = op.kind == OpKind::add && joins_stream(stream, op.inputs, op.outputs);
        for (const int t : op.weights) {
            const auto& tensor = block.tensors[at(t)];
            const auto name = full_name(block, tensor, -1);
            const auto& cut = cuts[at(t)];
            item.weights.push_back({short_name(name), name, tensor.shape, tensor.dtype, cut.split,
                                    cut.style, head_unit(*study.config, tensor, cut.split)});
        }
        if (!op.outputs.empty()) item.out_width = block.activations[at(op.outputs.front())].width;
    }
    return flow;
}

}  // namespace

std::vector<FlowSection> layer_flow(const Study& study) {
    std::vector<FlowSection> sections;
    const bool lowered = study.lowered->program.has_value();
    const auto count =
        lowered ? study.lowered->program->sections.size() : study.model->blocks.size();
    for (std::size_t i = 0; i < count; ++i) {
        const int index = static_cast<int>(i);
        sections.push_back(lowered ? from_program(study, index) : from_graph(study, index));
    }
    return sections;
}

int section_of_layer(const std::vector<FlowSection>& sections, int layer) {
    if (layer == -1) return 0;
    if (layer == -2) return static_cast<int>(sections.size()) - 1;
    int first = 0;
    for (std::size_t i = sections.size(); i-- > 0;) {
        if (std::ranges::count(sections[i].layers, layer)) return static_cast<int>(i);
        if (!sections[i].layers.empty()) first = static_cast<int>(i);
    }
    return first;
}

}  // namespace tplan
