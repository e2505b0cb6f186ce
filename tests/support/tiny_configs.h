#pragma once
#include <string>
#include <vector>

#include "core/json_io.h"

namespace tplan::test {

/// A small config.json of one family: hidden 64, 4 heads, ffn 128, vocabulary 256, 2 to 6 layers.
/// The unlike kinds of layers that a family has all occur. Throws Error for an unknown family.
Json tiny_config(const std::string& family);

/// The families tiny_config() knows, sorted.
std::vector<std::string> tiny_families();

}  // namespace tplan::test
