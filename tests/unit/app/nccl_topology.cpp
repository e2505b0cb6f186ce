#include "app/nccl_topology.h"

#include <random>

#include "core/error.h"
#include "tests/support/catch.h"

using namespace tplan;
using Catch::Matchers::Contains;

namespace {

/// Four GPUs on two sockets, two behind each of two PCIe switches, all at two NVSwitches; one has a
/// NIC beside it.
const std::string kSwitched = R"(<system version="1">
  <cpu host_hash="0x5" numaid="0" affinity="ff" arch="x86_64" vendor="GenuineIntel" familyid="6" modelid="9">
    <pci busid="0000:10:00.0" class="0x060400" vendor="0x1000" device="0xc030" link_speed="32.0 GT/s PCIe" link_width="16">
      <pci busid="0000:11:00.0" class="0x030200" link_speed="32.0 GT/s PCIe" link_width="16">
        <gpu dev="0" sm="90" rank="0" gdr="1">
          <nvlink target="0000:80:00.0" count="10" tclass="0x068000"/>
          <nvlink target="0000:81:00.0" count="8" tclass="0x068000"/>
        </gpu>
      </pci>
      <pci busid="0000:12:00.0" class="0x030200" link_speed="32.0 GT/s PCIe" link_width="16">
        <gpu dev="1" sm="90" rank="1" gdr="1">
          <nvlink target="0000:80:00.0" count="18" tclass="0x068000"/>
        </gpu>
      </pci>
      <pci busid="0000:13:00.0" class="0x020700" link_speed="32.0 GT/s PCIe" link_width="16">
        <nic>
          <net name="mlx5_0" dev="0" speed="400000" port="1" latency="0.000000" guid="0xa" maxconn="131072" gdr="1"/>
        </nic>
      </pci>
    </pci>
    <nic>
      <net name="eth0" dev="1" speed="10000" port="0" guid="0x0" gdr="0"/>
    </nic>
  </cpu>
  <cpu host_hash="0x5" numaid="1" affinity="ff00" arch="x86_64" vendor="GenuineIntel" familyid="6" modelid="9">
    <pci busid="0000:20:00.0" class="0x060400" link_speed="32.0 GT/s PCIe" link_width="16">
      <pci busid="0000:2A:00.0" class="0x030200" link_speed="16.0 GT/s PCIe" link_width="8">
        <gpu dev="2" sm="90" rank="2" gdr="1">
          <nvlink target="0000:80:00.0" count="18" tclass="0x068000"/>
        </gpu>
      </pci>
      <pci busid="0000:21:00.0" class="0x060400" link_speed="32.0 GT/s PCIe" link_width="16">
        <pci busid="0000:22:00.0" class="0x030200" link_speed="32.0 GT/s PCIe" link_width="16">
          <gpu dev="3" sm="90" rank="3" gdr="1">
            <nvlink target="0000:80:00.0" count="18" tclass="0x068000"/>
          </gpu>
        </pci>
      </pci>
      <pcilink target="0000:10:00.0"/>
    </pci>
  </cpu>
</system>
)";

/// GPUs of a virtual machine, which does not say how they are plugged in.
std::string plain(const std::string& first_gpu, const std::string& second_gpu, int second_node) {
    const auto cpu = [](int node, const std::string& inner) {
        return fmt::format(R"(<cpu numaid="{}" arch="x86_64" vendor="AuthenticAMD">{}</cpu>)", node,
                           inner);
    };
    const std::string end = R"(" class="0x030200" link_speed="" link_width="0">)";
    const auto one = R"(<pci busid="0001:00:00.0)" + end + first_gpu + "</pci>";
    const auto two = R"(<pci busid="0002:00:00.0)" + end + second_gpu + "</pci>";
    const auto body = second_node == 0 ? cpu(0, one + two) : cpu(0, one) + cpu(second_node, two);
    return R"(<system version="2">)" + body + "</system>";
}

std::string gpu(int number, int sm, const std::string& lanes = {}) {
    return fmt::format(R"(<gpu dev="{}" sm="{}" rank="0" gdr="1">{}</gpu>)", number, sm, lanes);
}

std::string complaint(const std::string& text) {
    try {
        parse_nccl_topology(text, "t.xml");
        return {};
    } catch (const Error& error) {
        return error.what();
    }
}

