#include "executor/local.h"

#include "core/error.h"
#include "tests/support/catch.h"

using namespace tplan;

namespace {

Buffer cut_buffer(const std::string& name, std::int64_t width, const Split& split) {
    return {.name = name, .width = width, .layout = Layout::columns(split)};
}

ShardedTensor tensor(std::vector<std::int64_t> shape, const Split& split) {
    ShardedTensor t;
    t.name = "model.layers.*.w";
    t.shape = std::move(shape);
    t.split = split;
    return t;
}

Section section(const std::string& name, std::vector<Step> steps) {
    Section s;
    s.name = name;
    s.steps = std::move(steps);
    return s;
}

}  // namespace

TEST_CASE("a rank's part of a weight is rows, columns, or a piece of a vector", "[executor]") {
    const Split rows{.kind = SplitKind::chunk, .dim = 0, .parts = 3};
    const Split columns{.kind = SplitKind::chunk, .dim = 1, .parts = 3};
    const Split halves{.kind = SplitKind::packed, .dim = 0, .parts = 2};

    CHECK(local_weight(tensor({10, 4}, rows), 2).rows == std::vector<Slice>{{8, 2}});
    CHECK(local_weight(tensor({10, 4}, rows), 2).column_count() == 4);
    CHECK(local_weight(tensor({10, 4}, columns), 2).columns.empty());
    CHECK(local_weight(tensor({10, 4}, columns), 1).columns == std::vector<Slice>{{2, 2}});
    CHECK(local_weight(tensor({12, 4}, halves), 1).rows == std::vector<Slice>{{3, 3}, {9, 3}});
    CHECK(local_weight(tensor({10}, rows), 0).columns == std::vector<Slice>{{0, 4}});
    CHECK(local_weight(tensor({10}, rows), 0).row_count() == 1);
    CHECK(local_weight(tensor({10, 4}, Split{}), 7).elements() == 40);
}

TEST_CASE("a whole bias is cut as the columns it is added to", "[executor]") {
    const Split cut{.kind = SplitKind::chunk, .parts = 2};
    const auto bias = tensor({6}, Split{});
    CHECK(local_bias(bias, cut_buffer("x", 6, cut), 1).columns == std::vector<Slice>{{3, 3}});
    CHECK(local_bias(bias, {.name = "x", .width = 6, .layout = {}}, 1).columns ==
          std::vector<Slice>{{0, 6}});
}

TEST_CASE("names carry the layer, tied tensors the name of their owner", "[executor]") {
    auto t = tensor({2}, Split{});
    CHECK(weight_name(t, 12) == "model.layers.12.w");
    t.tied = true;
    t.tied_to = "embed.weight";
    CHECK(weight_name(t, -1) == "embed.weight");
}

TEST_CASE("a weight of the next layer is the last one's own after the last layer", "[executor]") {
    Program program;
    program.sections.resize(4);  // embedding, two kinds of layers, head
    program.order = {0, 1, 2, 1, 3};
    program.order_layer = {-1, 0, 1, 2, -1};
    const WeightRef next{.tensor = 5, .next_layer = true, .last = 9};
    const auto at = [&](int section, int layer) {
        const auto instance = resolve(next, program, section, layer);
        return std::pair(instance.tensor, instance.layer);
    };
    CHECK(at(0, -1) == std::pair(5, 0));
    CHECK(at(1, 0) == std::pair(5, 1));
    CHECK(at(2, 1) == std::pair(5, 2));
    CHECK(at(1, 2) == std::pair(9, -1));
    const auto plain = resolve({.tensor = 5}, program, 1, 2);
    CHECK(plain.tensor == 5);
    CHECK(plain.layer == 2);
}

TEST_CASE("steps run in the order of the model, layer by layer", "[executor]") {
    Program program;
    program.sections = {section("embedding", {{.name = "embed"}}),
                        section("layer", {{.name = "a"}, {.name = "b"}})};
    program.order = {0, 1, 1};
    program.order_layer = {-1, 0, 1};
    std::vector<std::string> ids;
    for (const auto& step : executed_steps(program)) ids.push_back(step.id);
    CHECK(ids == std::vector<std::string>{"embed", "layers.0.a", "layers.0.b", "layers.1.a",
                                          "layers.1.b"});
}

TEST_CASE("outputs of a fused linear lie side by side; conflicting wishes are refused",
          "[executor]") {
    const Split cut{.kind = SplitKind::chunk, .parts = 2};
    Program program;
    program.buffers = {
        {.name = "x", .width = 4, .layout = {}}, cut_buffer("q", 6, cut), cut_buffer("k", 5, cut)};
    Step fused{.kind = OpKind::linear, .name = "qk", .inputs = {0}, .outputs = {1, 2}};
    program.sections = {section("layer", {fused})};
    const auto places = place_buffers(program, 1);
    CHECK(places.places[1].allocation == places.places[2].allocation);
    CHECK(places.places[1].column == 0);
    CHECK(places.places[2].column == 3);
    CHECK(places.widths[0] == 5);  // 3 of 6 and the last 2 of 5
    CHECK(places.places[0].allocation != places.places[1].allocation);

    auto turned = fused;
    turned.outputs = {2, 1};
    program.sections[0].steps.push_back(turned);
    CHECK_THROWS_AS(place_buffers(program, 0), Error);
}

