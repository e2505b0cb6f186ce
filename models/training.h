#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

/// What a training run adds to a workload. `batch` and `input` of the workload are one
/// micro-batch of one replica: sequences, and tokens of each.

namespace tplan {

/// The process grid, in accelerate's order: ranks of one TP group are neighbours, then the shards,
/// then the replicas. Serving has tp alone, and as many replicas as the GPUs hold.
struct Mesh {
    int dp_replicate = 1, dp_shard = 1, tp = 1;
    std::int64_t ranks() const { return std::int64_t{dp_replicate} * dp_shard * tp; }
    std::int64_t data_parallel() const { return std::int64_t{dp_replicate} * dp_shard; }
    static void fields(auto& self, auto&& field) {
        field("dp_replicate", self.dp_replicate);
        field("dp_shard", self.dp_shard);
        field("tp", self.tp);
    }
    bool operator==(const Mesh&) const = default;
};

/// "dp_replicate=1, dp_shard=4, tp=2".
std::string mesh_text(const Mesh& mesh);

enum class MeshAxis { dp_replicate, dp_shard, tp };
constexpr auto enum_names(MeshAxis) {
    return std::array<std::string_view, 3>{"dp_replicate", "dp_shard", "tp"};
}

/// What the backward pass computes again instead of keeping: nothing; what passes over memory make
/// (norms, activations); or all of a layer from its input.
enum class Recompute { none, selective, full };
constexpr auto enum_names(Recompute) {
    return std::array<std::string_view, 3>{"none", "selective", "full"};
}

enum class Optimizer { adamw, sgd };  // sgd without momentum
constexpr auto enum_names(Optimizer) {
    return std::array<std::string_view, 2>{"adamw", "sgd"};
}

struct Training {
    Mesh mesh{};
    std::int64_t accumulate = 1;  // micro-batches of a step
    Recompute recompute = Recompute::none;
    Optimizer optimizer = Optimizer::adamw;

    static void fields(auto& self, auto&& field) {
        field("mesh", self.mesh);
        field("accumulate", self.accumulate);
        field("recompute", self.recompute);
        field("optimizer", self.optimizer);
    }
    bool operator==(const Training&) const = default;
};

/// What a step of a training program is for; steps of the forward pass have none. The kind of the
/// step is that of the op it belongs to.
enum class Pass {
    recompute,        // a forward step once more
    input_gradient,   // linear: dX = dY W; n and k are the product's own
    weight_gradient,  // linear: dW = dY^T X; n and k are those of W, the rows are summed over
    gradient,         // of everything else; sums of gradients; collectives of activations
    loss,             // from the logits to their gradient
    parameters,       // moves parameters or their gradients: the payload is `weight_bytes`
    update            // the optimizer: `weight_bytes` are what it reads and writes
};
constexpr auto enum_names(Pass) {
    return std::array<std::string_view, 7>{"recompute", "input_gradient", "weight_gradient",
                                           "gradient",  "loss",           "parameters",
                                           "update"};
}

/// What a pass over the logits does. The loss of a token is the logarithm of the sum of the
/// exponentials less the logit of the token that follows; the last token of a sequence has none.
enum class LossPart {
    upcast,        // in {logits}; out {logits in fp32, the largest of the own columns of each row}
    exponentials,  // in {logits, maxima}; out {exp(logit - maximum), logit of the label, their sum}
    gradient,      // in {exponentials, label, sum}; out {gradient of the mean loss, loss of a row}
    downcast       // in {gradient in fp32}; out {gradient of the logits}
};
constexpr auto enum_names(LossPart) {
    return std::array<std::string_view, 4>{"upcast", "exponentials", "gradient", "downcast"};
}

}  // namespace tplan
