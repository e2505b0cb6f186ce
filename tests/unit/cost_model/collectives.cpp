#include "cost_model/collectives.h"

#include "tests/support/catch.h"
#include "tests/unit/cost_model/toy_hardware.h"

using namespace tplan;
using Catch::Matchers::Contains;

namespace {

std::vector<CollectiveLine> toy_lines(OpKind op, const char* algorithm, int ranks,
                                      CollectiveImpl impl = CollectiveImpl::nccl, int nodes = 1) {
    auto hardware = test::toy_hardware();
    if (nodes > 1) {
        hardware.network = hardware.links[1];
        hardware.network->base_latency = Seconds(3);
        hardware.network->latency = Seconds(1);
    }
    return collective_lines(op, impl, make_group(hardware, ranks, nodes, ""), algorithm);
}

std::string group_error(int ranks, int nodes, const std::string& link) {
    try {
        make_group(test::toy_hardware(), ranks, nodes, link);
    } catch (const Error& error) {
        return error.what();
    }
    return "";
}

}  // namespace

TEST_CASE("a ring of four in numbers") {
    // LL: base 2 + 6 hops of half a second; 1.5 bytes on the wire per byte at half of 10 bytes/s.
    const auto lines = toy_lines(OpKind::all_reduce, "ring-ll", 4);
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].alpha == Catch::Approx(2 + 6 * 0.5));
    CHECK(lines[0].beta == Catch::Approx(1.5 / 5));
    // In chunks: 6 bases, hops twice as long, the whole bandwidth.
    const auto chunks = toy_lines(OpKind::all_reduce, "ring", 4);
    CHECK(chunks[0].alpha == Catch::Approx(6 * 2 + 2 * 6 * 0.5));
    CHECK(chunks[0].beta == Catch::Approx(1.5 / 10));
}

TEST_CASE("reduce-scatter and then all-gather is a ring all-reduce") {
    for (const auto& whole : collective_costs()) {
        if (whole.op != OpKind::all_reduce || whole.algorithm.substr(0, 4) != "ring") continue;
        for (const auto& part : collective_costs()) {
            if (part.algorithm != whole.algorithm || part.implementation != whole.implementation)
                continue;
            if (part.op != OpKind::all_gather && part.op != OpKind::reduce_scatter) continue;
            for (int n = 2; n <= 16; ++n) {
                CHECK(2 * part.steps(n) == whole.steps(n));
                CHECK(2 * part.wire(n) == Catch::Approx(whole.wire(n)));
            }
        }
    }
}

TEST_CASE("the cheapest line within its limits wins") {
    std::vector<CollectiveLine> lines(2);
    lines[0].alpha = lines[0].beta = 1;
    lines[0].to = 100;
    lines[1].alpha = 5;
    lines[1].beta = 0.1;
    lines[1].to = 1000;
    CHECK(cheapest_line(lines, 1) == &lines[0]);
    CHECK(cheapest_line(lines, 50) == &lines[1]);
    CHECK(cheapest_line(lines, 2000) == nullptr);
    CHECK(cheapest_line({}, 1) == nullptr);
}

TEST_CASE("every profile prices every size over any number of its GPUs, large ones not as small") {
    for (const auto& name : hardware_names()) {
        const auto hardware = load_hardware(name);
        for (const auto& link : hardware.links) {
            for (int ranks = 2; ranks <= hardware.devices; ++ranks) {
                const auto group = make_group(hardware, ranks, 1, std::string(name_of(link.kind)));
                for (const auto implementation :
                     {CollectiveImpl::nccl, CollectiveImpl::vllm, CollectiveImpl::trtllm}) {
                    INFO(name << ' ' << name_of(link.kind) << ' ' << ranks << ' '
                              << name_of(implementation));
                    const auto lines =
                        collective_lines(OpKind::all_reduce, implementation, group, "auto", {});
                    for (double bytes = 1; bytes < 1e11; bytes *= 3) {
                        const auto* line = cheapest_line(lines, bytes);
                        REQUIRE(line != nullptr);
                        if (bytes > 1e8) CHECK(line->algorithm.find("ll") == std::string::npos);
                    }
                }
            }
        }
    }
}

