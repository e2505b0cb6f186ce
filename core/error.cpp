#include "core/error.h"

#include <algorithm>

#include "core/text.h"

namespace tplan {
namespace {

constexpr std::size_t kLongestPart = 1000;

std::string one_line(std::string_view part) {
    std::string spaced(part);
    std::replace(spaced.begin(), spaced.end(), '\n', ' ');
    return shown(spaced, kLongestPart);
}

std::string sentence(std::string_view where, std::string_view what, std::string_view hint) {
    return one_line(where) + ": " + one_line(what) + (hint.empty() ? "" : "; " + one_line(hint));
}

}  // namespace

Error::Error(std::string_view where_, std::string_view what_, std::string_view hint_)
    : std::runtime_error(sentence(where_, what_, hint_)),
      where(one_line(where_)),
      what_happened(one_line(what_)),
      hint(one_line(hint_)) {}

}  // namespace tplan
