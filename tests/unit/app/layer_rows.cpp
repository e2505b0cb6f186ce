#include "app/layer_rows.h"

#include "tests/support/catch.h"

using namespace tplan;

namespace {

std::vector<LayerOp> rows_of(const std::string& text) {
    return read_layer_rows(parse_csv(text, "t.csv"));
}

const LayerOp& op_named(const std::vector<LayerOp>& ops, const std::string& name) {
    for (const auto& op : ops) {
        if (op.op == name) return op;
    }
    FAIL("no op " + name);
    return ops.front();
}

}  // namespace

TEST_CASE("layer rows: sizes from the row, cut by tp, KV heads copied past their number") {
    const auto ops = rows_of(
        "gpu,tp,num_tokens,hidden,intermediate,num_heads,num_kv_heads,gated,"
        "attn_pre_proj_us,attn_rope_us,mlp_up_proj_us,mlp_down_proj_us,mlp_act_us,add_us\n"
        "x,4,100,64,256,8,2,1,5,6,7,8,0,\n");
    REQUIRE(ops.size() == 4);  // 0 and empty were not measured
    CHECK(ops[0].op == "attn_pre_proj");
    CHECK(ops[0].regime == "64<m<1024");
    const auto& qkv = std::get<ProductSize>(op_named(ops, "attn_pre_proj").parts.at(0).size);
    CHECK(qkv.m == 100);
    CHECK(qkv.n == (2 + 1 + 1) * 8);  // 2 query heads, 1 copied KV head twice, of 8
    CHECK(qkv.k == 64);
    const auto& rope = std::get<PassSize>(op_named(ops, "attn_rope").parts.at(0).size);
    CHECK(rope.in == 3 * 8);
    const auto& up = std::get<ProductSize>(op_named(ops, "mlp_up_proj").parts.at(0).size);
    CHECK(up.n == 2 * 64);
    const auto& down = std::get<ProductSize>(op_named(ops, "mlp_down_proj").parts.at(0).size);
    CHECK(down.k == 64);
    CHECK(down.n == 64);
}

TEST_CASE("layer rows: sizes by the model's name, sums of ops, two all-reduces") {
    const std::string header =
        "gpu,model,tp,num_tokens,allreduce_bytes,mlp_up_proj_us,linear_us,pointwise_us,"
        "vllm_graph_2ar_us,layer_vllm_graph_us\n";
    const auto ops = rows_of(header + "a,Llama-2-7b,2,32,262144,1,2,3,4,10\n");
    REQUIRE(ops.size() == 5);
    CHECK(op_named(ops, "linear").parts.size() == 4);
    CHECK(op_named(ops, "pointwise").parts.size() == 6);
    const auto& part = op_named(ops, "vllm_graph_2ar").parts.at(0);
    CHECK(part.times == 2);
    CHECK(std::get<CollectiveSize>(part.size).bytes == 262144);
    CHECK(std::get<CollectiveSize>(part.size).implementation == CollectiveImpl::vllm);
    CHECK(op_named(ops, "layer_vllm_graph").parts.size() == 4 + 6 + 1);
    // One rank reduces nothing.
    CHECK(rows_of(header + "a,Llama-2-7b,1,32,262144,1,2,3,0.0,5\n").size() == 4);
    CHECK_THROWS_WITH(rows_of(header + "a,Llama-2-7bb,1,32,262144,1,2,3,0.0,5\n"),
                      Catch::Matchers::Contains("t.csv:2:3") &&
                          Catch::Matchers::Contains("did you mean \"Llama-2-7b\"?"));
    CHECK_THROWS_WITH(rows_of(header + "a,Llama-2-7b,3,32,262144,1,2,3,0.0,5\n"),
                      Catch::Matchers::Contains("3 ranks do not divide 32 heads"));
}