// All-to-all is left out: the L40S's rows above 32 KiB lie below the A100's over NVLink, by up to a
// third, and none of them says what it takes to start.
TEST_CASE("a sum or a gather is not slower over NVLink than over the PCIe of the same node") {
    for (const auto& name : hardware_names()) {
        const auto hardware = load_hardware(name);
        if (hardware.links.size() < 2) continue;
        REQUIRE(hardware.links[0].kind == LinkKind::nvlink);
        for (int ranks = 2; ranks <= hardware.links[0].devices; ++ranks) {
            for (const auto op : {OpKind::all_reduce, OpKind::all_gather, OpKind::reduce_scatter}) {
                const auto lines = [&](const char* link) {
                    return collective_lines(op, CollectiveImpl::nccl,
                                            make_group(hardware, ranks, 1, link), "auto", {});
                };
                const auto nvlink = lines("nvlink"), pcie = lines("pcie");
                for (double bytes = 256; bytes < 1e9; bytes *= 2) {
                    INFO(name << ' ' << ranks << ' ' << name_of(op) << ' ' << bytes);
                    CHECK(line_time(*cheapest_line(nvlink, bytes), bytes) <=
                          line_time(*cheapest_line(pcie, bytes), bytes));
                }
            }
        }
    }
}

TEST_CASE("shipped PCIe links: an all-reduce costs no more than its two halves") {
    for (const auto& name : hardware_names()) {
        const auto hardware = load_hardware(name);
        for (const int ranks : {2, 4, 8}) {
            const auto group = make_group(hardware, ranks, 1, "pcie");
            const auto price = [&](OpKind op, double bytes) {
                const auto lines = collective_lines(op, CollectiveImpl::nccl, group, "");
                return line_time(*cheapest_line(lines, bytes), bytes);
            };
            for (double bytes = 256; bytes < 1e9; bytes *= 2) {
                INFO(name << ' ' << ranks << ' ' << bytes);
                CHECK(price(OpKind::all_reduce, bytes) <=
                      1.15 * (price(OpKind::reduce_scatter, bytes) +
                              price(OpKind::all_gather, bytes)));
            }
        }
    }
}

TEST_CASE("rows of another host start no sooner than those of a faster link here") {
    CollectiveFit slow{.algorithm = {},
                       .ranks = {2, 4},
                       .to = {Bytes(100), Bytes(100)},
                       .latency = {Seconds(3), Seconds(8)},
                       .ramp = {Seconds(1), Seconds(1)},
                       .ramp_from = {Bytes(64), Bytes(64)},
                       .bandwidth_share = {1, 1},
                       .sharpness = {1, 1},
                       .half_width = {{0.5, 0.5, 0.5}, {0.5, 0.5, 0.5}}};
    auto large = slow;
    large.to = {Bytes(0), Bytes(0)};
    auto fast = slow;
    fast.latency = {Seconds(5), Seconds(5)};
    fast.ramp = {Seconds(2), Seconds(2)};
    fast.ramp_from = {Bytes(32), Bytes(32)};
    auto other = slow;
    other.op = OpKind::all_gather;
    std::vector rows{slow, large, other};
    raise_to(rows, {fast});
    CHECK(rows[0].latency == std::vector{Seconds(5), Seconds(8)});
    CHECK(rows[0].ramp == std::vector{Seconds(2), Seconds(1)});
    CHECK(rows[0].ramp_from == std::vector{Bytes(32), Bytes(32)});
    CHECK(rows[1] == large);
    CHECK(rows[2] == other);
}

TEST_CASE("one rank needs no collective") {
    CHECK(toy_lines(OpKind::all_reduce, "auto", 1).empty());
}

