#include "planner/reshard.h"

#include <array>
#include <cassert>

namespace tplan {

std::optional<OpKind> reshard(const Layout& from, const Layout& to) {
    if (from == to) return std::nullopt;
    assert(to.kind != LayoutKind::partial);
    // [from][to]: replicated, split. Two splits that differ exchange columns.
    constexpr std::array<std::array<std::optional<OpKind>, 2>, 3> kTable = {{
        {std::nullopt, OpKind::slice},
        {OpKind::all_gather, OpKind::all_to_all},
        {OpKind::all_reduce, OpKind::reduce_scatter},
    }};
    return kTable[static_cast<std::size_t>(from.kind)][static_cast<std::size_t>(to.kind)];
}

}  // namespace tplan