TEST_CASE("query heads find their KV head among those the rank holds", "[executor]") {
    Step step{.kind = OpKind::attention, .name = "attention", .inputs = {0, 1, 2}};
    step.spec.attention = AttentionSpec{.heads = 2, .kv_heads = 1, .head_dim = 8, .v_head_dim = 8};
    const Split queries{.kind = SplitKind::chunk, .parts = 4};
    Program program;
    // 8 query heads over 2 KV heads on 4 ranks: KV heads are copied
    const Split copied{.kind = SplitKind::grouped, .parts = 4, .unit = 8};
    program.buffers = {cut_buffer("q", 64, queries), cut_buffer("k", 16, copied),
                       cut_buffer("v", 16, copied)};
    CHECK(kv_of_heads(program, step, 1) == std::vector<std::int32_t>{0, 0});
    CHECK(held_heads(program.buffers[1], 8, 1) == std::vector<std::int64_t>{0});
    CHECK(held_heads(program.buffers[1], 8, 2) == std::vector<std::int64_t>{1});
    // replicated keys: every rank has all of them
    program.buffers[1] = {.name = "k", .width = 16, .layout = {}};
    CHECK(kv_of_heads(program, step, 3) == std::vector<std::int32_t>{1, 1});
    // keys cut apart from their queries
    program.buffers[1] = cut_buffer("k", 16, {.kind = SplitKind::chunk, .parts = 4});
    CHECK_THROWS_AS(kv_of_heads(program, step, 1), Error);
}

TEST_CASE("a decode step with a window caches only that window", "[executor]") {
    const AttentionSpec sliding{.window = 8};
    CHECK(cached_tokens(sliding, {.phase = Phase::decode, .context = 100}) == 8);
    CHECK(cached_tokens(sliding, {.phase = Phase::decode, .context = 5}) == 5);
    CHECK(cached_tokens(sliding, {.phase = Phase::prefill, .input = 100}) == 100);
    CHECK(cached_tokens({}, {.phase = Phase::decode, .context = 100}) == 100);
}

TEST_CASE("of experts a rank holds some, or the same part of each", "[executor]") {
    // [3 experts, 4 out, 2 in]: row 4 e + o of a matrix
    const auto whole = local_weight(tensor({3, 4, 2}, Split{}), 0);
    CHECK(whole.rows == std::vector<Slice>{{0, 4}, {4, 4}, {8, 4}});
    CHECK(whole.stack == 3);
    const auto some =
        local_weight(tensor({3, 4, 2}, {.kind = SplitKind::chunk, .dim = 0, .parts = 2}), 1);
    CHECK(some.rows == std::vector<Slice>{{8, 4}});
    CHECK(some.stack == 1);
    const auto halves =
        local_weight(tensor({3, 4, 2}, {.kind = SplitKind::packed, .dim = 1, .parts = 2}), 1);
    CHECK(halves.rows == std::vector<Slice>{{1, 1}, {3, 1}, {5, 1}, {7, 1}, {9, 1}, {11, 1}});
    CHECK(halves.stack == 3);
    const auto inner =
        local_weight(tensor({3, 4, 2}, {.kind = SplitKind::chunk, .dim = 2, .parts = 2}), 1);
    CHECK(inner.columns == std::vector<Slice>{{1, 1}});
    CHECK(inner.row_count() == 12);
    const auto none =
        local_weight(tensor({1, 4, 2}, {.kind = SplitKind::chunk, .dim = 0, .parts = 2}), 1);
    CHECK(none.stack == 0);
    CHECK(none.elements() == 0);
}

TEST_CASE("pairs of values and indices are known wherever they are moved", "[executor]") {
    Program program;
    program.buffers.resize(5);  // logits, candidates, those of all ranks, choice, hidden
    Step reduce{.kind = OpKind::all_reduce}, keep{.kind = OpKind::largest},
        gather{.kind = OpKind::all_gather}, best{.kind = OpKind::largest};
    reduce.inputs = reduce.outputs = {4};
    keep.inputs = {0};
    keep.outputs = {1};
    gather.inputs = {1};
    gather.outputs = {2};
    best.inputs = {2};
    best.outputs = {3};
    program.sections = {section("head", {reduce, keep, gather, best})};
    CHECK(pair_buffers(program) == std::vector<bool>{false, true, true, true, false});
}