TEST_CASE("vLLM's all-reduce: own kernels for even groups up to a size, NCCL for the rest") {
    const auto a100 = load_hardware("a100-sxm"), h100 = load_hardware("h100-sxm");
    const auto algorithm = [&](const HardwareProfile& hardware, int ranks, double bytes) {
        const auto group = make_group(hardware, ranks, 1, "nvlink");
        const auto lines =
            collective_lines(OpKind::all_reduce, CollectiveImpl::vllm, group, "auto");
        return cheapest_line(lines, bytes)->algorithm;
    };
    constexpr double kKiB = 1024;
    CHECK(algorithm(a100, 2, 4096 * kKiB) == "one-shot");
    CHECK(algorithm(a100, 4, 500 * kKiB) == "one-shot");
    CHECK(algorithm(a100, 4, 600 * kKiB) == "two-shot");
    CHECK(algorithm(a100, 8, 200 * kKiB) == "one-shot");
    CHECK(algorithm(a100, 8, 300 * kKiB) == "two-shot");
    CHECK(algorithm(a100, 3, 8 * kKiB) == "ring-ll");
    CHECK(algorithm(a100, 8, 9000 * kKiB) == "ring");  // above 8 MiB
    // Where the switch adds, eight GPUs let it do so in symmetric memory, up to 64 MiB.
    CHECK(algorithm(h100, 8, 200 * kKiB) == "one-shot");
    CHECK(algorithm(h100, 8, 300 * kKiB) == "multimem");
    CHECK(algorithm(h100, 8, 65000 * kKiB) == "multimem");
    CHECK(algorithm(h100, 8, 66000 * kKiB) == "nvls");
    for (const auto& line : collective_lines(OpKind::all_reduce, CollectiveImpl::vllm,
                                             make_group(h100, 4, 1, "pcie"), "auto")) {
        CHECK(line.implementation == CollectiveImpl::nccl);
    }
}

TEST_CASE("a named algorithm is kept, an unknown one refused") {
    CHECK_THROWS_AS(toy_lines(OpKind::all_reduce, "butterfly", 4), Error);
    // NCCL's names serve where the implementation asked for has none of its own.
    CHECK(toy_lines(OpKind::all_gather, "ring", 4, CollectiveImpl::vllm).size() == 1);
}

TEST_CASE("several nodes reduce inside, then between, then gather") {
    // 8 ranks on 2 nodes of 4: inside 2*3 hops and 1.5 S at 10 B/s; between 2*1 hops and
    // 2*(1/2)*(S/4) at 1 B/s.
    const auto lines = toy_lines(OpKind::all_reduce, "ring", 8, CollectiveImpl::nccl, 2);
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].alpha == Catch::Approx(6 * 3 + 2 * (6 * 0.5 + 2 * 1)));
    CHECK(lines[0].beta == Catch::Approx(1.5 / 10 + 0.25 / 1));
}

TEST_CASE("several nodes are never faster than one of them, and their plans can be priced again") {
    for (const auto* name : {"h100-sxm", "l40s", "a100-sxm"}) {
        const auto hardware = load_hardware(name);
        for (const auto& link : hardware.links) {
            const std::string kind(name_of(link.kind));
            const auto one = make_group(hardware, 8, 1, kind),
                       two = make_group(hardware, 16, 2, kind);
            const auto nccl = CollectiveImpl::nccl;
            const auto inside = collective_lines(OpKind::all_reduce, nccl, one, "auto", {});
            const auto across = collective_lines(OpKind::all_reduce, nccl, two, "auto", {});
            for (double bytes = 256; bytes < 1e9; bytes *= 4) {
                INFO(name << ' ' << kind << ' ' << bytes);
                const auto* line = cheapest_line(across, bytes);
                REQUIRE(line != nullptr);
                CHECK(line_time(*line, bytes) > line_time(*cheapest_line(inside, bytes), bytes));
                for (const double width : line->half_width) CHECK(width >= 0.4);
                CHECK_FALSE(
                    collective_lines(OpKind::all_reduce, nccl, two, line->algorithm, {}).empty());
            }
        }
    }
}

TEST_CASE("links and degrees that do not exist are refused with what does") {
    CHECK_THAT(group_error(2, 1, "infiniband"), Contains("nvlink, pcie"));
    CHECK_THAT(group_error(5, 1, ""), Contains("nearest valid: --tp 4"));
    CHECK_THAT(group_error(5, 2, ""), Contains("network"));
    CHECK_THAT(group_error(2, 0, ""), Contains("--nodes"));
    CHECK(group_error(4, 1, "pcie").empty());
}

TEST_CASE("bridged pairs give way to the next link, with a note") {
    const auto pcie = load_hardware("a100-pcie");
    CHECK(make_group(pcie, 2, 1, "").link.kind == LinkKind::nvlink);
    const auto four = make_group(pcie, 4, 1, "");
    CHECK(four.link.kind == LinkKind::pcie);
    CHECK(four.notes.size() == 1);
}
