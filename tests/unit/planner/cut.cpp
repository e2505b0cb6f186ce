#include "planner/cut.h"

#include "tests/support/catch.h"
#include "tests/unit/planner/programs.h"

using namespace tplan;
using namespace tplan::test;

namespace {

/// The parameter `name` of the model's layer `block`, in its place.
WeightPlace place(const Block& block, const std::string& name) {
    for (const auto& op : block.ops) {
        for (std::size_t slot = 0; slot < op.weights.size(); ++slot) {
            const auto& tensor = block.tensors[static_cast<std::size_t>(op.weights[slot])];
            if (tensor.name == name) return {&block, &op, &tensor, static_cast<int>(slot)};
        }
    }
    throw Error(name, "no such parameter");
}

Cut cut(const Model& model, std::size_t block, const std::string& name, const char* style,
        int parts, bool copy = false) {
    return cut_weight(find_style(shared_styles(), style), place(model.blocks[block], name), parts,
                      copy);
}

Split chunk(int dim, int parts) {
    return {.kind = SplitKind::chunk, .dim = dim, .parts = parts};
}

}  // namespace

TEST_CASE("linears are cut by rows or columns, biases with the rows") {
    const auto model = build_model(tiny("qwen2"));
    CHECK(cut(model, 1, "self_attn.q_proj.weight", "colwise", 2).split == chunk(0, 2));
    CHECK(cut(model, 1, "self_attn.q_proj.bias", "colwise", 2).split == chunk(0, 2));
    CHECK(cut(model, 1, "self_attn.o_proj.weight", "rowwise", 2).split == chunk(1, 2));
    CHECK(cut(model, 1, "self_attn.q_proj.bias", "rowwise", 2).split == Split{});
    CHECK(cut(model, 1, "self_attn.o_proj.weight", "rowwise_split_input", 4).split == chunk(1, 4));
    CHECK(cut(model, 1, "self_attn.q_proj.weight", "colwise", 1).split == Split{});
    CHECK(cut(model, 1, "input_layernorm.weight", "replicated_with_grad_allreduce", 2).split ==
          Split{});
}

TEST_CASE("weights stored [in, out] are cut by what they count") {
    const auto model = build_model(tiny("gpt2"));
    CHECK(cut(model, 1, "mlp.c_fc.weight", "colwise", 2).split == chunk(1, 2));
    CHECK(cut(model, 1, "mlp.c_fc.bias", "colwise", 2).split == chunk(0, 2));
    CHECK(cut(model, 1, "mlp.c_proj.weight", "rowwise", 2).split == chunk(0, 2));
    const auto experts = build_model(tiny("gpt_oss"));
    CHECK(cut(experts, 1, "mlp.experts.gate_up_proj", "colwise", 2).split == chunk(2, 2));
    CHECK(cut(experts, 1, "mlp.experts.down_proj", "rowwise", 2).split == chunk(1, 2));
}

TEST_CASE("experts: packed halves along the rows, or whole experts") {
    const auto model = build_model(tiny("mixtral"));
    const auto halves = cut(model, 1, "mlp.experts.gate_up_proj", "packed_colwise", 4).split;
    CHECK(halves == Split{.kind = SplitKind::packed, .dim = 1, .parts = 4, .blocks = 2});
    CHECK(cut(model, 1, "mlp.experts.down_proj", "rowwise", 4).split == chunk(2, 4));
    CHECK(cut(model, 1, "mlp.experts.down_proj", "grouped_gemm", 4).split == chunk(0, 4));
    CHECK(holds(cut(model, 1, "mlp.experts.gate_up_proj", "colwise", 4).problem, {"gate over up"}));
}

TEST_CASE("embeddings are cut by vocabulary or by columns") {
    const auto model = build_model(tiny("llama"));
    CHECK(cut(model, 0, "embed_tokens.weight", "embedding_rowwise", 2).split == chunk(0, 2));
    CHECK(cut(model, 0, "embed_tokens.weight", "embedding_colwise", 2).split == chunk(1, 2));
    CHECK_FALSE(cut(model, 0, "embed_tokens.weight", "colwise", 2).problem.empty());
}

TEST_CASE("KV projections are cut by copied heads where asked") {
    const auto model = build_model(tiny("llama"));
    const auto copied = cut(model, 1, "self_attn.k_proj.weight", "colwise", 4, true).split;
    CHECK(copied ==
          Split{.kind = SplitKind::grouped, .dim = 0, .parts = 4, .blocks = 2, .unit = 16});
    CHECK(cut(model, 1, "self_attn.q_proj.weight", "colwise", 4, true).split == chunk(0, 4));
    // a gathered projection is whole afterwards: nothing to copy
    CHECK(cut(model, 1, "self_attn.k_proj.weight", "colwise_gather_output", 4, true).split ==
          chunk(0, 4));
}

