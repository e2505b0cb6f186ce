#pragma once
#include <optional>
#include <set>
#include <string>

#include "models/config.h"

/// Typed, range-checked reading of the keys of a foreign config.json. Part of config.cpp.

namespace tplan {

constexpr std::int64_t kLargestSize = std::int64_t{1} << 31;
constexpr std::int64_t kMostLayers = 10'000;

/// The document being read and what became of its keys.
struct KeyReader {
    const Json& document;
    std::string where;  // file or preset, before the key in messages
    std::set<std::string, std::less<>> seen;

    /// The value of a key, which counts as read; nullptr when it is absent.
    const Json* find(std::string_view key);
    std::string path(std::string_view key) const { return where + "/" + std::string(key); }
};

/// An integer from low to high. Throws Error naming `where` for anything else: a fraction, a
/// boolean, null, text.
std::int64_t read_size(const Json& in, const std::string& where, std::int64_t low,
                       std::int64_t high);

/// A number above 0 and, when given, up to `high`.
double read_positive(const Json& in, const std::string& where,
                     double high = std::numeric_limits<double>::max());

/// The activation of that name in transformers. Throws Error naming `where` for one without a
/// kernel.
ActivationKind read_activation(const Json& in, const std::string& where);

/// Fills one field of `config` by its rule. Null in the document means "none" for the fields that
/// transformers lets be None, and is an Error otherwise. Throws Error for a rule of an unknown
/// field and for two aliases of one key that disagree.
void read_field(const KeyRule& rule, KeyReader& reader, ModelConfig& config);

/// Fills the sizes that a document gives under the keys most families use; the rest stays 0.
void read_usual_sizes(KeyReader& reader, ModelConfig& config);

/// Rotary embedding: `rope_scaling` and `rope_parameters`. llama3, yarn, longrope and dynamic
/// change frequencies only and are noted; any other unknown type is an Error.
void read_rope(KeyReader& reader, ModelConfig& config);

/// Falcon's KV heads, packing and norms, which follow from three flags and a count. Throws Error
/// for a combination that transformers cannot run either.
void complete_falcon(const KeyReader& reader, ModelConfig& config);

/// Which layers slide and which are sparse (`layer_types`, the family's pattern, dense layers).
void read_layer_traits(KeyReader& reader, ModelConfig& config);

/// `quantization_config` of the text model or of the umbrella around it.
void read_quantisation(const Json& in, const std::string& where, ModelConfig& config);

}  // namespace tplan
