#include "planner/train.h"

// Shoeybi et al., Megatron-LM, 2019 (the loss over a split vocabulary).
// Rajbhandari et al., ZeRO, 2020; Zhao et al., PyTorch FSDP, 2023 (sharded parameters).

#include <algorithm>
#include <cassert>
#include <set>

#include "core/text.h"
#include "planner/train_backward.h"

namespace tplan {
namespace {

std::size_t at(int i) {
    return static_cast<std::size_t>(i);
}

bool is_layer(const Section& section) {
    return !section.layers.empty() && section.layers.front() >= 0;
}

/// Buffers that some section reads before it writes them.
std::set<int> carried(const Program& program) {
    std::set<int> found;
    for (const auto& section : program.sections) {
        std::set<int> written;
        for (const auto& step : section.steps) {
            for (const int b : step.inputs) {
                if (!written.contains(b)) found.insert(b);
            }
            written.insert(step.outputs.begin(), step.outputs.end());
        }
    }
    return found;
}

/// Whether a later step, other than a reduction in place, writes the buffer again.
bool written_later(const Section& section, std::size_t after, int buffer) {
    for (std::size_t i = after + 1; i < section.steps.size(); ++i) {
        if (section.steps[i].kind != OpKind::all_reduce &&
            contains(section.steps[i].outputs, buffer))
            return true;
    }
    return false;
}

/// Every value gets a buffer of its own, since the backward pass reads values that serving
/// overwrites. What a section hands on stays where the next one looks for it.
void give_values_buffers(Program& program, Section& section, const std::set<int>& stays) {
    std::set<int> seen;
    for (std::size_t i = 0; i < section.steps.size(); ++i) {
        auto& step = section.steps[i];
        seen.insert(step.inputs.begin(), step.inputs.end());
        if (step.kind == OpKind::all_reduce) continue;
        for (const int b : std::vector<int>(step.outputs)) {
            const bool first = seen.insert(b).second;
            const bool moves = stays.contains(b) ? written_later(section, i, b) : !first;
            if (!moves) continue;
            auto copy = program.buffers[at(b)];
            copy.name += "." + step.name;
            program.buffers.push_back(std::move(copy));
            const int own = static_cast<int>(program.buffers.size()) - 1;
            std::replace(step.outputs.begin(), step.outputs.end(), b, own);
            for (std::size_t later = i + 1; later < section.steps.size(); ++later) {
                auto& reader = section.steps[later];
                std::replace(reader.inputs.begin(), reader.inputs.end(), b, own);
                if (reader.kind == OpKind::all_reduce && contains(reader.outputs, b)) {
                    reader.outputs = {own};
                } else if (contains(reader.outputs, b)) {
                    break;
                }
            }
            seen.insert(own);
        }
    }
}

Step loss_step(const std::string& name, OpKind kind, std::vector<int> from, std::vector<int> to,
               std::int64_t columns) {
    Step step{.kind = kind,
              .name = "loss." + name,
              .inputs = std::move(from),
              .outputs = std::move(to),
              .n = columns,
              .weight_dtype = DType::fp32,
              .dtype = DType::fp32};
    if (is_collective(kind)) {
        step.algorithm = "auto";
        step.stream = 1;
    }
    step.pass = Pass::loss;
    return step;
}

/// Cross entropy in fp32 and its gradient, four passes over the logits. Over a split vocabulary
/// three reductions join the ranks: the maxima, one column a rank; the logit of the label; the sum
/// of exponentials.
Section loss_section(Program& program, int logits) {
    const auto like = program.buffers[at(logits)];
    const bool split = like.layout.splits_columns();
    const auto add = [&](const std::string& name, std::int64_t width, const Layout& layout) {
        program.buffers.push_back({.name = name, .width = width, .layout = layout});
        return static_cast<int>(program.buffers.size()) - 1;
    };
    const auto one = Layout::replicated();
    const int wide = add("logits.fp32", like.width, like.layout);
    const int gradient = add("logits.fp32.gradient", like.width, like.layout);
    const int maxima = add("loss.max", split ? program.tp : 1, one);
    const int label = add("loss.label", 1, one), sum = add("loss.sum", 1, one);
    const int rows = add("loss.rows", 1, one);
    const auto columns = largest_width(like.layout, like.width);
    Section loss{.name = "loss", .layers = {-1}, .steps = {}};
    const auto pass = [&](LossPart part, const std::string& name, std::vector<int> from,
                          std::vector<int> to) {
        auto step = loss_step(name, OpKind::scale, std::move(from), std::move(to), columns);
        step.loss = part;
        loss.steps.push_back(std::move(step));
    };
    const auto reduce = [&](const char* name, int value) {
        if (!split) return;
        loss.steps.push_back(loss_step(fmt::format("{}.all_reduce", name), OpKind::all_reduce,
                                       {value}, {value}, program.buffers[at(value)].width));
    };
    pass(LossPart::upcast, "upcast", {logits}, {wide, maxima});
    reduce("max", maxima);
    pass(LossPart::exponentials, "log_softmax", {wide, maxima}, {wide, label, sum});
    reduce("label", label);
    reduce("sum", sum);
    pass(LossPart::gradient, "log_softmax.gradient", {wide, label, sum}, {gradient, rows});
    pass(LossPart::downcast, "downcast", {gradient}, {gradient_buffer(program, logits)});
    return loss;
}

/// Parameters that are gathered, reduced and updated together: those of one layer, or all outside
/// the layers.
struct Unit {
    std::vector<WeightRef> weights;
    double elements = 0, bytes = 0;  // local to a TP rank
};

void add_to(Unit& unit, const Program& program, int tensor) {
    const auto& what = program.tensors[at(tensor)];
    unit.weights.push_back({.tensor = tensor});
    unit.elements += local_elements(what);
    unit.bytes += local_elements(what) * bytes_of(what.dtype);
}

Unit layer_unit(const Program& program, const Section& section) {
    std::set<int> tensors;
    for (const auto& step : section.steps) {
        for (const auto& ref : step.weights) tensors.insert(ref.tensor);
        for (const auto& ref : step.biases) tensors.insert(ref.tensor);
    }
    Unit unit;
    for (const int t : tensors) {
        if (t >= 0 && program.tensors[at(t)].name.find('*') != std::string::npos)
            add_to(unit, program, t);
    }
    return unit;
}

Unit root_unit(const Program& program) {
    Unit unit;
    for (std::size_t t = 0; t < program.tensors.size(); ++t) {
        const auto& tensor = program.tensors[t];
        if (!tensor.tied && tensor.name.find('*') == std::string::npos)
            add_to(unit, program, static_cast<int>(t));
    }
    return unit;
}

Step parameter_step(OpKind kind, const std::string& name, MeshAxis over, const Unit& unit,
                    double bytes) {
    Step step{.kind = kind,
              .name = "parameters." + name,
              .weights = unit.weights,
              .weight_bytes = bytes,
              .algorithm = "auto",
              .stream = 1};
    if (!unit.weights.empty()) step.weight_dtype = DType::bf16;
    step.pass = Pass::parameters;
    step.over = over;
    return step;
}

/// Gradients of a unit that the replicas reduce once a step.
Section reduced_once(const Section& forward, const Unit& unit) {
    Section section{.name = forward.name + " gradients", .layers = forward.layers, .steps = {}};
    section.steps.push_back(parameter_step(OpKind::all_reduce, "gradient.all_reduce",
                                           MeshAxis::dp_replicate, unit,
                                           unit.elements * bytes_of(DType::fp32)));
    return section;
}

/// What shards and replicas move around one run of a section.
void gather_before(Section& section, const Unit& unit, const Mesh& mesh) {
    if (mesh.dp_shard == 1 || unit.elements == 0) return;
    section.steps.insert(
        section.steps.begin(),
        parameter_step(OpKind::all_gather, "all_gather", MeshAxis::dp_shard, unit, unit.bytes));
}

void scatter_after(Section& section, const Unit& unit, const Mesh& mesh) {
    if (mesh.dp_shard == 1 || unit.elements == 0) return;
    section.steps.push_back(parameter_step(OpKind::reduce_scatter, "gradient.reduce_scatter",
                                           MeshAxis::dp_shard, unit, unit.bytes));
    if (mesh.dp_replicate == 1) return;
    section.steps.push_back(parameter_step(OpKind::all_reduce, "gradient.all_reduce",
                                           MeshAxis::dp_replicate, unit,
                                           unit.bytes / mesh.dp_shard));
}

/// Bytes of one parameter that the optimizer reads and writes, in fp32: gradient, master weight
/// and, for AdamW, both moments in; all but the gradient out.
double update_bytes(Optimizer optimizer) {
    constexpr double kElement = 4;
    return kElement * (optimizer == Optimizer::adamw ? 7 : 3);
}

class Trainer {
  public:
    Trainer(const Program& forward, const Training& training, Kernels kernels)
        : program_(forward), training_(training), kernels_(kernels) {}

