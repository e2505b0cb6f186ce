#pragma once
#include <cassert>
#include <cstddef>
#include <string_view>
#include <type_traits>

/// Names of enumerators, as JSON and the command line spell them. An enum has a function
/// `enum_names(E)`, found by argument-dependent lookup: a std::array of names indexed by the
/// enumerator's value.

namespace tplan {

/// The name of an enumerator. Requires one of the enum's values.
template <class E>
requires std::is_enum_v<E>
constexpr std::string_view name_of(E value) {
    constexpr auto names = enum_names(E{});
    const auto at = static_cast<std::size_t>(value);
    assert(at < names.size());
    return names[at];
}

}  // namespace tplan
