#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "models/graph.h"
#include "models/layout.h"
#include "models/training.h"

/// The centre of the street: a plan lowered to one flat SPMD step list. The planner writes it, the
/// cost model prices it, the executor runs it, the figures draw it. It is symbolic in the workload:
/// rows are tokens or sequences, so one lowering serves every batch and context. Rank enters only
/// through slices().

namespace tplan {

enum class Phase { prefill, decode, train };
constexpr auto enum_names(Phase) {
    return std::array<std::string_view, 3>{"prefill", "decode", "train"};
}

/// What one step of serving works on. Prefill: `batch` sequences of `input` new tokens over an
/// empty cache. Decode: one new token for each of `batch` sequences with `context` tokens in the
/// cache, the new one included. Train: `batch` sequences of `input` tokens, a micro-batch.
struct Workload {
    Phase phase = Phase::decode;
    std::int64_t batch = 1;
    std::int64_t input = 1024;
    std::int64_t context = 1024;
    DType dtype = DType::bf16;     // of activations and unquantised weights
    DType kv_dtype = DType::bf16;  // of the KV cache

    std::int64_t rows(Rows kind) const {
        return kind == Rows::tokens && phase != Phase::decode ? batch * input : batch;
    }
    std::int64_t query_tokens() const {
        return phase == Phase::decode ? 1 : input;
    }  // per sequence
    std::int64_t cached_tokens() const {
        return phase == Phase::decode ? context : input;
    }  // attended, per sequence

    static void fields(auto& self, auto&& field) {
        field("phase", self.phase);
        field("batch", self.batch);
        field("input", self.input);
        field("context", self.context);
        field("dtype", self.dtype);
        field("kv_dtype", self.kv_dtype);
    }
    bool operator==(const Workload&) const = default;
};

/// A parameter with its cut. Layer tensors stand once, with '*' in the name.
struct ShardedTensor {
    std::string name;  // transformers' name, "model.layers.*.self_attn.q_proj.weight"
    std::vector<std::int64_t> shape;
    DType dtype = DType::bf16;
    Split split;
    std::string style;  // the TP style that cut it; "replicated" when no rule matched
    bool tied = false;
    std::string tied_to;  // name of the tensor that owns the storage; empty unless tied

    static void fields(auto& self, auto&& field) {
        field("name", self.name);
        field("shape", self.shape);
        field("dtype", self.dtype);
        field("split", self.split);
        field("style", self.style);
        field("tied", self.tied);
        field("tied_to", self.tied_to);
    }
    bool operator==(const ShardedTensor&) const = default;
};

/// An activation buffer: [rows, width] in full, [rows, local_extent(split, width, rank)] on a rank.
/// Repeated layers reuse the same buffers. A buffer that an all-reduce works on in place holds
/// partial sums before and counts as replicated.
struct Buffer {
    std::string name;
    Rows rows = Rows::tokens;
    std::int64_t width = 0;
    Layout layout;
    static void fields(auto& self, auto&& field) {
        field("name", self.name);
        field("rows", self.rows);
        field("width", self.width);
        field("layout", self.layout);
    }
    bool operator==(const Buffer&) const = default;
};

/// A weight of a step. In a layer, `next_layer` takes the following layer's instance (its input
/// norm, fused with the residual addition that ends this layer); after the last layer that is
/// `last` instead (the final norm). Before the layers (the embedding section) it takes layer 0's.
struct WeightRef {
    int tensor = -1;
    bool next_layer = false;
    int last = -1;
    static void fields(auto& self, auto&& field) {
        field("tensor", self.tensor);
        field("next_layer", self.next_layer);
        field("last", self.last);
    }
    bool operator==(const WeightRef&) const = default;
};

/// One step. Local shapes are those of the largest rank, so that its time is the group's time.
/// Outputs of one step lie side by side in one allocation in the order given: a fused q, k, v
/// projection is a linear with three weights and three outputs.
struct Step {
    OpKind kind = OpKind::linear;
    std::string name{};                // "self_attn.qkv_proj", "self_attn.o_proj.all_reduce"
    std::vector<int> inputs{};         // buffers
    std::vector<int> outputs{};        // buffers; may repeat an input (in place)
    std::vector<WeightRef> weights{};  // as OpKind says; linear: the weights alone, one per output
    /// linear: one per weight, tensor -1 where it has none; empty without any. A linear that leaves
    /// partial sums must add its bias once, not once per rank: it then stands on the collective
    /// that sums them, which adds it after the reduction (all of them, where sums were summed).
    std::vector<WeightRef> biases{};
    OpSpec spec{};  // heads, experts etc. are the largest rank's

