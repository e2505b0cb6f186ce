#include "core/csv.h"
#include "core/files.h"
#include "core/json_io.h"
#include "tests/support/catch.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

using namespace tplan;
using namespace tplan::test;

namespace {

constexpr auto kOps =
    "op,dtype,m,n,k,l2,num_gpus,message_bytes,impl,mode,phase,kv_dtype,batch,q_len,kv_len,"
    "num_heads,num_kv_heads,head_dim,num_tokens,hidden,inter,topk,num_experts,tp,who\n"
    "gemm,bf16,16,4096,4096,cold,,,,,,,,,,,,,,,,,,,me\n"
    "all_reduce,bf16,,,,,8,65536,vllm-0.24.0,graph,,,,,,,,,,,,,,,me\n"
    "attention,,,,,n/a,,,,,context,bf16,1,2048,2048,32,8,128,,,,,,,me\n"
    "attention,,,,,cold,,,,,generation,fp8,64,1,2048,32,8,128,,,,,,,me\n"
    "moe,bf16,,,,,,,,,,,,,,,,,64,2048,768,8,128,2,me\n";

}  // namespace

TEST_CASE("predict prices every kind of op of one file and carries its columns through") {
    const TempDir folder;
    const auto ops = folder.file("ops.csv", kOps), out = folder / "out.csv";
    REQUIRE(run_tplan({"predict", "--hw", "h100-sxm", ops, "-o", out}).exit_code == 0);
    const auto table = load_csv(out);
    REQUIRE(table.rows() == 5);
    const auto time = static_cast<std::size_t>(table.column("predicted_us"));
    const auto low = static_cast<std::size_t>(table.column("low_us"));
    const auto high = static_cast<std::size_t>(table.column("high_us"));
    for (std::size_t r = 0; r < table.rows(); ++r) {
        INFO(r);
        CHECK(csv_number(table, r, time) > 1);
        CHECK(csv_number(table, r, time) < 10000);
        CHECK(csv_number(table, r, low) < csv_number(table, r, time));
        CHECK(csv_number(table, r, high) > csv_number(table, r, time));
        CHECK(table.cell(r, static_cast<std::size_t>(table.column("who"))) == "me");
        CHECK_FALSE(table.cell(r, static_cast<std::size_t>(table.column("provenance"))).empty());
        CHECK_FALSE(table.cell(r, static_cast<std::size_t>(table.column("domain"))).empty());
    }
    const auto printed = run_tplan({"predict", "--hw", "h100-sxm", ops});
    CHECK(printed.out == read_file(out, 1 << 20));
    const auto json = run_tplan({"predict", "--hw", "h100-sxm", ops, "--json"});
    const auto document = parse_json(json.out, "stdout");
    CHECK(document["schema"] == "tplan.predict/1");
    CHECK(document["rows"].size() == 5);
}

TEST_CASE("accuracy has the keys of its contract") {
    const TempDir folder;
    const auto rows =
        folder.file("rows.csv",
                    "dtype,m,n,k,latency_us,system\n"
                    "bf16,16,4096,4096,15,h100_sxm\nbf16,2048,4096,4096,120,h100_sxm\n");
    const auto result =
        run_tplan({"accuracy", "--hw", "h100-sxm", rows, "--system", "h100_sxm", "--json"});
    REQUIRE(result.exit_code == 0);
    const auto document = parse_json(result.out, "stdout");
    CHECK(document["schema"] == "tplan.accuracy/1");
    REQUIRE(document["groups"].size() == 3);
    for (const auto* key : {"op", "dtype", "impl", "regime", "n", "mape", "median_ape", "p90_ape",
                            "bias", "coverage_90", "half_width_90"}) {
        INFO(key);
        CHECK(document["groups"][0].contains(key));
    }
    CHECK(document["groups"][2]["regime"] == "all");
    CHECK(document["groups"][2]["n"] == 2);
    CHECK(run_tplan({"accuracy", "--hw", "h100-sxm", rows}).out.find("gemm") != std::string::npos);
}

TEST_CASE("bad rows end with exit 2 and one line that names the place") {
    const TempDir folder;
    const auto refused = [&](const std::vector<std::string>& arguments, const std::string& words) {
        const auto result = run_tplan(arguments);
        INFO(result.err);
        CHECK(result.exit_code == 2);
        CHECK(result.out.empty());
        CHECK(std::count(result.err.begin(), result.err.end(), '\n') == 1);
        CHECK(result.err.find(words) != std::string::npos);
    };
    const auto bad = folder.file("bad.csv", "dtype,m,n,k\nbf16,1,2\n");
    refused({"predict", "--hw", "h100-sxm", bad}, "bad.csv:2:9: 3 cells, the header has 4");
    const auto zero = folder.file("zero.csv", "dtype,m,n,k\nbf16,1,0,2\n");
    refused({"predict", "--hw", "h100-sxm", zero}, "zero.csv:2:8: \"n\"");
    const auto other = folder.file("other.csv", "a,b\n1,2\n");
    refused({"predict", "--hw", "h100-sxm", other}, "neither an \"op\" column");
    const auto good = folder.file("good.csv", "dtype,m,n,k\nbf16,1,2,2\n");
    refused({"predict", "--hw", "h100-sxm", folder / "none.csv"}, "none.csv");
    refused({"predict", "--hw", "h100", good}, "h100-sxm");
    refused({"predict", "--hw", "h100-sxm", good, "-o", folder / "no/out.csv"}, "no/out.csv");
    refused({"accuracy", "--hw", "h100-sxm", good}, "latency_us");
    refused({"accuracy", "--hw", "h100-sxm", good, "--where", "m"}, "COLUMN=VALUE");
}