TEST_CASE("plain cuts of packed rows are refused, gathered ones are not") {
    const auto phi3 = build_model(tiny("phi3"));
    CHECK(holds(cut(phi3, 1, "mlp.gate_up_proj.weight", "colwise", 2).problem, {"gate over up"}));
    CHECK(cut(phi3, 1, "mlp.gate_up_proj.weight", "packed_colwise", 2).split.kind ==
          SplitKind::packed);
    CHECK(cut(phi3, 1, "mlp.gate_up_proj.weight", "colwise_gather_output", 2).problem.empty());
    CHECK(holds(cut(phi3, 1, "self_attn.qkv_proj.weight", "colwise", 2).problem, {"mix them"}));
    // gpt_neox has q, k and v together per head, so that a plain cut is right
    const auto neox = build_model(tiny("gpt_neox"));
    CHECK(cut(neox, 1, "attention.query_key_value.weight", "colwise", 2).problem.empty());
}

TEST_CASE("sinks are one value per head") {
    const auto model = build_model(tiny("gpt_oss"));
    CHECK(cut(model, 1, "self_attn.sinks", "colwise", 2).split == chunk(0, 2));
    CHECK_FALSE(cut(model, 1, "self_attn.sinks", "rowwise", 2).problem.empty());
    CHECK_FALSE(cut(model, 1, "input_layernorm.weight", "colwise", 2).problem.empty());
}

TEST_CASE("scales are cut where their weight is") {
    // [1024, 512] in blocks of 128 x 128: scales [8, 4]
    const Tensor weight{.name = "w", .shape = {1024, 512}, .quant_block = {128, 128}};
    const Tensor scales{.name = "s", .shape = {8, 4}, .axes = {Axis::block, Axis::block}};
    CHECK(scales_split(chunk(0, 4), weight, scales) == chunk(0, 4));
    CHECK(scales_split(chunk(1, 4), weight, scales) == chunk(1, 4));
    const Split heads{.kind = SplitKind::grouped, .dim = 0, .parts = 16, .blocks = 2, .unit = 128};
    CHECK(scales_split(heads, weight, scales).unit == 1);
    CHECK(scales_split(chunk(0, 4), weight,
                       {.name = "s", .shape = {1, 4}, .axes = {Axis::block, Axis::block}}) ==
          Split{});
}

TEST_CASE("styles that an op cannot run") {
    const auto model = build_model(tiny("mixtral"));
    const auto& block = model.blocks[1];
    const auto& experts = *place(block, "mlp.experts.down_proj").op;
    const auto style = [](const char* name) { return &find_style(shared_styles(), name); };
    std::vector<TensorPlan> cuts(block.tensors.size());
    CHECK(op_problem(experts, nullptr, cuts).empty());
    CHECK(holds(op_problem(experts, style("moe_tp_experts"), cuts), {"equal copy"}));
    CHECK(holds(op_problem(block.ops[0], style("sequence_parallel"), cuts), {"does not run"}));
    CHECK(holds(op_problem(block.ops[0], style("all_reduce"), cuts), {"count each"}));

    auto& up = cuts[static_cast<std::size_t>(experts.weights[0])];
    up = {.style = "packed_colwise", .split = {.kind = SplitKind::packed, .dim = 1, .parts = 2}};
    CHECK(holds(op_problem(experts, style("moe_tp_experts"), cuts), {"do not fit together"}));
    auto& down = cuts[static_cast<std::size_t>(experts.weights[1])];
    down = {.style = "rowwise", .split = chunk(2, 2)};
    CHECK(op_problem(experts, style("moe_tp_experts"), cuts).empty());
    down = {.style = "grouped_gemm", .split = chunk(0, 2)};
    CHECK(holds(op_problem(experts, style("moe_tp_experts"), cuts), {"do not fit together"}));
}

TEST_CASE("scales of integers follow the weight, whole where columns are reordered") {
    const auto split_of = [](const Json& quantisation, const std::string& name, int dim) {
        const auto model = build_model(tiny("llama", {{"quantization_config", quantisation}}));
        const auto& layer = model.blocks[1];
        std::vector<TensorPlan> cuts(layer.tensors.size());
        const auto at = [&](const std::string& tensor) {
            return static_cast<std::size_t>(
                std::ranges::find(layer.tensors, tensor, &Tensor::name) - layer.tensors.begin());
        };
        cuts[at("mlp.down_proj.qweight")] = {"rowwise", chunk(dim, 2)};
        cut_scales(layer, cuts);
        return cuts[at("mlp.down_proj." + name)].split;
    };
    const Json awq = {{"quant_method", "awq"}, {"bits", 4}, {"group_size", 32}};
    CHECK(split_of(awq, "scales", 1) == chunk(1, 2));
    CHECK(split_of(awq, "qzeros", 0) == chunk(0, 2));
    Json gptq = {{"quant_method", "gptq"}, {"bits", 4}, {"group_size", 32}};
    CHECK(split_of(gptq, "g_idx", 1) == chunk(0, 2));  // one entry for each column
    CHECK(split_of(gptq, "g_idx", 0) == Split{});
    CHECK(split_of(gptq, "scales", 1) == chunk(1, 2));
    gptq["desc_act"] = true;
    CHECK(split_of(gptq, "scales", 1) == Split{});
    CHECK(split_of(gptq, "scales", 0) == chunk(0, 2));
    CHECK(split_of(gptq, "g_idx", 1) == chunk(0, 2));
    gptq["desc_act"] = false;
    gptq["group_size"] = -1;  // one group: nothing to cut
    CHECK(split_of(gptq, "scales", 1) == Split{});
}
