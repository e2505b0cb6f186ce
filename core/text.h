#pragma once
#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/units.h"

/// Numbers and names for people. Scaling of units happens here and nowhere else.

namespace tplan {

std::string format_time(Seconds time);  // "6.10 ms", three significant digits
std::string format_bytes(Bytes bytes);  // "1.50 GiB" (binary units)
std::string format_bandwidth(
    Bandwidth rate);                          // "450 GB/s" (decimal units, as datasheets have them)
std::string format_flop_rate(FlopRate rate);  // "989 TFLOP/s"
std::string format_count(std::int64_t count);  // "8,030,261,248"
std::string format_percent(double fraction);   // "-4.2 %"

std::string join(const std::vector<std::string>& words, std::string_view separator);

/// Text from outside as a one-line message may quote it: control characters and bytes that are not
/// UTF-8 as \xNN, at most `longest` bytes of it, then "..".
std::string shown(std::string_view text, std::size_t longest = 80);

/// The nearest of `choices` as "did you mean \"x\"?"; empty when none is near. Near is a small edit
/// distance, upper and lower case alike, or the beginning of a choice ("h100" for "h100-sxm").
std::string did_you_mean(std::string_view word, const std::vector<std::string>& choices);

/// A text table. Columns are padded to their widest cell; the first row is the header, underlined.
/// Numbers align right, a header as the cell below it. Widths count code points, not bytes.
std::string format_table(const std::vector<std::vector<std::string>>& rows);

}  // namespace tplan
