#include "models/build.h"

#include <cmath>
#include <set>

#include "tests/support/catch.h"
#include "tests/support/tiny_configs.h"

using namespace tplan;

namespace {

Model tiny_model(const std::string& family, const Json& changes = Json::object()) {
    auto document = test::tiny_config(family);
    for (const auto& [key, value] : changes.items()) document[key] = value;
    return build_model(read_model_config(document, "tiny"));
}

const Activation& at(const Block& block, int index) {
    return block.activations.at(static_cast<std::size_t>(index));
}
const Tensor& tensor(const Block& block, const Op& op, std::size_t index) {
    return block.tensors.at(static_cast<std::size_t>(op.weights.at(index)));
}

const Block& layer_block(const Model& model, int layer) {
    for (const auto& use : model.sequence) {
        if (use.layer == layer) return model.blocks.at(static_cast<std::size_t>(use.block));
    }
    throw std::out_of_range("no such layer");
}

const Op& find_op(const Block& block, const std::string& name) {
    for (const auto& op : block.ops) {
        if (op.name == name) return op;
    }
    throw std::out_of_range("no op " + name);
}

bool has_op(const Block& block, OpKind kind) {
    for (const auto& op : block.ops) {
        if (op.kind == kind) return true;
    }
    return false;
}

const Tensor& find_tensor(const Block& block, const std::string& name) {
    for (const auto& entry : block.tensors) {
        if (entry.name == name) return entry;
    }
    throw std::out_of_range("no tensor " + name);
}

void check_linear(const Block& block, const Op& op) {
    const auto& in = at(block, op.inputs.at(0));
    const auto& out = at(block, op.outputs.at(0));
    auto shape = tensor(block, op, 0).shape;
    auto axes = tensor(block, op, 0).axes;
    if (op.spec.transposed) {
        std::swap(shape[0], shape[1]);
        std::swap(axes[0], axes[1]);
    }
    CHECK(shape == std::vector<std::int64_t>{out.width, in.width});
    CHECK(axes == std::vector<Axis>{out.axis, in.axis});
    if (op.weights.size() > 1)
        CHECK(tensor(block, op, 1).shape == std::vector<std::int64_t>{out.width});
}

void check_norm(const Block& block, const Op& op) {
    const auto& in = at(block, op.inputs.at(0));
    const auto& norm = op.spec.norm.value();
    const auto group = norm.group ? norm.group : in.width;
    CHECK(at(block, op.outputs.at(0)).width == in.width);
    CHECK(in.width % group == 0);
    const auto weights = norm.weight_per_group ? in.width : group;
    for (std::size_t i = 0; i < op.weights.size(); ++i)
        CHECK(tensor(block, op, i).elements() == weights);
}

void check_attention(const Block& block, const Op& op) {
    const auto& spec = op.spec.attention.value();
    CHECK(at(block, op.inputs.at(0)).width == spec.heads * spec.head_dim);
    CHECK(at(block, op.outputs.at(0)).width == spec.heads * spec.v_head_dim);
    CHECK(at(block, op.outputs.at(0)).unit == spec.v_head_dim);
    CHECK(spec.scale > 0);
    CHECK(op.weights.size() == (spec.sinks ? 1 : 0));
    if (spec.latent_width > 0) return;
    CHECK(at(block, op.inputs.at(1)).width == spec.kv_heads * spec.head_dim);
    CHECK(at(block, op.inputs.at(2)).width == spec.kv_heads * spec.v_head_dim);
    CHECK(at(block, op.inputs.at(1)).axis == Axis::kv_heads);
}

void check_experts(const Block& block, const Op& op) {
    const auto& moe = op.spec.moe.value();
    CHECK(at(block, op.inputs.at(1)).width == moe.experts);
    CHECK(at(block, op.outputs.at(0)).width == moe.hidden);
    CHECK(tensor(block, op, 0).elements() == moe.experts * 2 * moe.ffn * moe.hidden);
    CHECK(tensor(block, op, 1).elements() == moe.experts * moe.ffn * moe.hidden);
    for (std::size_t i = 0; i < op.weights.size(); ++i)
        CHECK(tensor(block, op, i).axes.front() == Axis::experts);
}

void check_widths(const Block& block, const Op& op) {
    const auto width = [&](int index) { return at(block, index).width; };
    switch (op.kind) {
        case OpKind::linear:
            return check_linear(block, op);
        case OpKind::norm:
            return check_norm(block, op);
        case OpKind::attention:
            return check_attention(block, op);
        case OpKind::moe_experts:
            return check_experts(block, op);
        case OpKind::add:
            for (const int input : op.inputs) CHECK(width(input) == width(op.outputs.at(0)));
            return;
        case OpKind::activation: {
            const auto out = width(op.outputs.at(0));
            const auto in = width(op.inputs.at(0));
            CHECK((in == out || (op.inputs.size() == 1 && in == 2 * out)));
            return;
        }
        case OpKind::rope:
            CHECK(width(op.inputs.at(0)) == width(op.outputs.at(0)));
            CHECK(width(op.inputs.at(1)) == width(op.outputs.at(1)));
            CHECK(op.spec.rope->rotary_dim % 2 == 0);
            CHECK(op.spec.rope->rotary_dim <= op.spec.rope->head_dim);
            return;
        case OpKind::unpack_qkv:
        case OpKind::split_columns: {
            std::int64_t sum = 0;
            for (const int output : op.outputs) sum += width(output);
            CHECK(sum == width(op.inputs.at(0)));
            return;
        }
        case OpKind::multiply:
            CHECK(width(op.inputs.at(1)) == 1);
            return;
        default:
            return;
    }
}

/// Inputs come from before, outputs are new, weights are used once, widths agree.
void check_block(const Block& block) {
    std::set<int> produced;
    if (block.input >= 0) produced.insert(block.input);
    std::multiset<int> weights;
    std::set<std::string> names;
    std::vector<int> made_by(block.activations.size(), -1);
    std::set<int> read;
    for (std::size_t i = 0; i < block.ops.size(); ++i) {
        const auto& op = block.ops[i];
        INFO(op.name);
        CHECK(names.insert(op.name).second);
        for (const int input : op.inputs) CHECK(produced.contains(input));
        read.insert(op.inputs.begin(), op.inputs.end());
        for (const int output : op.outputs) {
            CHECK(produced.insert(output).second);
            made_by.at(static_cast<std::size_t>(output)) = static_cast<int>(i);
        }
        weights.insert(op.weights.begin(), op.weights.end());
        check_widths(block, op);
        if (op.kind != OpKind::norm) continue;
        // served kernels fuse an addition with the norm that follows it
        const int source = made_by.at(static_cast<std::size_t>(op.inputs.at(0)));
        if (source >= 0 && block.ops.at(static_cast<std::size_t>(source)).kind == OpKind::add)
            CHECK(source == static_cast<int>(i) - 1);
    }
    CHECK(produced.size() == block.activations.size());
    CHECK(produced.contains(block.output));
    read.insert(block.output);
    CHECK(read.size() == block.activations.size());
    for (const auto& activation : block.activations) CHECK(activation.width % activation.unit == 0);

    std::set<std::string> scaled;
    for (std::size_t i = 0; i < block.tensors.size(); ++i) {
        const auto& entry = block.tensors[i];
        INFO(entry.name);
        CHECK(entry.shape.size() == entry.axes.size());
        CHECK(weights.count(static_cast<int>(i)) == (entry.scales_of ? 0 : 1));
        if (!entry.scales_of) continue;
        const auto& weight = find_tensor(block, *entry.scales_of);
        const bool integers = is_stored_only(weight.dtype);
        CHECK((integers || weight.dtype == DType::fp8));
        CHECK(entry.buffer == integers);  // beside fp8 one tensor of parameters, else several
        CHECK((scaled.insert(weight.name).second || integers));
        CHECK(weight.quant_block[0] > 0);
    }
}

void check_model(const Model& model) {
    REQUIRE(model.sequence.size() >= 3);
    CHECK(model.sequence.front() == BlockUse{0, -1});
    CHECK(model.sequence.back() == BlockUse{static_cast<int>(model.blocks.size()) - 1, -1});
    CHECK(model.blocks.front().input == -1);
    std::set<std::string> names;
    std::int64_t width = -1;
    int layer = -1;
    for (const auto& use : model.sequence) {
        const auto& block = model.blocks.at(static_cast<std::size_t>(use.block));
        if (use.layer >= 0) CHECK(use.layer == ++layer);
        if (block.input >= 0) CHECK(at(block, block.input).width == width);
        width = at(block, block.output).width;
        for (const auto& entry : block.tensors)
            CHECK(names.insert(full_name(block, entry, use.layer)).second);
    }
    for (const auto& block : model.blocks) check_block(block);
}

}  // namespace

