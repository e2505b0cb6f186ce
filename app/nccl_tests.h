#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "models/points.h"

/// What NVIDIA's nccl-tests print.

namespace tplan {

/// Whether a text begins as such a log does: with a line of '#', or with lines that other programs
/// put before it.
bool looks_like_nccl_tests(std::string_view text);

/// The points of one log: op and ranks from what it prints, times out of place, bytes of the whole
/// tensor. Throws Error naming `file` when the collective, the ranks or the columns cannot be told,
/// for several hosts (points are of one node), and for a line of figures that does not fit.
std::vector<CollectivePoint> parse_nccl_tests(const std::string& text, const std::string& file);

}  // namespace tplan