    Rows rows = Rows::tokens;
    std::int64_t n =
        0;  // local output columns (all outputs together); collective: full width of the payload
    std::int64_t k = 0;       // local input columns (linear); 0 otherwise
    double weight_bytes = 0;  // local, of the weights and biases read
    DType weight_dtype = DType::bf16;
    DType dtype = DType::bf16;  // of the activations
    /// Collective: the algorithm that its price assumes ("ring-ll", "two-shot"), "auto" before it
    /// is priced. Another implementation than the priced one runs its own.
    std::string algorithm{};
    int stream = 0;  // 0 compute, 1 communication
    std::vector<int>
        after{};  // steps of the same section that must have finished; empty = the step before
    std::optional<Pass> pass{};            // of a training program; none: the forward pass
    std::optional<MeshAxis> over{};        // collective: the ranks it joins; none: the TP group
    std::optional<LossPart> loss{};        // of a pass over the logits
    std::optional<Optimizer> optimizer{};  // of an update

    static void fields(auto& self, auto&& field) {
        field("kind", self.kind);
        field("name", self.name);
        field("inputs", self.inputs);
        field("outputs", self.outputs);
        field("weights", self.weights);
        field("biases", self.biases);
        field("spec", self.spec);
        field("rows", self.rows);
        field("n", self.n);
        field("k", self.k);
        field("weight_bytes", self.weight_bytes);
        field("weight_dtype", self.weight_dtype);
        field("dtype", self.dtype);
        field("algorithm", self.algorithm);
        field("stream", self.stream);
        field("after", self.after);
        field("pass", self.pass);
        field("over", self.over);
        field("loss", self.loss);
        field("optimizer", self.optimizer);
    }
    bool operator==(const Step&) const = default;
};

/// Steps that run `layers.size()` times (layer numbers; {-1} outside the layers).
struct Section {
    std::string name;  // "embedding", "layer", "layer (sliding)", "head"
    std::vector<int> layers;
    std::vector<Step> steps;
    std::int64_t kv_width =
        0;  // local columns of K and V (or latent) cached per token by one such layer
    std::int64_t kv_window = 0;  // tokens kept when the attention slides; 0 = all
    static void fields(auto& self, auto&& field) {
        field("name", self.name);
        field("layers", self.layers);
        field("steps", self.steps);
        field("kv_width", self.kv_width);
        field("kv_window", self.kv_window);
    }
    bool operator==(const Section&) const = default;
};

struct Program {
    int tp = 1;
    std::int64_t max_positions = 0;  // tokens of a sequence the model is made for; 0: not said
    std::vector<ShardedTensor> tensors;
    std::vector<Buffer> buffers;
    std::vector<Section> sections;  // embedding, kinds of layers, head
    std::vector<int> order;         // section to run at each place of the model's sequence
    std::vector<int> order_layer;   // its layer number, -1 outside
    std::optional<Mesh> mesh{};     // of a training program
    /// Whose fullest the local shapes are, see rank_view(); all in documents, which do not say.
    RankRange ranks{};
    static void fields(auto& self, auto&& field) {
        field("tp", self.tp);
        field("max_positions", self.max_positions);
        field("tensors", self.tensors);
        field("buffers", self.buffers);
        field("sections", self.sections);
        field("order", self.order);
        field("order_layer", self.order_layer);
        field("mesh", self.mesh);
    }
    bool operator==(const Program&) const = default;
};

/// Identity of an executed step in every document: "layers.3.self_attn.q_proj", "embed_tokens",
/// "lm_head".
std::string step_id(const Step& step, int layer);

/// The section whose steps a section of a training program differentiates; -1 for any other.
int differentiated_section(const Program& program, int section);

}  // namespace tplan