TEST_CASE("build: the graph of every preset is well-formed") {
    for (const auto& preset : preset_names()) {
        INFO(preset);
        check_model(build_model(load_model_config(preset)));
    }
}

TEST_CASE("build: the graph of every family is well-formed") {
    for (const auto& family : family_names()) {
        INFO(family);
        check_model(tiny_model(family));
    }
}

TEST_CASE("build: variants that config.json chooses are well-formed") {
    const std::vector<std::pair<std::string, Json>> variants = {
        {"falcon", {{"new_decoder_architecture", false}}},
        {"falcon", {{"new_decoder_architecture", false}, {"multi_query", false}}},
        {"falcon", {{"new_decoder_architecture", false}, {"parallel_attn", false}, {"bias", true}}},
        {"falcon", {{"num_ln_in_parallel_attn", 1}}},
        {"gpt_neox", {{"use_parallel_residual", false}}},
        {"stablelm", {{"use_parallel_residual", true}, {"qk_layernorm", true}}},
        {"cohere", {{"use_qk_norm", false}}},
        {"deepseek_v2", {{"q_lora_rank", 48}, {"attention_bias", true}}},
        {"llama", {{"attention_bias", true}, {"mlp_bias", true}, {"head_dim", 32}}},
    };
    for (const auto& [family, changes] : variants) {
        INFO(family << " " << changes.dump());
        REQUIRE(changes.is_object());
        check_model(tiny_model(family, changes));
    }
}

