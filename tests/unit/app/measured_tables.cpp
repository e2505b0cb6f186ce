#include "app/measured_tables.h"

#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/cost_model/toy_hardware.h"

using namespace tplan;
using namespace tplan::test;

namespace {

Tables tables_of(const std::string& text, const std::string& system = "") {
    const TempDir folder;
    return read_measured_tables({folder.file("t.csv", text)}, system, toy_hardware());
}

std::string refusal(const std::string& text, const std::string& system = "") {
    try {
        tables_of(text, system);
    } catch (const Error& error) {
        return error.what();
    }
    return "accepted";
}

const std::string kCollectives = "op,dtype,num_gpus,message_bytes,impl,mode,latency_us\n";

}  // namespace

TEST_CASE("measured rows: each kind of op becomes its table's point") {
    const auto products =
        tables_of("dtype,m,n,k,latency_us,l2\nbf16,16,32,64,5,cold\nbf16,16,32,64,3.5,warm\n");
    REQUIRE(products.gemm.size() == 2);
    CHECK(products.gemm[0].m == 16);
    CHECK(products.gemm[0].n == 32);
    CHECK(products.gemm[0].k == 64);
    CHECK(products.gemm[0].time.value == Approx(5e-6));
    CHECK_FALSE(products.gemm[0].residency.has_value());
    CHECK(products.gemm[1].residency == Residency::warm);

    const auto experts = tables_of(
        "dtype,num_tokens,hidden,inter,topk,num_experts,tp,latency_us\nbf16,8,64,128,2,16,4,9\n");
    REQUIRE(experts.moe.size() == 1);
    CHECK(experts.moe[0].ffn == 32);  // of one rank
    CHECK(experts.moe[0].experts == 16);

    const auto collectives =
        tables_of(kCollectives +
                  "all_reduce,bf16,4,1024,vllm-1,eager,7\nall_reduce,bf16,4,1024,vllm-1,graph,5\n"
                  "alltoall,bf16,4,1024,nccl,,6\nall_reduce,int8,4,1024,nccl,,6\n");
    REQUIRE(collectives.collectives.size() == 3);  // elements of one byte are another kernel
    CHECK(collectives.collectives[0].mode == CollectiveMode::eager);
    CHECK_FALSE(collectives.collectives[1].mode.has_value());  // as served
    CHECK(collectives.collectives[2].bytes == 4096);           // the whole tensor
}

TEST_CASE("measured rows: prefills over a prefix and of one token are left out") {
    const std::string head =
        "phase,kv_dtype,batch,q_len,kv_len,num_heads,num_kv_heads,head_dim,latency_us\n";
    const auto attention =
        tables_of(head +
                  "context,bf16,1,64,64,8,2,64,10\ncontext,bf16,1,64,128,8,2,64,11\n"
                  "context,bf16,1,1,1,8,2,64,12\ngeneration,fp8,4,1,99,8,2,64,13\n");
    REQUIRE(attention.attention.size() == 2);
    CHECK(attention.attention[0].time.value == Approx(10e-6));
    CHECK(attention.attention[1].kv_dtype == DType::fp8);
    CHECK_THAT(refusal(head + "context,bf16,1,1,1,8,2,64,12\n"),
               Catch::Matchers::Contains("no row that a table can use"));
}

TEST_CASE("measured rows: a file of several systems gives those of one") {
    const std::string rows =
        "system,dtype,m,n,k,latency_us\ntoy,bf16,1,8,8,5\nother,bf16,1,8,8,50\n";
    REQUIRE(tables_of(rows).gemm.size() == 1);  // the profile's own name
    CHECK(tables_of(rows).gemm[0].time.value == Approx(5e-6));
    CHECK(tables_of(rows, "other").gemm[0].time.value == Approx(50e-6));
    CHECK_THAT(refusal(rows, "oth"), Catch::Matchers::Contains("no rows of system \"oth\"") &&
                                         Catch::Matchers::Contains("toy, other"));
    CHECK_THAT(refusal("dtype,m,n,k,latency_us\nbf16,1,8,8,5\n", "toy"),
               Catch::Matchers::Contains("no file has a column \"system\""));
}

TEST_CASE("measured rows: what cannot be a table is refused with its place") {
    CHECK_THAT(refusal("dtype,m,n,k\nbf16,1,8,8\n"),
               Catch::Matchers::Contains("t.csv:1: no column \"latency_us\""));
    CHECK_THAT(refusal("dtype,m,n,k,latency_us\nbf16,1,8,8,\n"),
               Catch::Matchers::Contains("t.csv:2:12"));
    CHECK_THAT(refusal("dtype,m,n,k,latency_us\nbf16,1,8,8,-3\n"),
               Catch::Matchers::Contains("t.csv:2:12: a time of -3"));
    CHECK_THAT(refusal("a,latency_us\n1,2\n"),
               Catch::Matchers::Contains("neither an \"op\" column"));
    CHECK_THAT(refusal("dtype,m,n,k,latency_us\n"), Catch::Matchers::Contains("no row that"));
    CHECK_THAT(refusal("# not a log\n1,2\n"),
               Catch::Matchers::Contains("no figures of nccl-tests"));
    CHECK_THAT(refusal(kCollectives + "all_reduce,bf16,8,1024,nccl,,6\n"),
               Catch::Matchers::Contains("a collective of 8 GPUs; toy has 4"));
}
