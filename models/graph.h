#pragma once
#include <array>
#include <cassert>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// The op graph of a model, unsharded. A `Model` is a list of blocks (embedding, one per *kind* of
/// layer, head) and the sequence in which they run; a repeated layer is stored once. References are
/// indices into the block's own vectors. Weights are in transformers' orientation [out, in]; expert
/// weights are packed [experts, out, in].

namespace tplan {

enum class DType { fp32, fp16, bf16, fp8, mxfp4, int4, int8, int32 };
constexpr auto enum_names(DType) {
    return std::array<std::string_view, 8>{"fp32",  "fp16", "bf16", "fp8",
                                           "mxfp4", "int4", "int8", "int32"};
}
/// Bytes per element. mxfp4 carries one scale byte per 32 four-bit elements inside the format: 4.25
/// bits. int4 and int8 are packed into words; their scales and zero points are tensors of their
/// own.
constexpr double bytes_of(DType dtype) {
    constexpr std::array<double, 8> kBytes{4, 2, 2, 1, 4.25 / 8, 0.5, 1, 4};
    const auto at = static_cast<std::size_t>(dtype);
    assert(at < kBytes.size());
    return kBytes[at];
}

/// Is it a format of stored weights alone, nothing that is computed or cached in?
constexpr bool is_stored_only(DType dtype) {
    return dtype >= DType::mxfp4;
}

/// What a tensor's dimension counts. Divisibility rules and the shard map are by axis.
enum class Axis {
    hidden,
    heads,
    kv_heads,
    qkv,
    head_dim,
    ffn,
    vocab,
    experts,
    positions,
    latent,
    block,
    pairs,
    other
};
constexpr auto enum_names(Axis) {
    return std::array<std::string_view, 13>{"hidden", "heads", "kv_heads", "qkv",       "head_dim",
                                            "ffn",    "vocab", "experts",  "positions", "latent",
                                            "block",  "pairs", "other"};
}

/// One parameter. `name` is relative to its block: "self_attn.q_proj.weight"; full_name() gives
/// transformers' name.
struct Tensor {
    std::string name;
    std::vector<std::int64_t> shape{};  // [out, in], [n], [experts, out, in]
    std::vector<Axis> axes{};           // one per dimension
    DType dtype = DType::bf16;
    int packed_halves = 1;  // 2: gate over up along the out dimension (split half by half)
    bool tied = false;      // shares storage with the embedding: counted once, there
    bool buffer = false;    // in checkpoints, yet no parameter to transformers: not counted
    /// Name of the block-quantised weight that these are scales, zero points or group numbers of.
    /// Their dimensions are the weight's last ones: as many entries, or one for each block.
    std::optional<std::string> scales_of{};
    /// Patterns of the tensors on disk that make up this one, full and with '*' for layer and
    /// expert; empty when a checkpoint has it under its own name.
    std::vector<std::string> checkpoint_names{};
    /// [rows, cols] that only whole multiples of can be cut: of one scale's block, or of the groups
    /// and packed words of an integer weight; 0 = not block-quantised.
    std::array<std::int64_t, 2> quant_block{0, 0};

