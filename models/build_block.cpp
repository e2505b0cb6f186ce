#include "models/build_block.h"

#include <cassert>

#include "models/config_fields.h"

namespace tplan {

bool is_quantised(const BlockDraft& draft, const std::string& module) {
    if (draft.layers == 0 || draft.config.quant_method.empty()) return false;
    const auto full = draft.block.prefix + "." + module;
    for (const auto& [pattern, layers] : draft.config.settings.unquantised) {
        if (!names_module(pattern, full)) continue;
        if (layers == 0 || layers >= draft.layers) return false;
        throw Error(draft.config.source + "/quantization_config/modules_to_not_convert",
                    fmt::format("{} is named for {} of {} layers alike; layers that differ in "
                                "dtype have no graph",
                                pattern, layers, draft.layers));
    }
    return true;
}

std::int64_t width_of(const ModelConfig& config, std::int64_t a, std::int64_t b) {
    if (a > 0 && b > kLargestSize / a)
        throw Error(config.source, fmt::format("a width of {} x {} is above 2^31", a, b));
    return a * b;
}

Columns columns_of(const Activation& activation) {
    return {activation.width, activation.axis, activation.unit};
}

int add_activation(BlockDraft& draft, const std::string& name, Rows rows, const Columns& columns) {
    draft.block.activations.push_back({.name = name,
                                       .rows = rows,
                                       .width = columns.width,
                                       .axis = columns.axis,
                                       .unit = columns.unit});
    return static_cast<int>(draft.block.activations.size()) - 1;
}

int add_tensor(BlockDraft& draft, Tensor tensor) {
    assert(tensor.shape.size() == tensor.axes.size());
    for (const auto extent : tensor.shape) {
        if (extent > kLargestSize) {
            throw Error(draft.config.source,
                        fmt::format("{}: a dimension of {} is above 2^31", tensor.name, extent));
        }
    }
    draft.block.tensors.push_back(std::move(tensor));
    return static_cast<int>(draft.block.tensors.size()) - 1;
}

int add_op(BlockDraft& draft, OpKind kind, const std::string& name, std::vector<int> inputs,
           std::vector<int> weights, const Columns& columns, OpSpec spec) {
    const auto rows = inputs.empty() ? Rows::tokens : draft.activation(inputs.front()).rows;
    const int out = add_activation(draft, name, rows, columns);
    draft.block.ops.push_back({.kind = kind,
                               .name = name,
                               .inputs = std::move(inputs),
                               .outputs = {out},
                               .weights = std::move(weights),
                               .spec = std::move(spec)});
    return out;
}

namespace {

/// A tensor beside `weight` with an entry for each of its blocks of rows x columns.
Tensor beside(const Tensor& weight, const std::string& name, std::array<std::int64_t, 2> block,
              DType dtype) {
    Tensor scales{.name = name,
                  .shape = weight.shape,
                  .axes = weight.axes,
                  .dtype = dtype,
                  .packed_halves = weight.packed_halves,
                  .scales_of = weight.name};
    const auto rank = scales.shape.size();
    for (std::size_t i = 0; i < 2; ++i) {
        const auto dim = rank - 2 + i;
        if (block[i] == 1) continue;
        scales.shape[dim] = (scales.shape[dim] + block[i] - 1) / block[i];
        scales.axes[dim] = Axis::block;
    }
    return scales;
}

void add_block_scales(BlockDraft& draft, int tensor) {
    const auto& config = draft.config;
    auto& weight = draft.block.tensors[static_cast<std::size_t>(tensor)];
    weight.dtype = DType::fp8;
    weight.quant_block = config.quant_block;
    add_tensor(draft, beside(weight, weight.name + "_scale_inv", config.quant_block, DType::fp32));
}

/// AutoAWQ and GPTQModel: int32 words of packed weights and zero points, fp16 scales, and for
/// reordered columns the number of each one's group. What is whole on every rank is not
/// Axis::block.
void add_group_scales(BlockDraft& draft, const std::string& module, int tensor) {
    const auto& config = draft.config;
    const auto& groups = config.groups;
    auto& weight = draft.block.tensors[static_cast<std::size_t>(tensor)];
    const bool experts = weight.shape.size() == 3;
    const auto stem = module + (experts ? "_" : ".");
    if (!experts) weight.name = stem + "qweight";
    weight.dtype = groups.bits == 4 ? DType::int4 : DType::int8;
    weight.quant_block = config.quant_block;
    const auto columns = weight.shape.back();
    const std::array<std::int64_t, 2> group{1, groups.size > 0 ? groups.size : columns};
    auto scales = beside(weight, stem + "scales", group, DType::fp16);
    auto zeros = beside(weight, stem + "qzeros", group, weight.dtype);
    if (groups.reordered) scales.axes.back() = zeros.axes.back() = Axis::other;
    std::optional<Tensor> order;
    if (config.quant_method == "gptq") {
        order = Tensor{.name = stem + "g_idx", .dtype = DType::int32, .scales_of = weight.name};
        order->shape = {columns};
        order->axes = {weight.axes.back()};
        if (experts) {
            order->shape.insert(order->shape.begin(), {weight.shape[0], 1});
            order->axes.insert(order->axes.begin(), {weight.axes[0], Axis::other});
        }
    }
    for (auto* one : {&scales, &zeros}) one->buffer = true;
    add_tensor(draft, std::move(scales));
    add_tensor(draft, std::move(zeros));
    if (!order) return;
    order->buffer = true;
    add_tensor(draft, std::move(*order));
}

}  // namespace

void add_scales(BlockDraft& draft, const std::string& module, int tensor) {
    const bool blocks = draft.config.quant_method == "fp8", groups = draft.config.groups.bits > 0;
    if (!(blocks || groups) || !is_quantised(draft, module)) return;
    if (blocks) add_block_scales(draft, tensor);
    if (groups) add_group_scales(draft, module, tensor);
}

int add_linear(BlockDraft& draft, const std::string& module, int input, const Columns& out,
               bool bias, int packed_halves) {
    const auto in = columns_of(draft.activation(input));
    const bool transposed = draft.config.traits.transposed;
    Tensor weight{.name = module + ".weight",
                  .shape = {out.width, in.width},
                  .axes = {out.axis, in.axis},
                  .dtype = draft.config.dtype,
                  .packed_halves = packed_halves};
    if (transposed) {
        std::swap(weight.shape[0], weight.shape[1]);
        std::swap(weight.axes[0], weight.axes[1]);
    }
    std::vector<int> weights{add_tensor(draft, std::move(weight))};
    if (bias) {
        weights.push_back(add_tensor(draft, {.name = module + ".bias",
                                             .shape = {out.width},
                                             .axes = {out.axis},
                                             .dtype = draft.config.dtype,
                                             .packed_halves = packed_halves}));
    }
    add_scales(draft, module, weights.front());
    OpSpec spec;
    spec.transposed = transposed;
    return add_op(draft, OpKind::linear, module, {input}, std::move(weights), out, spec);
}

int add_norm(BlockDraft& draft, const std::string& module, int input) {
    return add_norm(draft, module, input, draft.config.settings.norm_eps);
}

int add_norm(BlockDraft& draft, const std::string& module, int input, double eps) {
    const auto columns = columns_of(draft.activation(input));
    const auto& traits = draft.config.traits;
    Tensor weight{.name = module + ".weight",
                  .shape = {columns.width},
                  .axes = {columns.axis},
                  .dtype = draft.config.dtype};
    std::vector<int> weights{add_tensor(draft, weight)};
    if (traits.norm_bias) {
        weight.name = module + ".bias";
        weights.push_back(add_tensor(draft, weight));
    }
    OpSpec spec;
    spec.norm = NormSpec{.kind = traits.norm, .eps = eps, .unit_offset = traits.norm_unit_offset};
    return add_op(draft, OpKind::norm, module, {input}, std::move(weights), columns, spec);
}

}  // namespace tplan
