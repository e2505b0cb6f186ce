#pragma once
#include <optional>

#include "models/graph.h"
#include "models/layout.h"

namespace tplan {

/// The op that turns an activation from one layout into another; nullopt when nothing is to be
/// done. partial -> replicated all_reduce, partial -> split reduce_scatter, split -> replicated
/// all_gather, split -> another split all_to_all, replicated -> split slice (local). Anything else
/// into partial is our bug (assert).
std::optional<OpKind> reshard(const Layout& from, const Layout& to);

}  // namespace tplan
