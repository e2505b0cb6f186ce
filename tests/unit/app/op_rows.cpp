#include "app/op_rows.h"

#include "tests/support/catch.h"

using namespace tplan;

namespace {

std::vector<OpRow> rows_of(const std::string& text) {
    return read_op_rows(parse_csv(text, "t.csv"));
}

std::string refusal(const std::string& text) {
    try {
        rows_of(text);
    } catch (const Error& error) {
        return error.what();
    }
    return "accepted";
}

}  // namespace

TEST_CASE("op rows: a file without `op` is known by its columns") {
    const auto products = rows_of("dtype,m,n,k\nbf16,64,128,256\n");
    REQUIRE(products.size() == 1);
    CHECK(products[0].op == "gemm");
    CHECK(products[0].regime == "m<=64");
    const auto& p = std::get<ProductSize>(products[0].size);
    CHECK(p.m == 64);
    CHECK(p.n == 128);
    CHECK(p.k == 256);
    CHECK(p.residency == Residency::cold);

    const auto attention = rows_of(
        "phase,kv_dtype,batch,q_len,kv_len,num_heads,num_kv_heads,head_dim,l2\n"
        "context,bf16,4,1024,1024,32,8,128,n/a\ngeneration,fp8,2,1,9000,32,8,128,warm\n");
    CHECK(attention[0].op == "attention");
    CHECK(attention[0].regime == "prefill>=4k");
    CHECK(attention[1].regime == "decode");
    CHECK(attention[1].dtype == "fp8");
    CHECK(std::get<AttentionSize>(attention[1].size).residency == Residency::warm);
    CHECK(std::get<AttentionSize>(attention[1].size).decode);

    const auto experts =
        rows_of("dtype,num_tokens,hidden,inter,topk,num_experts,tp\nbf16,1024,4096,1536,8,128,2\n");
    CHECK(experts[0].op == "moe");
    CHECK(experts[0].regime == "m>=1024");
    CHECK(std::get<ExpertsSize>(experts[0].size).inter == 1536);
    CHECK_FALSE(holds_single_ops(parse_csv("a,b\n", "t.csv")));
}

TEST_CASE("op rows: ops of several kinds in one file, cells of the others empty") {
    const auto rows = rows_of(
        "op,dtype,m,n,k,num_gpus,message_bytes,impl,mode\n"
        "gemm,bf16,1,2,3,,,,\n"
        "all_reduce,bf16,,,,8,262144,vllm-0.24.0,\n"
        "alltoall,int8,,,,4.0,262145,nccl,eager\n"
        "all_reduce,fp32,,,,2,16777217,cpu-shm,\n");
    REQUIRE(rows.size() == 4);
    const auto& reduce = std::get<CollectiveSize>(rows[1].size);
    CHECK(reduce.implementation == CollectiveImpl::vllm);
    CHECK_FALSE(reduce.mode.value.has_value());
    CHECK(reduce.ranks == 8);
    CHECK(rows[1].impl == "vllm-0.24.0");
    CHECK(rows[1].regime == "<=256KiB");
    CHECK(rows[2].op == "all_to_all");
    CHECK(rows[2].regime == "256KiB-16MiB");
    CHECK(std::get<CollectiveSize>(rows[2].size).mode.value == CollectiveMode::eager);
    CHECK(rows[3].regime == ">16MiB");
    CHECK(std::get<CollectiveSize>(rows[3].size).implementation == CollectiveImpl::cpu_shm);
}

TEST_CASE("op rows: a refusal names the cell, what was expected and the nearest name") {
    const auto contains = [](const std::string& text, const std::string& part) {
        INFO(text);
        return text.find(part) != std::string::npos;
    };
    CHECK(contains(refusal("a,b\n1,2\n"), "t.csv:1: neither an \"op\" column"));
    CHECK(contains(refusal("op,dtype\nall_reduse,bf16\n"), "t.csv:2:1: unknown op \"all_reduse\""));
    CHECK(contains(refusal("op,dtype\nall_reduse,bf16\n"), "did you mean \"all_reduce\"?"));
    CHECK(contains(refusal("op,dtype\ngemm,bf16\n"), "t.csv:2: this op needs a column \"m\""));
    CHECK(contains(refusal("dtype,m,n,k\nbf61,1,1,1\n"), "t.csv:2:1: \"dtype\""));
    CHECK(contains(refusal("dtype,m,n,k\nbf16,0,1,1\n"), "t.csv:2:6: \"m\": expected an integer"));
    CHECK(contains(refusal("dtype,m,n,k\nbf16,1,1.5,1\n"), "t.csv:2:8: \"n\""));
    CHECK(contains(refusal("dtype,m,n,k\nbf16,1,1,\n"), "t.csv:2:10: \"k\" is empty"));
    CHECK(contains(refusal("dtype,m,n,k,l2\nbf16,1,1,1,hot\n"), "t.csv:2:12: \"l2\""));
    CHECK(contains(refusal("op,dtype,num_gpus,message_bytes,impl\nall_reduce,bf16,2,8,gloo\n"),
                   "t.csv:2:21: \"impl\""));
    const std::string attention =
        "phase,kv_dtype,batch,q_len,kv_len,num_heads,num_kv_heads,head_dim\n";
    CHECK(contains(refusal(attention + "decode,bf16,1,1,1,1,1,64\n"), "context or generation"));
    CHECK(contains(refusal(attention + "context,bf16,1,8,4,1,1,64\n"), "kv_len 4 is less than"));
    CHECK(contains(refusal(attention + "context,bf16,1,8,8,6,4,64\n"), "4 KV heads do not divide"));
    const std::string moe = "dtype,num_tokens,hidden,inter,topk,num_experts,tp\n";
    CHECK(contains(refusal(moe + "bf16,1,8,8,4,2,1\n"), "4 experts a token"));
    CHECK(contains(refusal(moe + "bf16,1,8,9,1,2,2\n"), "2 ranks do not divide inter 9"));
}
