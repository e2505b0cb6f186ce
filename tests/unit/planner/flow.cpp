#include "planner/flow.h"

#include "tests/support/catch.h"

using namespace tplan;

namespace {

Layout columns(int parts) {
    return Layout::columns({.kind = SplitKind::chunk, .dim = 1, .parts = parts});
}

/// One op over activations of 8 columns (4 heads of 2), its outputs following its inputs.
struct Stage {
    Block block;
    std::vector<TensorPlan> cuts;

    Stage(OpKind kind, std::vector<std::int64_t> inputs, std::vector<std::int64_t> outputs) {
        Op op{.kind = kind, .name = "op"};
        for (const auto width : inputs) op.inputs.push_back(add(width));
        for (const auto width : outputs) op.outputs.push_back(add(width));
        block.ops.push_back(op);
    }
    int add(std::int64_t width) {
        block.activations.push_back({.name = "x", .width = width, .axis = Axis::heads, .unit = 2});
        return static_cast<int>(block.activations.size()) - 1;
    }
    Op& op() { return block.ops[0]; }
    void weight(const Split& split) {
        block.tensors.push_back({.name = "w"});
        op().weights.push_back(static_cast<int>(block.tensors.size()) - 1);
        cuts.push_back({.style = "test", .split = split});
    }
    OpFlow run(const std::vector<Layout>& current) const {
        return flow(block, block.ops[0], current, cuts);
    }
};

const auto kWhole = Layout::replicated();

}  // namespace

TEST_CASE("a linear dictates its input by how its weight is cut") {
    Stage stage(OpKind::linear, {8}, {8});
    stage.weight({});
    CHECK(stage.run({columns(2)}).inputs[0] == kWhole);
    CHECK(stage.run({columns(2)}).outputs[0] == kWhole);
    stage.cuts[0].split = {.kind = SplitKind::chunk, .dim = 0, .parts = 2};
    CHECK(stage.run({kWhole}).inputs[0] == kWhole);
    CHECK(stage.run({kWhole}).outputs[0] == columns(2));
    stage.cuts[0].split.dim = 1;
    CHECK(stage.run({kWhole}).inputs[0] == columns(2));
    CHECK(stage.run({kWhole}).outputs[0] == Layout::partial());
    stage.op().spec.transposed = true;  // [in, out]: dim 1 is the output
    CHECK(stage.run({kWhole}).outputs[0] == columns(2));
}

TEST_CASE("an embedding cut by vocabulary leaves partial sums, by columns a split") {
    Stage stage(OpKind::embedding, {}, {8});
    stage.weight({.kind = SplitKind::chunk, .dim = 0, .parts = 2});
    CHECK(stage.run({}).outputs[0] == Layout::partial());
    stage.cuts[0].split.dim = 1;
    CHECK(stage.run({}).outputs[0] == columns(2));
}

TEST_CASE("a norm runs on split heads only if it is over heads and shares its weights") {
    Stage stage(OpKind::norm, {8}, {8});
    stage.weight({});
    stage.op().spec.norm = NormSpec{.group = 2};
    CHECK(stage.run({columns(4)}).outputs[0] == columns(4));
    stage.op().spec.norm->weight_per_group = true;
    CHECK(stage.run({columns(4)}).inputs[0] == kWhole);
    stage.op().spec.norm = NormSpec{.group = 0};
    CHECK(stage.run({columns(4)}).inputs[0] == kWhole);
    stage.op().spec.norm = NormSpec{.group = 4};  // 4 ranks hold half a group each
    CHECK(stage.run({columns(4)}).inputs[0] == kWhole);
    CHECK(stage.run({columns(2)}).inputs[0] == columns(2));
}

TEST_CASE("additions and gates follow inputs that are cut alike") {
    const Stage add(OpKind::add, {8, 8}, {8});
    CHECK(add.run({columns(2), columns(2)}).outputs[0] == columns(2));
    CHECK(add.run({columns(2), kWhole}).inputs[0] == kWhole);
    CHECK(add.run({Layout::partial(), Layout::partial()}).inputs[0] == kWhole);
    const Stage act(OpKind::activation, {8, 8}, {8});
    CHECK(act.run({columns(2), columns(2)}).outputs[0] == columns(2));
    const Stage gate(OpKind::multiply, {8, 1}, {8});
    CHECK(gate.run({columns(2), kWhole}).outputs[0] == columns(2));
    CHECK(gate.run({columns(2), columns(2)}).inputs[1] == kWhole);
}

