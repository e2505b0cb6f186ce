// The parts of a config.json that are more than one value: rotary embedding, the kinds of layers,
// quantisation.
#include <algorithm>

#include "models/config_fields.h"

namespace tplan {
namespace {

/// rope types that change the frequencies and nothing else.
constexpr std::array<std::string_view, 5> kFrequencyTypes = {"llama3", "yarn", "longrope",
                                                             "dynamic", "su"};

/// One {rope_type, factor, rope_theta, ..}. `scale` and `theta` take what it says.
void read_rope_entry(const Json& in, const std::string& where, double& theta, double* scale,
                     ModelConfig& config) {
    if (!in.is_object()) wrong_type(where, "an object or null", in);
    std::string type = "default";
    for (const auto* key : {"rope_type", "type"}) {
        if (const auto found = in.find(key); found != in.end()) {
            type = from_json<std::string>(*found, where + "/" + key);
            break;
        }
    }
    const auto number = [&](const char* key, double& out) {
        if (const auto found = in.find(key); found != in.end())
            out = read_positive(*found, where + "/" + key);
    };
    number("rope_theta", theta);
    number("partial_rotary_factor", config.settings.rotary_fraction);
    if (type == "default") return;
    if (type == "linear") {
        if (!in.contains("factor")) throw Error(where + "/factor", "missing key");
        double factor = 1;
        number("factor", factor);
        if (scale) *scale = factor;
        return;
    }
    if (std::find(kFrequencyTypes.begin(), kFrequencyTypes.end(), type) == kFrequencyTypes.end()) {
        throw Error(where + "/rope_type",
                    fmt::format("\"{}\" has no graph; known: default, linear, {}", shown(type),
                                fmt::join(kFrequencyTypes, ", ")));
    }
    config.notes.push_back(
        fmt::format("rope scaling \"{}\": the frequencies are taken as unscaled; cost and sharding "
                    "do not depend on them",
                    type));
}

std::vector<bool> read_layer_types(const Json& in, const std::string& where, std::int64_t layers) {
    if (!in.is_array() || in.size() != static_cast<std::size_t>(layers)) {
        wrong_type(where, fmt::format("an array of {} layer types", layers), in);
    }
    std::vector<bool> sliding;
    for (std::size_t i = 0; i < in.size(); ++i) {
        const auto path = where + "/" + std::to_string(i);
        const auto type = from_json<std::string>(in[i], path);
        if (type != "full_attention" && type != "sliding_attention") {
            throw Error(path, fmt::format("layer type \"{}\" has no graph; known: full_attention, "
                                          "sliding_attention",
                                          shown(type)));
        }
        sliding.push_back(type == "sliding_attention");
    }
    return sliding;
}

bool slides(const ModelConfig& config, std::int64_t layer) {
    const auto& settings = config.settings;
    switch (config.traits.sliding) {
        case Sliding::none:
            return false;
        case Sliding::all:
            return true;
        case Sliding::upper:
            return layer >= settings.full_layers;
        case Sliding::lower_even:
            return layer < settings.full_layers && layer % 2 == 0;
        case Sliding::pattern:
            return settings.sliding_pattern > 0 && (layer + 1) % settings.sliding_pattern != 0;
    }
    return false;
}

bool is_sparse(const ModelConfig& config, std::int64_t layer) {
    const auto& settings = config.settings;
    if (config.experts == 0 || layer < settings.first_dense) return false;
    const auto& dense = settings.dense_layers;
    return std::find(dense.begin(), dense.end(), layer) == dense.end() &&
           (layer + 1) % settings.sparse_step == 0;
}

}  // namespace

void read_rope(KeyReader& reader, ModelConfig& config) {
    auto& settings = config.settings;
    for (const auto* key : {"rope_scaling", "rope_parameters"}) {
        const auto* in = reader.find(key);
        if (!in || in->is_null()) continue;
        const auto path = reader.path(key);
        if (in->is_object() && in->contains("full_attention")) {
            read_rope_entry((*in)["full_attention"], path + "/full_attention", settings.rope_theta,
                            &settings.rope_position_scale, config);
            if (const auto local = in->find("sliding_attention"); local != in->end()) {
                read_rope_entry(*local, path + "/sliding_attention", settings.rope_local_theta,
                                nullptr, config);
            }
        } else {
            read_rope_entry(*in, path, settings.rope_theta, &settings.rope_position_scale, config);
        }
    }
    if (settings.rotary_fraction > 1) {
        throw Error(reader.where + "/partial_rotary_factor", "expected a number above 0 up to 1");
    }
}

void read_layer_traits(KeyReader& reader, ModelConfig& config) {
    std::vector<bool> sliding;
    if (const auto* types = reader.find("layer_types"); types && !types->is_null()) {
        sliding = read_layer_types(*types, reader.path("layer_types"), config.layers);
    }
    const bool window = config.settings.window > 0 && config.settings.use_sliding;
    for (std::int64_t layer = 0; layer < config.layers; ++layer) {
        LayerTraits traits;
        traits.sliding = sliding.empty() ? slides(config, layer)
                                         : bool(sliding[static_cast<std::size_t>(layer)]);
        traits.sliding = traits.sliding && window;
        traits.sparse = is_sparse(config, layer);
        config.layer_traits.push_back(traits);
    }
}

namespace {

/// A key of quantization_config that must have one of these values, or be left out.
void require_one_of(const Json& in, const std::string& where, const char* key,
                    const std::vector<Json>& known) {
    const auto found = in.find(key);
    if (found == in.end() || std::ranges::find(known, *found) != known.end()) return;
    std::vector<std::string> names;
    for (const auto& value : known) names.push_back(value.dump());
    throw Error(where + "/" + key, fmt::format("{} has no graph; known: {}", shown(found->dump()),
                                               fmt::join(names, ", ")));
}

/// A key that may be there and say nothing.
void require_empty(const Json& in, const std::string& where, const char* key) {
    const auto found = in.find(key);
    if (found == in.end() || found->is_null() || found->empty()) return;
    throw Error(where + "/" + key, "modules that are quantised apart have no graph",
                "drop quantization_config to plan the unquantised model");
}

/// AutoAWQ's and GPTQModel's keys. Layouts on disk: WQLinear_GEMM packs along the output columns,
/// GPTQ's qweight along the input; zero points are packed along the output by both.
void read_groups(const Json& in, const std::string& where, ModelConfig& config) {
    const bool awq = config.quant_method == "awq";
    auto& groups = config.groups;
    for (const auto* key : {"bits", "group_size"}) {
        if (!in.contains(key)) throw Error(where + "/" + key, "missing key");
    }
    require_one_of(in, where, "bits", awq ? std::vector<Json>{4} : std::vector<Json>{4, 8});
    require_one_of(in, where, "group_size", {-1, 32, 64, 128});
    groups.bits = in["bits"].get<std::int64_t>();
    groups.size = std::max<std::int64_t>(0, in["group_size"].get<std::int64_t>());
    if (awq) {
        require_one_of(in, where, "version", {"gemm", "GEMM"});
    } else {
        if (const auto order = in.find("desc_act"); order != in.end() && !order->is_null())
            groups.reordered = from_json<bool>(*order, where + "/desc_act");
        require_one_of(in, where, "checkpoint_format", {"gptq", "gptq_v2", nullptr});
        require_one_of(in, where, "lm_head", {false, nullptr});
        require_one_of(in, where, "is_marlin_format", {false, nullptr});
        require_empty(in, where, "dynamic");
        require_empty(in, where, "modules_in_block_to_quantize");
    }
    const auto word = 32 / groups.bits;
    const bool cut_by_group = groups.size > 0 && !groups.reordered;
    config.quant_block = {word, cut_by_group ? groups.size : awq ? 1 : word};
}

}  // namespace

void read_quantisation(const Json& in, const std::string& where, ModelConfig& config) {
    if (in.is_null()) return;
    if (!in.is_object()) wrong_type(where, "an object or null", in);
    const auto method = in.find("quant_method");
    if (method == in.end()) throw Error(where + "/quant_method", "missing key");
    config.quant_method = from_json<std::string>(*method, where + "/quant_method");
    if (config.quant_method == "awq" || config.quant_method == "gptq")
        read_groups(in, where, config);
    if (const auto block = in.find("weight_block_size"); block != in.end() && !block->is_null()) {
        const auto path = where + "/weight_block_size";
        if (!block->is_array() || block->size() != 2) wrong_type(path, "[rows, columns]", *block);
        for (std::size_t i = 0; i < 2; ++i) {
            config.quant_block[i] =
                read_size((*block)[i], path + "/" + std::to_string(i), 1, kLargestSize);
        }
    }
    if (const auto scheme = in.find("activation_scheme");
        scheme != in.end() && *scheme == "static") {
        config.notes.push_back(
            "activation_scheme static: the one scale of each linear is left out");
    }
    for (const auto* key : {"modules_to_not_convert", "ignored_layers"}) {
        const auto kept = in.find(key);
        if (kept == in.end() || kept->is_null()) continue;
        for (const auto& name : from_json<std::vector<std::string>>(*kept, where + "/" + key)) {
            const auto pattern = numbers_as_stars(name);
            auto& all = config.settings.unquantised;
            auto row = std::find_if(all.begin(), all.end(),
                                    [&](const auto& entry) { return entry.first == pattern; });
            if (row == all.end()) row = all.insert(all.end(), {pattern, 0});
            if (pattern != name) ++row->second;
        }
    }
}

}  // namespace tplan