    Program run() {
        const auto stays = carried(program_);
        program_.mesh = training_.mesh;
        for (auto& section : program_.sections) {
            give_values_buffers(program_, section, stays);
            section.kv_width = 0;  // nothing is cached
        }
        forward_sections_ = program_.sections.size();
        order_ = program_.order;
        order_layer_ = program_.order_layer;
        auto& head = program_.sections[at(order_.back())];
        drop_gather_of_logits(head);
        const int logits = head.steps.back().outputs.front();
        run_section(loss_section(program_, logits), {-1});
        for (std::size_t s = 0; s < forward_sections_; ++s) units_.push_back(unit_of(s));
        add_backward(stays, logits);
        for (std::size_t s = 0; s < forward_sections_; ++s) {
            if (is_layer(program_.sections[s]) || is_first(s))
                gather_before(program_.sections[s], units_[s], training_.mesh);
        }
        add_gradients();
        add_update();
        return std::move(program_);
    }

  private:
    bool is_first(std::size_t s) const { return at(order_.front()) == s; }
    bool is_last(std::size_t s) const { return at(order_.back()) == s; }

    /// The parameters outside the layers are one unit: the embedding's section has it.
    Unit unit_of(std::size_t s) const {
        if (is_layer(program_.sections[s])) return layer_unit(program_, program_.sections[s]);
        return root_unit(program_);
    }