std::string replaced(std::string text, const std::string& what, const std::string& by) {
    const auto at = text.find(what);
    REQUIRE(at != std::string::npos);
    return text.replace(at, what.size(), by);
}

}  // namespace

TEST_CASE("a topology of NCCL: GPUs, lanes, paths, NICs, and the link of profiles") {
    const auto node = parse_nccl_topology(kSwitched, "t.xml");
    REQUIRE(node.gpus.size() == 4);
    CHECK(node.gpus[0].switch_lanes == 18);
    CHECK(node.gpus[0].switches == std::vector<std::string>{"0000:10:00.0"});
    CHECK(node.gpus[0].link == "32.0 GT/s PCIe x16");
    CHECK(node.gpus[2].address == "0000:2a:00.0");
    CHECK(node.gpus[2].link == "16.0 GT/s PCIe x8");
    CHECK(node.gpus[2].numa_node == 1);
    CHECK(node.gpus[3].switches == std::vector<std::string>{"0000:20:00.0", "0000:21:00.0"});
    REQUIRE(node.paths.size() == 6);
    for (const auto& path : node.paths) {
        CHECK(path.path == "NVLink");
        CHECK(path.lanes == 18);
    }
    REQUIRE(node.nics.size() == 2);
    CHECK(node.nics[0].name == "mlx5_0");
    CHECK(node.nics[0].address == "0000:13:00.0");
    CHECK(node.nics[0].bandwidth == Bandwidth(50e9));
    CHECK(node.nics[0].reads_gpus);
    CHECK(node.nics[1].address.empty());
    CHECK_FALSE(node.nics[1].reads_gpus);
    REQUIRE(node.link);
    CHECK(node.link->kind == LinkKind::nvlink);
    CHECK(node.link->topology == Topology::all_to_all);
    CHECK(node.link->devices == 4);
    CHECK_THAT(node.profiles, Catch::VectorContains(std::string("h100-sxm")));
    CHECK_THAT(node.profiles, !Catch::VectorContains(std::string("a100-sxm")));
    CHECK(node.notes == std::vector<std::string>{"not read: <pcilink> in <pci>"});
    CHECK_THAT(topology_text(node),
               Contains("GPU 0: sm_90 at 0000:11:00.0, 32.0 GT/s PCIe x16, behind 0000:10:00.0, 18 "
                        "NVLink lanes to switches, NUMA node 0") &&
                   Contains("NVLink x18") &&
                   Contains("NIC mlx5_0: 50.0 GB/s at 0000:13:00.0, NUMA node 0, reads") &&
                   Contains("link: nvlink, all-to-all, of 4 devices; so has h100-sxm"));
}

TEST_CASE("what lies between GPUs without NVLink is what their PCIe trees share") {
    auto text = kSwitched;
    for (const auto* count : {"\"10\"", "\"8\" tclass"}) {
        text = replaced(text, "count=" + std::string(count),
                        std::string(count).size() > 4 ? "count=\"0\" tclass" : "count=\"0\"");
    }
    for (int i = 0; i < 3; ++i) text = replaced(text, "count=\"18\"", "count=\"0\"");
    const auto node = parse_nccl_topology(text, "t.xml");
    const auto between = [&](int a, int b) {
        for (const auto& path : node.paths)
            if (path.a == a && path.b == b) return path.path;
        return std::string("no such pair");
    };
    CHECK(between(0, 1) == "one PCIe switch");
    CHECK(between(2, 3) == "PCIe switches");
    CHECK(between(0, 2) == "across sockets");
    CHECK(node.link->kind == LinkKind::pcie);
    CHECK(node.link->topology == Topology::cross_socket);

    const auto two = parse_nccl_topology(plain(gpu(0, 89), gpu(1, 89), 0), "t.xml");
    CHECK(two.paths[0].path == "one socket");
    CHECK(two.link->topology == Topology::one_root);
    CHECK_THAT(topology_text(two), Contains("PCIe link not told") && Contains("no-p2p"));
}

