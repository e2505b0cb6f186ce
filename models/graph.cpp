#include "models/graph.h"

namespace tplan {

std::string full_name(const Block& block, const Tensor& tensor, int layer) {
    auto name = block.prefix.empty() ? tensor.name : block.prefix + "." + tensor.name;
    if (layer < 0) return name;
    if (const auto star = name.find('*'); star != std::string::npos) {
        name.replace(star, 1, std::to_string(layer));
    }
    return name;
}

std::int64_t parameter_count(const Model& model) {
    std::int64_t count = 0;
    for (const auto& use : model.sequence) {
        for (const auto& tensor : model.blocks[static_cast<std::size_t>(use.block)].tensors) {
            if (!tensor.tied && !tensor.buffer) count += tensor.elements();
        }
    }
    return count;
}

double weight_bytes(const Model& model) {
    double bytes = 0;
    for (const auto& use : model.sequence) {
        for (const auto& tensor : model.blocks[static_cast<std::size_t>(use.block)].tensors) {
            if (!tensor.tied && !tensor.buffer)
                bytes += static_cast<double>(tensor.elements()) * bytes_of(tensor.dtype);
        }
    }
    return bytes;
}

}  // namespace tplan