TEST_CASE("build: llama's layer, op by op") {
    const auto model = tiny_model("llama");
    CHECK(model.base_prefix == "model");
    CHECK(model.blocks.size() == 3);
    const auto& block = layer_block(model, 0);
    CHECK(block.prefix == "model.layers.*");
    std::vector<std::string> names;
    for (const auto& op : block.ops) names.push_back(op.name);
    CHECK(names == std::vector<std::string>{
                       "input_layernorm", "self_attn.q_proj", "self_attn.k_proj",
                       "self_attn.v_proj", "self_attn.rope", "self_attn.attention",
                       "self_attn.o_proj", "attention_residual", "post_attention_layernorm",
                       "mlp.gate_proj", "mlp.up_proj", "mlp.act", "mlp.down_proj", "mlp_residual"});
    CHECK(find_op(block, "self_attn.attention").spec.attention->scale == 0.25);
    CHECK(at(block, find_op(block, "self_attn.k_proj").outputs[0]) ==
          Activation{"self_attn.k_proj", Rows::tokens, 32, Axis::kv_heads, 16});
    CHECK(find_tensor(block, "self_attn.o_proj.weight").axes ==
          std::vector<Axis>{Axis::hidden, Axis::heads});

    const auto& head = model.blocks.back();
    CHECK(head.prefix.empty());
    CHECK(head.ops[0].name == "model.norm");
    CHECK(head.ops[1].kind == OpKind::select_last);
    CHECK(head.ops[2].name == "lm_head");
    CHECK(at(head, head.output).rows == Rows::sequences);
    CHECK_FALSE(head.tensors.back().tied);
}

TEST_CASE("build: a tied head keeps the embedding's shape and owns nothing") {
    const auto model = tiny_model("qwen3");
    const auto& head = find_tensor(model.blocks.back(), "lm_head.weight");
    CHECK(head.tied);
    CHECK(head.shape == model.blocks.front().tensors[0].shape);
}

TEST_CASE("build: q and k norms come before the rotation, each family in its own way") {
    const auto norm = [](const Model& model, const std::string& name) {
        return find_op(layer_block(model, 0), name).spec.norm.value();
    };
    CHECK(norm(tiny_model("qwen3"), "self_attn.q_norm").group == 16);
    const auto olmo = tiny_model("olmo2");
    CHECK(norm(olmo, "self_attn.k_norm").group == 0);
    CHECK(find_tensor(layer_block(olmo, 0), "self_attn.k_norm.weight").shape ==
          std::vector<std::int64_t>{32});
    const auto cohere = tiny_model("cohere");
    CHECK(norm(cohere, "self_attn.q_norm").weight_per_group);
    CHECK(norm(cohere, "self_attn.q_norm").kind == NormKind::layer);
    CHECK(find_tensor(layer_block(cohere, 0), "self_attn.q_norm.weight").shape ==
          std::vector<std::int64_t>{4, 16});
    CHECK(norm(tiny_model("gemma3_text"), "self_attn.q_norm").unit_offset);
    CHECK_FALSE(norm(tiny_model("glm4_moe"), "self_attn.q_norm").unit_offset);
}