    void drop_gather_of_logits(Section& head) {
        const auto& last = head.steps.back();
        const bool gathers = last.kind == OpKind::all_gather &&
                             program_.buffers[at(last.inputs[0])].layout.splits_columns();
        if (kernels_ == Kernels::served && gathers) head.steps.pop_back();
    }

    void run_section(Section section, const std::vector<int>& layers) {
        const auto index = static_cast<int>(program_.sections.size());
        program_.sections.push_back(std::move(section));
        for (const int layer : layers) {
            program_.order.push_back(index);
            program_.order_layer.push_back(layer);
        }
    }

    void add_backward(const std::set<int>& stays, int logits) {
        const auto first = program_.sections.size();
        for (std::size_t s = 0; s < forward_sections_; ++s) {
            const auto forward = program_.sections[s];
            std::set<int> outgoing;
            for (const auto& step : forward.steps) {
                for (const int b : step.outputs) {
                    if (is_last(s) ? b == logits : stays.contains(b)) outgoing.insert(b);
                }
            }
            auto backward = backward_section(program_, forward, {outgoing.begin(), outgoing.end()},
                                             training_.recompute);
            const auto& unit = units_[s];
            if (is_layer(forward) || is_last(s)) gather_before(backward, unit, training_.mesh);
            if (is_layer(forward) || is_first(s)) scatter_after(backward, unit, training_.mesh);
            program_.sections.push_back(std::move(backward));
        }
        for (std::size_t p = order_.size(); p-- > 0;) {
            program_.order.push_back(static_cast<int>(first) + order_[p]);
            program_.order_layer.push_back(order_layer_[p]);
        }
    }

