#include "models/training.h"

#include <fmt/format.h>

namespace tplan {

std::string mesh_text(const Mesh& mesh) {
    return fmt::format("dp_replicate={}, dp_shard={}, tp={}", mesh.dp_replicate, mesh.dp_shard,
                       mesh.tp);
}

}  // namespace tplan