TEST_CASE("build: parallel blocks add both branches to the input at once") {
    for (const auto* family : {"phi", "cohere", "gpt_neox", "falcon"}) {
        INFO(family);
        const auto model = tiny_model(family);
        const auto& block = layer_block(model, 0);
        const auto& last = block.ops.back();
        CHECK(last.kind == OpKind::add);
        REQUIRE(last.inputs.size() == 3);
        CHECK(last.inputs[0] == block.input);
    }
}

TEST_CASE("build: gemma scales the embedding, offsets its norms and caps scores and logits") {
    const auto model = tiny_model("gemma2");
    CHECK(model.blocks[0].ops[0].spec.factor == 8);  // sqrt(64)
    const auto& layer = layer_block(model, 0);
    CHECK(find_op(layer, "input_layernorm").spec.norm->unit_offset);
    const auto& attention = *find_op(layer, "self_attn.attention").spec.attention;
    CHECK(attention.softcap == 50);
    CHECK(attention.scale == 1 / std::sqrt(32.0));
    CHECK(model.blocks.back().ops.back().spec.softcap == 30);
    // the norm of a branch's output comes before the addition
    CHECK(find_op(layer, "attention_residual").inputs[1] ==
          find_op(layer, "post_attention_layernorm").outputs[0]);
}

TEST_CASE("build: gemma3's local layers rotate by their own theta, unscaled") {
    const auto model = tiny_model("gemma3_text");
    const auto& local = layer_block(model, 0);
    const auto& global = layer_block(model, 2);
    CHECK(find_op(local, "self_attn.attention").spec.attention->window == 8);
    CHECK(find_op(global, "self_attn.attention").spec.attention->window == 0);
    CHECK(find_op(local, "self_attn.rope").spec.rope->theta == 10000);
    CHECK(find_op(local, "self_attn.rope").spec.rope->position_scale == 1);
    CHECK(find_op(global, "self_attn.rope").spec.rope->theta == 1e6);
    CHECK(find_op(global, "self_attn.rope").spec.rope->position_scale == 8);
    CHECK(model.blocks.size() == 4);
    CHECK(model.sequence[6].block == model.sequence[3].block);  // layers 5 and 2
}

TEST_CASE("build: granite's multipliers and cohere's logit scale") {
    const auto granite = tiny_model("granite");
    CHECK(granite.blocks[0].ops[0].spec.factor == 12);
    CHECK(find_op(layer_block(granite, 0), "attention_residual").spec.factor == 0.22);
    CHECK(find_op(layer_block(granite, 0), "self_attn.attention").spec.attention->scale == 0.0625);
    CHECK(granite.blocks.back().ops.back().spec.factor == 0.125);
    CHECK(tiny_model("cohere").blocks.back().ops.back().spec.factor == 0.25);
    CHECK_FALSE(has_op(tiny_model("llama").blocks.back(), OpKind::scale));
}

TEST_CASE("build: partial and interleaved rotation") {
    const auto rope = [](const std::string& family) {
        return find_op(layer_block(tiny_model(family), 0),
                       family == "gpt_neox" ? "attention.rope" : "self_attn.rope")
            .spec.rope.value();
    };
    CHECK(rope("phi").rotary_dim == 8);
    CHECK(rope("gpt_neox").rotary_dim == 4);
    CHECK(rope("llama").rotary_dim == 16);
    CHECK(rope("glm4").interleaved);
    CHECK(rope("cohere").interleaved);
    CHECK_FALSE(rope("phi").interleaved);
}

TEST_CASE("build: fused projections say how they are packed") {
    const auto packing = [](const Model& model, const std::string& name) {
        return find_op(layer_block(model, 0), name).spec.packing.value();
    };
    CHECK(packing(tiny_model("phi3"), "self_attn.unpack_qkv") == QkvPacking::concat);
    CHECK(packing(tiny_model("gpt2"), "attn.unpack_qkv") == QkvPacking::concat);
    CHECK(packing(tiny_model("gpt_neox"), "attention.unpack_qkv") == QkvPacking::per_head);
    CHECK(packing(tiny_model("falcon"), "self_attention.unpack_qkv") == QkvPacking::per_kv_group);
    const auto phi3 = tiny_model("phi3");
    const auto& gate_up = find_tensor(layer_block(phi3, 0), "mlp.gate_up_proj.weight");
    CHECK(gate_up.packed_halves == 2);
    CHECK(gate_up.shape == std::vector<std::int64_t>{256, 64});
    CHECK(find_tensor(layer_block(phi3, 0), "self_attn.qkv_proj.weight").axes[0] == Axis::qkv);
}

