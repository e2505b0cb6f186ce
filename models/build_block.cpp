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

void add_scales(BlockDraft& draft, const std::string& module, int tensor) {
    const auto& config = draft.config;
    if (config.quant_method != "fp8" || !is_quantised(draft, module)) return;
    auto& weight = draft.block.tensors[static_cast<std::size_t>(tensor)];
    weight.dtype = DType::fp8;
    weight.quant_block = config.quant_block;
    Tensor scales{.name = weight.name + "_scale_inv",
                  .shape = weight.shape,
                  .axes = weight.axes,
                  .dtype = DType::fp32,
                  .packed_halves = weight.packed_halves,
                  .scales_of = weight.name};
    const auto rank = scales.shape.size();
    for (std::size_t i = 0; i < 2; ++i) {
        const auto dim = rank - 2 + i;
        scales.shape[dim] = (scales.shape[dim] + config.quant_block[i] - 1) / config.quant_block[i];
        scales.axes[dim] = Axis::block;
    }
    add_tensor(draft, std::move(scales));
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
