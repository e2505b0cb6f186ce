#include "models/graph.h"

#include <cctype>

namespace tplan {

std::string below(const std::string& prefix, const std::string& name) {
    return prefix.empty() ? name : prefix + "." + name;
}

std::string numbers_as_stars(const std::string& name) {
    std::string out;
    for (std::size_t i = 0; i < name.size();) {
        auto end = i;
        while (end < name.size() && std::isdigit(static_cast<unsigned char>(name[end]))) ++end;
        const bool alone =
            end > i && i > 0 && name[i - 1] == '.' && (end == name.size() || name[end] == '.');
        if (alone) {
            out += '*';
            i = end;
        } else {
            out += name[i++];
        }
    }
    return out;
}

std::string of_layer(std::string name, int layer) {
    if (layer < 0) return name;
    if (const auto star = name.find('*'); star != std::string::npos) {
        name.replace(star, 1, std::to_string(layer));
    }
    return name;
}

std::string full_name(const Block& block, const Tensor& tensor, int layer) {
    return of_layer(below(block.prefix, tensor.name), layer);
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
            if (!tensor.tied && (!tensor.buffer || tensor.scales_of))
                bytes += static_cast<double>(tensor.elements()) * bytes_of(tensor.dtype);
        }
    }
    return bytes;
}

}  // namespace tplan