    std::int64_t elements() const {
        std::int64_t n = 1;
        for (const auto extent : shape) n *= extent;
        return n;
    }
    bool operator==(const Tensor&) const = default;
};

/// How many rows an activation has. In decode both are the batch.
enum class Rows { tokens, sequences };
constexpr auto enum_names(Rows) {
    return std::array<std::string_view, 2>{"tokens", "sequences"};
}

/// A value between ops: [rows, width].
struct Activation {
    std::string name;
    Rows rows = Rows::tokens;
    std::int64_t width = 0;
    Axis axis = Axis::hidden;  // what the width counts
    std::int64_t unit =
        1;  // columns that belong together (head_dim for heads); width / unit things
    std::optional<DType> dtype{};  // of its values; none: the workload's
    bool operator==(const Activation&) const = default;
};

enum class NormKind { rms, layer };
constexpr auto enum_names(NormKind) {
    return std::array<std::string_view, 2>{"rms", "layer"};
}
enum class ActivationKind { silu, gelu, gelu_tanh, relu, clamped_swiglu };
constexpr auto enum_names(ActivationKind) {
    return std::array<std::string_view, 5>{"silu", "gelu", "gelu_tanh", "relu", "clamped_swiglu"};
}
/// Where q, k and v lie in the columns of a fused projection.
enum class QkvPacking {
    concat,
    per_head,
    per_kv_group
};  // [Q|K|V]; [q k v] per head; [q.. k v] per KV head
constexpr auto enum_names(QkvPacking) {
    return std::array<std::string_view, 3>{"concat", "per_head", "per_kv_group"};
}

struct RopeSpec {
    std::int64_t head_dim = 0;
    std::int64_t rotary_dim = 0;  // leading dimensions rotated; = head_dim unless partial
    double theta = 10000;
    double position_scale = 1;  // linear rope_scaling: positions are divided by it
    bool interleaved = false;   // pairs (0,1),(2,3).. instead of halves
    /// llama3, yarn and longrope change the frequencies, not the cost or the sharding; the executor
    /// runs the plain frequencies for them and the build notes say so.
    static void fields(auto& self, auto&& field) {
        field("head_dim", self.head_dim);
        field("rotary_dim", self.rotary_dim);
        field("theta", self.theta);
        field("position_scale", self.position_scale);
        field("interleaved", self.interleaved);
    }
    bool operator==(const RopeSpec&) const = default;
};

/// Whether a rope step is that of latent attention: one key shared by all heads, `key_width`
/// columns of which all are rotated.
constexpr bool is_latent(const RopeSpec& spec, std::int64_t key_width) {
    return key_width == spec.rotary_dim && spec.rotary_dim < spec.head_dim;
}

struct NormSpec {
    NormKind kind = NormKind::rms;
    double eps = 1e-6;
    bool unit_offset = false;  // gemma: scale by (1 + weight)
    std::int64_t group =
        0;  // 0: over the whole width; else over each group of columns (per-head q/k norm)
    bool weight_per_group =
        false;  // weight [groups, group] instead of [group] shared by all groups (cohere, stablelm)
    static void fields(auto& self, auto&& field) {
        field("kind", self.kind);
        field("eps", self.eps);
        field("unit_offset", self.unit_offset);
        field("group", self.group);
        field("weight_per_group", self.weight_per_group);
    }
    bool operator==(const NormSpec&) const = default;
};

struct AttentionSpec {
    std::int64_t heads = 0, kv_heads = 0;
    std::int64_t head_dim = 0;    // of q and k
    std::int64_t v_head_dim = 0;  // of v and of the output
    double scale = 0;             // multiplies q k^T
    std::int64_t window = 0;      // sliding window in tokens; 0 = full causal attention
    double softcap = 0;           // scores = cap * tanh(scores / cap); 0 = none
    bool sinks = false;           // one learned logit per head joins the softmax (weights[0])
    std::int64_t latent_width =
        0;  // MLA: cached values per token (kv_lora_rank + rope dim); 0 = plain KV cache
    std::int64_t latent_rope = 0;  // MLA: of latent_width, the rotated key that all heads share
    static void fields(auto& self, auto&& field) {
        field("heads", self.heads);
        field("kv_heads", self.kv_heads);
        field("head_dim", self.head_dim);
        field("v_head_dim", self.v_head_dim);
        field("scale", self.scale);
        field("window", self.window);
        field("softcap", self.softcap);
        field("sinks", self.sinks);
        field("latent_width", self.latent_width);
        field("latent_rope", self.latent_rope);
    }
    bool operator==(const AttentionSpec&) const = default;
};

/// What makes a router's logits the scores of the experts.
enum class RouterScore { softmax, sigmoid, softmax_of_chosen };
constexpr auto enum_names(RouterScore) {
    return std::array<std::string_view, 3>{"softmax", "sigmoid", "softmax_of_chosen"};
}
/// What a group of experts is worth: its best score, or the sum of its two best.
enum class GroupScore { best, two_best };
constexpr auto enum_names(GroupScore) {
    return std::array<std::string_view, 2>{"best", "two_best"};
}

/// How a router chooses: the top_k experts (MoeSpec) of the best `top_groups` groups by score plus
/// correction; a chosen one weighs its score (without the correction), over the sum of the chosen
/// when `normalise`, times `scale`. Equal scores: the lower number wins.
struct RoutingSpec {
    RouterScore score = RouterScore::softmax;
    bool normalise = false;
    double scale = 1;
    std::int64_t groups = 1, top_groups = 1;
    GroupScore group_score = GroupScore::best;
    bool correction = false;  // the second weight corrects scores for the choice; else it is a bias
    static void fields(auto& self, auto&& field) {
        field("score", self.score);
        field("normalise", self.normalise);
        field("scale", self.scale);
        field("groups", self.groups);
        field("top_groups", self.top_groups);
        field("group_score", self.group_score);
        field("correction", self.correction);
    }
    bool operator==(const RoutingSpec&) const = default;
};

struct MoeSpec {
    std::int64_t experts = 0, top_k = 0;
    std::int64_t hidden = 0, ffn = 0;  // of one expert
    bool gated = true;
    ActivationKind activation = ActivationKind::silu;
    static void fields(auto& self, auto&& field) {
        field("experts", self.experts);
        field("top_k", self.top_k);
        field("hidden", self.hidden);
        field("ffn", self.ffn);
        field("gated", self.gated);
        field("activation", self.activation);
    }
    bool operator==(const MoeSpec&) const = default;
};

/// Which of a row's values are compared by OpKind::largest.
struct LargestSpec {
    bool of_pairs = false;  // the input is (value, index) pairs already, the rows of an earlier one
    static void fields(auto& self, auto&& field) { field("of_pairs", self.of_pairs); }
    bool operator==(const LargestSpec&) const = default;
};

enum class OpKind {
    // compute
    embedding,           // weights {table}; no input; out [rows, hidden]
    position_embedding,  // weights {table}; adds table[position]
    linear,              // weights {weight, bias?}; out = in W^T + b
    norm,                // weights {weight?, bias?}
    add,                 // out = in[0] + factor * in[1] (+ factor * in[2])
    add_norm,     // out[0] = in[0] + factor * in[1]; out[1] = norm(out[0]) (a lowering's fusion)
    rope,         // in {q, k} -> out {q, k}; MLA: the trailing rotary_dim of each q head, all of k
    unpack_qkv,   // in {qkv} -> out {q, k, v}
    attention,    // in {q, k, v}; appends to the KV cache. MLA (latent_width > 0): in {q, rotated
                  // key shared by the heads, [k without position | v] per head}
    activation,   // in {gate, up}, {gate_up} (halves) or {x}
    multiply,     // out = in[0] * sigmoid(in[1]) broadcast over columns (shared-expert gate)
    select_last,  // tokens -> sequences: the last token of each
    scale,        // out = cap * tanh(in * factor / cap), or in * factor when softcap is 0
    split_columns,  // in {x} -> out {left, right} (MLA: latent and rope part)
    moe_router,     // weights {weight, bias or correction?}; out [rows, experts]: the weight of
                    // each expert in a row's sum, 0 for those not chosen
    moe_experts,    // in {x, router}; weights {gate_up, down, gate_up bias?, down bias?}; gate over
                    // up, with clamped_swiglu in turn: gate 0, up 0, gate 1, ..
    largest,        // the largest of each row, as many as the output has (value, index) pairs, in
                    // falling order, of equals the lower index first; index: column of the whole
    // communication, never in a Model: made by reshard() when a plan is lowered
    all_reduce,
    all_gather,
    reduce_scatter,
    all_to_all,
    slice,  // keep the own part: no traffic
};
constexpr auto enum_names(OpKind) {
    return std::array<std::string_view, 22>{
        "embedding",  "position_embedding", "linear",     "norm",        "add",      "add_norm",
        "rope",       "unpack_qkv",         "attention",  "activation",  "multiply", "select_last",
        "scale",      "split_columns",      "moe_router", "moe_experts", "largest",  "all_reduce",
        "all_gather", "reduce_scatter",     "all_to_all", "slice"};
}
constexpr bool is_collective(OpKind kind) {
    return kind >= OpKind::all_reduce && kind <= OpKind::all_to_all;
}

/// Attributes of an op; those its kind needs are set.
struct OpSpec {
    std::optional<NormSpec> norm;              // norm, add_norm
    std::optional<RopeSpec> rope;              // rope
    std::optional<AttentionSpec> attention;    // attention, unpack_qkv
    std::optional<MoeSpec> moe;                // moe_router, moe_experts
    std::optional<RoutingSpec> routing;        // moe_router
    std::optional<ActivationKind> activation;  // activation
    std::optional<QkvPacking> packing;         // unpack_qkv
    std::optional<LargestSpec> largest;        // largest
    double factor = 1;                         // embedding, add, add_norm, scale
    double softcap = 0;                        // scale
    bool transposed = false;                   // linear, moe_experts: weights stored [.., in, out]