    void add_gradients() {
        const auto& mesh = training_.mesh;
        if (mesh.dp_replicate == 1 || mesh.dp_shard > 1) return;
        for (std::size_t s = 0; s < forward_sections_; ++s) {
            const auto forward = program_.sections[s];
            if (is_layer(forward) || is_first(s))
                run_section(reduced_once(forward, units_[s]), forward.layers);
        }
    }

    void add_update() {
        Step step{.kind = OpKind::add,
                  .name = fmt::format("optimizer.{}", name_of(training_.optimizer)),
                  .weight_bytes = updated_bytes(program_, training_.optimizer),
                  .weight_dtype = DType::fp32,
                  .dtype = DType::fp32};
        step.pass = Pass::update;
        step.optimizer = training_.optimizer;
        run_section({.name = "update", .layers = {-1}, .steps = {std::move(step)}}, {-1});
    }

    Program program_;
    const Training& training_;
    Kernels kernels_;
    std::size_t forward_sections_ = 0;
    std::vector<int> order_, order_layer_;  // of the forward pass
    std::vector<Unit> units_;               // per forward section
};

}  // namespace

double local_elements(const ShardedTensor& tensor) {
    double elements = 1;
    for (std::size_t d = 0; d < tensor.shape.size(); ++d) {
        const bool cut = tensor.split.kind != SplitKind::whole && at(tensor.split.dim) == d;
        elements *= static_cast<double>(cut ? largest_extent(tensor.split, tensor.shape[d])
                                            : tensor.shape[d]);
    }
    return elements;
}

double updated_bytes(const Program& program, Optimizer optimizer) {
    double elements = root_unit(program).elements;
    for (std::size_t s = 0; s < program.sections.size(); ++s) {
        const auto& section = program.sections[s];
        if (section.steps.empty() || section.steps.back().pass == Pass::loss) break;
        if (!is_layer(section)) continue;
        const auto runs = std::count(program.order.begin(), program.order.end(), int(s));
        elements += layer_unit(program, section).elements * static_cast<double>(runs);
    }
    const auto mesh = program.mesh.value_or(Mesh{});
    return elements / mesh.dp_shard * update_bytes(optimizer);
}

std::string training_fault(const Program& program) {
    for (const auto& tensor : program.tensors) {
        if (bytes_of(tensor.dtype) < 2)
            return fmt::format("{} is {}: quantised weights are not trained here", tensor.name,
                               name_of(tensor.dtype));
    }
    for (const auto& tensor : program.tensors) {
        const auto owner =
            std::find_if(program.tensors.begin(), program.tensors.end(),
                         [&](const ShardedTensor& t) { return t.name == tensor.tied_to; });
        if (!tensor.tied || owner == program.tensors.end() || owner->split == tensor.split)
            continue;
        return fmt::format(
            "{} is cut otherwise than {}, whose storage it shares: the sum of "
            "their gradients is not modelled",
            tensor.name, owner->name);
    }
    for (const auto& buffer : program.buffers) {
        const auto& split = buffer.layout.split;
        const bool copies = split.kind == SplitKind::covering || split.kind == SplitKind::qkv ||
                            (split.kind == SplitKind::grouped &&
                             buffer.width / split.unit < std::int64_t{split.parts});
        if (buffer.layout.kind == LayoutKind::split && copies)
            return fmt::format("{} is copied over {} ranks: gradients of copies are not modelled",
                               buffer.name, split.parts);
    }
    return {};
}

Model training_model(Model model) {
    auto& head = model.blocks.back();
    const auto selects = [](const Op& op) { return op.kind == OpKind::select_last; };
    const auto select = std::find_if(head.ops.begin(), head.ops.end(), selects);
    if (select == head.ops.end()) return model;
    const int selected = select->outputs[0], source = select->inputs[0];
    head.ops.erase(select);
    for (auto& op : head.ops) std::replace(op.inputs.begin(), op.inputs.end(), selected, source);
    if (head.output == selected) head.output = source;
    for (auto& activation : head.activations) activation.rows = Rows::tokens;
    return model;
}

Program training_program(const Program& forward, const Training& training, Kernels kernels) {
    assert(training_fault(forward).empty());
    return Trainer(forward, training, kernels).run();
}

}  // namespace tplan