TEST_CASE("build: gpt2 learns positions and stores weights [in, out]") {
    const auto model = tiny_model("gpt2");
    CHECK(model.blocks[0].ops[1].kind == OpKind::position_embedding);
    CHECK(find_tensor(model.blocks[0], "wpe.weight").shape == std::vector<std::int64_t>{128, 64});
    const auto& layer = layer_block(model, 0);
    CHECK(find_tensor(layer, "mlp.c_fc.weight").shape == std::vector<std::int64_t>{64, 128});
    CHECK(find_op(layer, "mlp.c_fc").spec.transposed);
    CHECK_FALSE(has_op(layer, OpKind::rope));
    CHECK(layer.prefix == "transformer.h.*");
}

TEST_CASE("build: latent attention keeps the latent and the rotated key in the cache") {
    const auto model = tiny_model("deepseek_v3");
    const auto& layer = layer_block(model, 0);
    const auto& spec = *find_op(layer, "self_attn.attention").spec.attention;
    CHECK(spec.latent_width == 32 + 8);
    CHECK(spec.head_dim == 24);
    CHECK(spec.v_head_dim == 16);
    CHECK(find_op(layer, "self_attn.rope").spec.rope->rotary_dim == 8);
    CHECK(find_tensor(layer, "self_attn.kv_b_proj.weight").axes ==
          std::vector<Axis>{Axis::heads, Axis::latent});
    CHECK_FALSE(has_op(layer, OpKind::moe_experts));  // the first layer is dense
    CHECK(has_op(layer_block(model, 1), OpKind::moe_experts));
}

TEST_CASE("build: experts are packed, gpt_oss's the other way round") {
    const auto qwen = tiny_model("qwen2_moe");
    const auto& sparse = layer_block(qwen, 0);
    const auto& gate_up = find_tensor(sparse, "mlp.experts.gate_up_proj");
    CHECK(gate_up.shape == std::vector<std::int64_t>{8, 64, 64});
    CHECK(gate_up.axes == std::vector<Axis>{Axis::experts, Axis::ffn, Axis::hidden});
    CHECK(gate_up.packed_halves == 2);
    CHECK(find_tensor(sparse, "mlp.experts.down_proj").shape ==
          std::vector<std::int64_t>{8, 64, 32});
    CHECK(find_op(sparse, "mlp.gate_shared").kind == OpKind::multiply);
    CHECK_FALSE(has_op(layer_block(qwen, 1), OpKind::moe_experts));  // mlp_only_layers

    const auto oss = tiny_model("gpt_oss");
    const auto& layer = layer_block(oss, 0);
    CHECK(find_tensor(layer, "mlp.experts.gate_up_proj").shape ==
          std::vector<std::int64_t>{8, 64, 256});
    CHECK(find_tensor(layer, "mlp.experts.gate_up_proj").axes ==
          std::vector<Axis>{Axis::experts, Axis::hidden, Axis::ffn});
    CHECK(find_tensor(layer, "mlp.experts.gate_up_proj").packed_halves == 1);
    CHECK(find_tensor(layer, "mlp.experts.gate_up_proj_bias").shape ==
          std::vector<std::int64_t>{8, 256});
    CHECK(find_op(layer, "mlp.experts").spec.moe->activation == ActivationKind::clamped_swiglu);
    CHECK(find_op(layer, "mlp.router").weights.size() == 2);
    CHECK(find_op(layer, "self_attn.attention").spec.attention->sinks);
    CHECK(find_op(layer, "self_attn.attention").spec.attention->window == 8);
    CHECK(find_op(layer_block(oss, 1), "self_attn.attention").spec.attention->window == 0);
}

TEST_CASE("build: below an umbrella the text model carries its prefix") {
    const auto model = build_model(load_model_config("gemma-3-27b"));
    CHECK(model.base_prefix == "model.language_model");
    CHECK(layer_block(model, 0).prefix == "model.language_model.layers.*");
    CHECK(model.blocks.back().ops[0].name == "model.language_model.norm");
}