    static void fields(auto& self, auto&& field) {
        field("norm", self.norm);
        field("rope", self.rope);
        field("attention", self.attention);
        field("moe", self.moe);
        field("routing", self.routing);
        field("activation", self.activation);
        field("packing", self.packing);
        field("largest", self.largest);
        field("factor", self.factor);
        field("softcap", self.softcap);
        field("transposed", self.transposed);
    }
    bool operator==(const OpSpec&) const = default;
};

/// One op of a block. `name` is the module path inside the block ("self_attn.q_proj"), or a
/// describing name for ops that no module owns ("residual", "mlp.act").
struct Op {
    OpKind kind = OpKind::linear;
    std::string name;
    std::vector<int> inputs{}, outputs{};  // activations of the block
    std::vector<int> weights{};            // tensors of the block
    OpSpec spec{};
    bool operator==(const Op&) const = default;
};

/// A run of ops that stands once in the model or repeats as a layer. Ops are in execution order.
/// The residual stream enters as `input` (-1 for the embedding) and leaves as `output`.
struct Block {
    std::string prefix;  // of tensor names; "model.layers.*" for layers, "model" or "" outside
    std::vector<Tensor> tensors{};
    std::vector<Activation> activations{};
    std::vector<Op> ops{};
    int input = -1;
    int output = -1;
    bool operator==(const Block&) const = default;
};

/// One place of the running sequence.
struct BlockUse {
    int block = 0;
    int layer = -1;  // from 0; -1 outside the layers
    bool operator==(const BlockUse&) const = default;
};

/// Linears that serving engines join when they read the same value: modules of one group, by their
/// last names.
struct FusedModules {
    std::vector<std::string> parts;  // in the order of their outputs
    std::string whole;               // what the joined one is called
    bool operator==(const FusedModules&) const = default;
};

struct Model {
    std::string model_type;
    std::string base_prefix;  // "model", "transformer", "gpt_neox", "model.language_model": where
                              // plan keys start
    std::vector<Block> blocks;
    std::vector<BlockUse> sequence;  // embedding, layers in order, head
    std::vector<FusedModules> fused;
    std::int64_t max_positions = 0;  // tokens of a sequence the model is made for; 0: not said
    std::vector<std::string> notes;  // of the graph itself; those of the reading are in ModelConfig
    bool operator==(const Model&) const = default;
};

/// `name` below the module `prefix`: "model.norm"; the name itself below "".
std::string below(const std::string& prefix, const std::string& name);

/// Numbers that stand alone between dots, or after the last one, as '*': "layers.3.mlp" is
/// "layers.*.mlp".
std::string numbers_as_stars(const std::string& name);

/// The name in one layer: its number in place of the first '*'. `layer` -1 keeps the '*'.
std::string of_layer(std::string name, int layer);

/// transformers' parameter name: prefix + name, with the layer number in place of '*'. `layer` -1
/// keeps the '*'.
std::string full_name(const Block& block, const Tensor& tensor, int layer);

/// Number of parameters, tied tensors once (with the embedding), buffers not. Scales of fp8 blocks
/// are parameters; those of integer weights are buffers, as the weights themselves are where
/// transformers loads them, so that the count is the model's own.
std::int64_t parameter_count(const Model& model);

/// Bytes of all parameters on one device, unsharded, with all that integer weights need beside
/// them; tied tensors once.
double weight_bytes(const Model& model);

}  // namespace tplan
