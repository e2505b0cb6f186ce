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

namespace {

/// Exit 2, nothing on stdout, and one line that holds these words.
void check_refused(const std::vector<std::string>& arguments, const std::string& words) {
    const auto result = run_tplan(arguments);
    INFO(result.err);
    CHECK(result.exit_code == 2);
    CHECK(result.out.empty());
    CHECK(std::count(result.err.begin(), result.err.end(), '\n') == 1);
    CHECK(result.err.find(words) != std::string::npos);
}

}  // namespace

TEST_CASE("bad rows end with exit 2 and one line that names the place") {
    const TempDir folder;
    const auto bad = folder.file("bad.csv", "dtype,m,n,k\nbf16,1,2\n");
    check_refused({"predict", "--hw", "h100-sxm", bad}, "bad.csv:2:9: 3 cells, the header has 4");
    const auto zero = folder.file("zero.csv", "dtype,m,n,k\nbf16,1,0,2\n");
    check_refused({"predict", "--hw", "h100-sxm", zero}, "zero.csv:2:8: \"n\"");
    const auto other = folder.file("other.csv", "a,b\n1,2\n");
    check_refused({"predict", "--hw", "h100-sxm", other}, "neither an \"op\" column");
    const auto good = folder.file("good.csv", "dtype,m,n,k\nbf16,1,2,2\n");
    check_refused({"predict", "--hw", "h100-sxm", folder / "none.csv"}, "none.csv");
    check_refused({"predict", "--hw", "h100", good}, "h100-sxm");
    check_refused({"predict", "--hw", "h100-sxm", good, "-o", folder / "no/out.csv"}, "no/out.csv");
    check_refused({"accuracy", "--hw", "h100-sxm", good}, "latency_us");
    check_refused({"accuracy", "--hw", "h100-sxm", good, "--where", "m"}, "COLUMN=VALUE");
}

namespace {

/// One row of each kind of op, measured half as long again as predicted without tables.
std::string slower_rows(const TempDir& folder) {
    const auto ops = folder.file("ops.csv", kOps), out = folder / "priced.csv";
    REQUIRE(run_tplan({"predict", "--hw", "h100-sxm", ops, "-o", out}).exit_code == 0);
    const auto table = load_csv(out);
    const auto time = static_cast<std::size_t>(table.column("predicted_us"));
    std::string text = "latency_us";
    for (std::size_t c = 0; c < time; ++c) text += "," + table.columns[c];
    for (std::size_t r = 0; r < table.rows(); ++r) {
        text += fmt::format("\n{}", 1.5 * csv_number(table, r, time));
        for (std::size_t c = 0; c < time; ++c) text += fmt::format(",{}", table.cell(r, c));
    }
    return folder.file("slower.csv", text + "\n");
}

}  // namespace

TEST_CASE("calibrate --from lays measured rows over a profile, and they are hit") {
    const TempDir folder;
    const auto rows = slower_rows(folder), profile = folder / "mine.json";
    const auto result = run_tplan({"calibrate", "--from", rows, "--hw", "h100-sxm", "-o", profile});
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
    CHECK(result.out.find("1 GEMM, 2 attention, 1 MoE, 0 elementwise, 1 collectives") !=
          std::string::npos);
    const auto accuracy = run_tplan({"accuracy", "--hw", profile, rows, "--json"});
    REQUIRE(accuracy.exit_code == 0);
    for (const auto& group : parse_json(accuracy.out, "stdout")["groups"]) {
        INFO(group.dump());
        CHECK(group["mape"].get<double>() < 1e-4);
        CHECK(group["coverage_90"] == 1);
    }
    // Without them the same rows are a third off, and the shipped profile is as it was.
    const auto shipped = run_tplan({"accuracy", "--hw", "h100-sxm", rows, "--json"});
    for (const auto& group : parse_json(shipped.out, "stdout")["groups"])
        CHECK(group["mape"].get<double>() > 0.3);
    CHECK(run_tplan({"estimate", "llama-3.1-8b", "--hw", profile, "--tp", "8"}).exit_code == 0);
}

TEST_CASE("calibrate --from reads what nccl-tests print") {
    const TempDir folder;
    const auto log = folder.file(
        "all_reduce.log",
        "# Collective test starting: all_reduce_perf\n"
        "#  Rank  0 Group  0 Pid   9 on     node1 device  0 [0000:1b:00] NVIDIA L40S\n"
        "#  Rank  1 Group  0 Pid   9 on     node1 device  1 [0000:43:00] NVIDIA L40S\n"
        "#       size         count      type   redop    root     time   algbw   busbw #wrong\n"
        "       65536         32768      half     sum      -1    44.00    1.49    1.49      0\n"
        "    67108864      33554432      half     sum      -1   8000.0    8.39    8.39      0\n");
    const auto profile = folder / "mine.json";
    REQUIRE(run_tplan({"calibrate", "--from", log, "--hw", "l40s", "-o", profile}).exit_code == 0);
    const auto rows = folder.file("rows.csv",
                                  "op,dtype,num_gpus,message_bytes,impl,latency_us\n"
                                  "all_reduce,fp16,2,65536,nccl,44\n"
                                  "all_reduce,fp16,2,33587200,nccl,4022\n");  // half way
    const auto result = run_tplan({"accuracy", "--hw", profile, rows, "--json"});
    REQUIRE(result.exit_code == 0);
    CHECK(parse_json(result.out, "stdout")["groups"].back()["mape"].get<double>() < 1e-3);
}

TEST_CASE("calibrate --from refuses what is not measured rows, and writes nothing") {
    const TempDir folder;
    const auto out = folder / "mine.json";
    const auto refused = [](std::vector<std::string> arguments, const std::string& words) {
        arguments.insert(arguments.begin(), "calibrate");
        check_refused(arguments, words);
    };
    const auto good = folder.file("good.csv", "dtype,m,n,k,latency_us\nbf16,1,64,64,9\n");
    const auto none = folder.file("none.csv", "dtype,m,n,k\nbf16,1,64,64\n");
    const auto hole = folder.file("hole.csv", "dtype,m,n,k,latency_us\nbf16,1,64,64,\n");
    const auto log = folder.file("text.log", "# notes of a run\nit went well\n");
    refused({"--from", none, "--hw", "h100-sxm", "-o", out},
            "none.csv:1: no column \"latency_us\"");
    refused({"--from", hole, "--hw", "h100-sxm", "-o", out}, "hole.csv:2:14");
    refused({"--from", log, "--hw", "h100-sxm", "-o", out}, "no figures of nccl-tests");
    refused({"--from", good, none, "--hw", "h100-sxm", "-o", out}, "none.csv:1");
    refused({"--from", folder / "no.csv", "--hw", "h100-sxm", "-o", out}, "no.csv");
    refused({"--from", good, "--hw", "h100", "-o", out}, "h100-sxm");
    refused({"--from", good, "--hw", "h100-sxm"}, "-o");
    refused({"--from", good, "-o", out}, "--hw");
    refused({"--from", good, "--hw", "h100-sxm", "--system", "me", "-o", out}, "--system me");
    refused({"--hw", "h100-sxm", "-o", out}, "--from");
    refused({"--from", good, "--hw", "h100-sxm", "-o", folder / "no/mine.json"}, "no/mine.json");
    CHECK(folder.listing().find("mine.json") == std::string::npos);
}