TEST_CASE("lanes between two GPUs are a bridge, and each end lists them") {
    const auto lanes = [](int to, int count) {
        return fmt::format(R"(<nvlink target="000{}:00:00.0" count="{}" tclass="0x030200"/>)", to,
                           count);
    };
    auto node =
        parse_nccl_topology(plain(gpu(0, 80, lanes(2, 12)), gpu(1, 80, lanes(1, 12)), 1), "t.xml");
    CHECK(node.paths[0].lanes == 12);
    CHECK(node.link->topology == Topology::all_to_all);  // of two
    // The other GPU was not part of the job: its lanes join nobody, and that is said.
    node = parse_nccl_topology(plain(gpu(0, 80, lanes(3, 12)), gpu(1, 80), 1), "t.xml");
    CHECK(node.paths[0].path == "across sockets");
    CHECK_THAT(node.notes.back(), Contains("0003:00:00.0") || Contains("no-p2p"));
    CHECK_THAT(topology_text(node), Contains("lanes to GPU 0003:00:00.0"));
}

TEST_CASE("a topology that is none is refused with file and byte") {
    CHECK_THAT(complaint(""), Contains("t.xml, byte 0") && Contains("no XML"));
    CHECK_THAT(complaint("{\"gpus\": 8}"), Contains("no XML"));
    CHECK_THAT(complaint("<graphs version=\"1\"/>"),
               Contains("t.xml, byte 1: <graphs>: expected <system>"));
    CHECK_THAT(complaint("<system version=\"3\"/>"), Contains("version 3"));
    CHECK_THAT(complaint("<system/>"), Contains("no \"version\""));
    CHECK_THAT(complaint("<system version=\"1\"/>"), Contains("without a GPU"));
    CHECK_THAT(complaint("<system version=\"1\"/><system version=\"1\"/>"),
               Contains("more than one"));
    CHECK_THAT(complaint(replaced(kSwitched, "sm=\"90\"", "sm=\"9o\"")),
               Contains("sm=\"9o\": expected an integer"));
    CHECK_THAT(complaint(replaced(kSwitched, "busid=\"0000:11:00.0\"", "busid=\"eleven\"")),
               Contains("expected a PCI address"));
    CHECK_THAT(complaint(replaced(kSwitched, "count=\"10\"", "count=\"-1\"")),
               Contains("expected 0 to 1000"));
    CHECK_THAT(complaint(replaced(kSwitched, "host_hash=\"0x5\"", "host_hash=\"0x6\"")),
               Contains("a second host"));
    CHECK_THAT(complaint(replaced(kSwitched, " count=\"10\" tclass=\"0x068000\"", " count=\"10\"")),
               Contains("no \"tclass\""));
    CHECK_THAT(complaint(std::string("<system version=\"1\">\0</system>", 30)),
               Contains("byte 20: a zero byte"));
    // The byte is that of the element.
    const auto broken = replaced(kSwitched, "dev=\"3\"", "device=\"3\"");
    CHECK_THAT(complaint(broken), Contains(fmt::format("byte {}:", broken.find("gpu device"))));
}

TEST_CASE("a topology nested or sized beyond reason is refused, not followed") {
    std::string deep = "<system version=\"1\"><cpu numaid=\"0\">";
    for (int i = 0; i < 100000; ++i) deep += "<pci busid=\"0000:00:00.0\">";
    for (int i = 0; i < 100000; ++i) deep += "</pci>";
    CHECK_THAT(complaint(deep + "</cpu></system>"), Contains("more than 64 elements inside"));
    CHECK_THAT(complaint(std::string(kTopologyBytes + 1, ' ')), Contains("more than"));
    std::string many = "<system version=\"1\"><cpu numaid=\"0\">";
    for (int i = 0; i < 65; ++i)
        many += fmt::format("<pci busid=\"{:04x}:00:00.0\">{}</pci>", i, gpu(i, 90));
    CHECK_THAT(complaint(many + "</cpu></system>"), Contains("more than 64 GPUs"));
}

TEST_CASE("a topology cut or damaged at any byte is read or refused") {
    const auto end = kSwitched.find_last_of('>');
    for (std::size_t i = 0; i < end; ++i) CHECK_FALSE(complaint(kSwitched.substr(0, i)).empty());
    std::mt19937_64 random(5);
    for (int i = 0; i < 3000; ++i) {
        auto damaged = kSwitched;
        for (int k = 0; k < 3; ++k)
            damaged[random() % damaged.size()] = static_cast<char>(random() % 256);
        complaint(damaged);  // any exception but Error ends the test
    }
}
