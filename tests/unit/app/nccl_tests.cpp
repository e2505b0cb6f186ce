#include "app/nccl_tests.h"

#include "core/error.h"
#include "tests/support/catch.h"

using namespace tplan;

namespace {

constexpr auto kHead =
    "# nccl-tests version 2.13.11 nccl-headers=22902 nccl-library=22902\n"
    "# Collective test starting: all_reduce_perf\n"
    "# nThread 1 nGpus 2 minBytes 8 maxBytes 64 step: 2(factor) warmup iters: 5 iters: 20 agg "
    "iters: 1 validate: 1 graph: 0\n"
    "#\n"
    "# Using devices\n"
    "#  Rank  0 Group  0 Pid   9 on     node1 device  0 [0000:1b:00] NVIDIA H100 80GB HBM3\n"
    "#  Rank  1 Group  0 Pid   9 on     node1 device  1 [0000:43:00] NVIDIA H100 80GB HBM3\n"
    "#\n"
    "#                                                              out-of-place          "
    "in-place\n"
    "#       size         count      type   redop    root     time   algbw   busbw #wrong     "
    "time\n"
    "#        (B)    (elements)                               (us)  (GB/s)  (GB/s)            "
    "(us)\n";
constexpr auto kRows =
    "           0             0     float     sum      -1     5.10    0.00    0.00      0     5.0\n"
    "          32             8     float     sum      -1     6.50    4.00    4.00      0     9.9\n"
    "          64            16     float     sum      -1     7.25    8.00    8.00      0     9.9\n"
    "# Out of bounds values : 0 OK\n"
    "# Avg bus bandwidth    : 0.00\n";

std::vector<CollectivePoint> parsed(std::string head, std::string rows = kRows) {
    return parse_nccl_tests(head + rows, "run.log");
}

std::string replaced(std::string text, const std::string& what, const std::string& with) {
    for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size()))
        text.replace(at, what.size(), with);
    return text;
}

std::string refusal(const std::string& head, const std::string& rows = kRows) {
    try {
        parsed(head, rows);
    } catch (const Error& error) {
        return error.what();
    }
    return "accepted";
}

}  // namespace

TEST_CASE("nccl-tests: sizes, times out of place, ranks and the collective of a log") {
    const auto points = parsed(kHead);
    REQUIRE(points.size() == 2);  // what is below one element per rank is printed as 0 bytes
    CHECK(points[0].op == OpKind::all_reduce);
    CHECK(points[0].implementation == CollectiveImpl::nccl);
    CHECK(points[0].ranks == 2);
    CHECK(points[0].bytes == 32);
    CHECK(points[1].time.value == Approx(7.25e-6));
    CHECK_FALSE(points[0].mode.has_value());
    CHECK(parsed(replaced(kHead, "graph: 0", "graph: 4"))[0].mode == CollectiveMode::graph);
}

TEST_CASE("nccl-tests: an all-to-all is counted by rank there and as a whole tensor here") {
    const auto points = parsed(replaced(kHead, "all_reduce_perf", "alltoall_perf"));
    CHECK(points[0].op == OpKind::all_to_all);
    CHECK(points[0].bytes == 64);
}

TEST_CASE("nccl-tests: a log that does not name its program is told by bus bandwidth") {
    const auto old = replaced(kHead, "# Collective test starting: all_reduce_perf\n", "");
    CHECK(parsed(old)[0].op == OpKind::all_reduce);  // of two: busbw = algbw
    const auto halves =
        replaced(replaced(kRows, "4.00    4.00", "4.00    2.00"), "8.00    8.00", "8.00    4.00");
    CHECK(parsed(old, halves)[0].op == OpKind::reduce_scatter);
    // All-gather and all-to-all print the same figures.
    CHECK_THAT(refusal(old, replaced(halves, " sum ", " none")),
               Catch::Matchers::Contains("run.log: does not say which collective"));
    CHECK_THAT(refusal(old, replaced(kRows, "4.00    4.00", "4.00    9.00") +
                                "  128  32  float  sum  -1  8.0  8.00  24.0  0\n"),
               Catch::Matchers::Contains("does not say which collective"));
}

TEST_CASE("nccl-tests: what is not such a log, or not of one node, is refused with its place") {
    CHECK(looks_like_nccl_tests(kHead));
    CHECK(looks_like_nccl_tests("mpirun: a warning\n# nThread 1\n"));
    CHECK_FALSE(looks_like_nccl_tests("dtype,m,n,k\n"));
    CHECK_THAT(refusal("# a shell script\n", "echo 1\n"),
               Catch::Matchers::Contains("run.log: no figures of nccl-tests"));
    CHECK_THAT(refusal(kHead, "# nothing\n"), Catch::Matchers::Contains("no figures"));
    CHECK_THAT(refusal(replaced(kHead, "#  Rank  1", "#  Tank  1")),
               Catch::Matchers::Contains("1 lines \"#  Rank"));
    CHECK_THAT(refusal(replaced(kHead, "node1 device  1", "node2 device  1")),
               Catch::Matchers::Contains("ran on 2 hosts"));
    CHECK_THAT(refusal(kHead, replaced(kRows, "7.25", "7x25")),
               Catch::Matchers::Contains("run.log:14: expected a number in column 6"));
    CHECK_THAT(refusal(kHead, replaced(kRows, "7.25", "0.00")),
               Catch::Matchers::Contains("run.log:14: a time that is not above 0"));
    CHECK_THAT(refusal(kHead, "   32   8\n"),
               Catch::Matchers::Contains("run.log:12: expected a number in column 6"));
}