TEST_CASE("gate over up in one input must be cut by halves") {
    const Stage act(OpKind::activation, {16}, {8});
    CHECK(act.run({columns(2)}).inputs[0] == kWhole);
    const auto halves =
        Layout::columns({.kind = SplitKind::packed, .dim = 1, .parts = 2, .blocks = 2});
    CHECK(act.run({halves}).inputs[0] == halves);
    CHECK(act.run({halves}).outputs[0] == columns(2));
}

TEST_CASE("a fused projection unpacks split when whole heads lie together") {
    Stage stage(OpKind::unpack_qkv, {24}, {8, 8, 8});
    stage.op().spec.attention = AttentionSpec{.heads = 4, .kv_heads = 4, .head_dim = 2};
    stage.op().spec.packing = QkvPacking::per_head;
    CHECK(stage.run({columns(2)}).outputs == std::vector<Layout>(3, columns(2)));
    CHECK(stage.run({columns(3)}).inputs[0] == kWhole);  // 4 heads, 3 ranks
    stage.op().spec.packing = QkvPacking::concat;
    CHECK(stage.run({columns(2)}).inputs[0] == kWhole);
    stage.op().spec.packing = QkvPacking::per_kv_group;
    stage.op().spec.attention->kv_heads = 1;
    CHECK(stage.run({columns(2)}).inputs[0] == kWhole);
}

TEST_CASE("attention runs on own heads when the KV heads they read are there") {
    Stage stage(OpKind::attention, {8, 4, 4}, {8});
    stage.op().spec.attention = AttentionSpec{.heads = 4, .kv_heads = 2, .head_dim = 2};
    CHECK(stage.run({columns(2), columns(2), columns(2)}).outputs[0] == columns(2));
    CHECK(stage.run({kWhole, kWhole, kWhole}).outputs[0] == kWhole);
    CHECK(stage.run({columns(2), kWhole, kWhole}).inputs[0] == kWhole);
    CHECK(stage.run({columns(4), columns(4), columns(4)}).inputs[0] == kWhole);  // half heads
    const auto copied =
        Layout::columns({.kind = SplitKind::grouped, .dim = 1, .parts = 4, .blocks = 2, .unit = 2});
    CHECK(stage.run({columns(4), copied, copied}).outputs[0] == columns(4));
    // sinks are one per query head and must be cut with them
    stage.weight({});
    CHECK(stage.run({columns(2), columns(2), columns(2)}).inputs[0] == kWhole);
    stage.cuts[0].split = {.kind = SplitKind::chunk, .dim = 0, .parts = 2};
    CHECK(stage.run({columns(2), columns(2), columns(2)}).inputs[0] == columns(2));
}

TEST_CASE("latent attention shares one rotated key between the ranks") {
    Stage stage(OpKind::attention, {8, 2, 16}, {8});
    stage.op().spec.attention =
        AttentionSpec{.heads = 4, .kv_heads = 4, .head_dim = 2, .latent_width = 6};
    const auto split = stage.run({columns(4), kWhole, columns(4)});
    CHECK(split.inputs == std::vector<Layout>{columns(4), kWhole, columns(4)});
    CHECK(split.outputs[0] == columns(4));
    const Stage rope(OpKind::rope, {8, 2}, {8, 2});
    CHECK(rope.run({columns(4), kWhole}).outputs == std::vector<Layout>{columns(4), kWhole});
}

TEST_CASE("experts leave partial sums when their weights are cut") {
    Stage stage(OpKind::moe_experts, {8, 4}, {8});
    stage.weight({});
    CHECK(stage.run({kWhole, kWhole}).outputs[0] == kWhole);
    stage.cuts[0].split = {.kind = SplitKind::packed, .dim = 1, .parts = 2, .blocks = 2};
    CHECK(stage.run({columns(2), kWhole}).inputs[0] == kWhole);
    CHECK(stage.run({kWhole, kWhole}).outputs[0] == Layout::partial());
}

TEST_CASE("candidates are every rank's own, the best of them is of all") {
    Stage stage(OpKind::largest, {8}, {4});
    stage.op().spec.largest = LargestSpec{};
    CHECK(stage.run({kWhole}).inputs[0] == kWhole);
    CHECK(stage.run({kWhole}).outputs[0] == kWhole);
    // However unevenly the columns are cut, there are as many candidates of each rank.
    const auto uneven =
        Layout::columns({.kind = SplitKind::balanced, .dim = 1, .parts = 2, .unit = 3});
    CHECK(stage.run({uneven}).inputs[0] == uneven);
    CHECK(stage.run({uneven}).outputs[0] == columns(2));
    stage.op().spec.largest->of_pairs = true;
    CHECK(stage.run({columns(2)}).inputs[0] == kWhole);
    CHECK(stage.run({columns(2)}).outputs[0] == kWhole);
}
