#pragma once
#include <string>
#include <string_view>

namespace tplan::test {

/// Checks that `text` equals the file tests/golden/<name> byte for byte. A difference fails the
/// test with the first line that differs. With TPLAN_GOLDEN=write in the environment (`./dev
/// golden`) the file is rewritten instead, and its diff is for a person to review.
///
/// Text that names this machine (folders, times, process ids) does not belong in a golden file:
/// take it out first with `replaced`.
void check_golden(std::string_view name, const std::string& text);

/// The same for a part of a file of the repository: what stands between the lines
/// "<!-- golden: <name> -->" and "<!-- end -->".
void check_golden_part(std::string_view path, std::string_view name, const std::string& text);

/// `text` with every `from` as `to`. Example: replaced(message, TPLAN_ROOT, "<root>").
std::string replaced(std::string text, std::string_view from, std::string_view to);

}  // namespace tplan::test
