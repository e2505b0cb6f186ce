#include "cost_model/mixed_hardware.h"

#include "cost_model/estimate.h"
#include "tests/support/catch.h"
#include "tests/unit/cost_model/hand_program.h"
#include "tests/unit/cost_model/toy_hardware.h"

using namespace tplan;
using Catch::Matchers::Contains;

namespace {

std::string group_error(const std::string& hw) {
    try {
        load_group(hw);
    } catch (const Error& error) {
        return error.what();
    }
    return "";
}

}  // namespace

TEST_CASE("mixed hardware: the counts are the devices, the profiles stay") {
    const auto group = load_group("l40s:2+rtx-4090:3");
    CHECK(group.name == "l40s:2+rtx-4090:3");
    CHECK(group.devices == 5);
    REQUIRE(group.kinds);
    CHECK(group.kinds->at(0).devices == 2);
    CHECK(group.kinds->at(1).name == "rtx-4090");
    CHECK(group.kinds->at(1).devices == 3);
    CHECK(ranks_of_first(group, 5) == 2);
    CHECK(ranks_of_first(group, 1) == 1);
    CHECK(load_group("l40s") == load_hardware("l40s"));
}

TEST_CASE("mixed hardware: it meets over the slower of the links that both have, never NVLink") {
    const auto slow = load_hardware("rtx-4090").links.front();
    CHECK(load_group("h100-sxm:1+rtx-4090:1").links == std::vector{slow});
    CHECK(load_group("rtx-4090:1+h100-sxm:1").links == std::vector{slow});
    CHECK(load_group("h100-sxm:4+h200-sxm:4").links.front().kind == LinkKind::pcie);
}

TEST_CASE("mixed hardware: a document of it reads back, and an edit to either part is found") {
    auto group = load_group("l40s:2+rtx-4090:2");
    group.origin.clear();
    for (auto& kind : *group.kinds) kind.origin.clear();
    const auto document = to_json(group);
    CHECK(read_hardware(document, "group") == group);
    auto edited = document;
    edited["links"][0]["bytes_per_s"] = 2e10;
    CHECK_THROWS_WITH(read_hardware(edited, "group"), Contains("do not make up"));
    edited = document;
    edited["kinds"].push_back(document["kinds"][0]);
    CHECK_THROWS_WITH(read_hardware(edited, "group"), Contains("3 entries"));
    edited = document;
    edited["kinds"][1]["memory_bytes"] = -1;
    CHECK_THROWS_WITH(read_hardware(edited, "group"), Contains("group/kinds/1/memory_bytes"));
}

TEST_CASE("mixed hardware: spellings that are none") {
    for (const auto* hw : {"l40s+rtx-4090", "l40s:2+rtx-4090", "l40s:2", "l40s:0+l4:1",
                           "l40s:-1+l4:1", "l40s:1.5+l4:1", "l40s:x+l4:1", ":2+l4:1",
                           "l40s:2+l4:1+a10:1", "+", "l40s:9+l4:1", "l40s:5+l4:5"}) {
        INFO(hw);
        CHECK_THAT(group_error(hw), Contains("l40s:2+rtx-4090:2"));
    }
    CHECK_THAT(group_error("l40:2+l4:1"), Contains("no such hardware profile"));
    CHECK_THROWS_WITH(load_hardware("l40s:2+rtx-4090:2"), Contains("does not go here"));
}

TEST_CASE(
    "mixed hardware: a step takes as long as on the slower kind, memory is the tighter one's") {
    auto fast = test::toy_hardware(), slow = test::toy_hardware();
    fast.devices = slow.devices = 1;
    fast.name = "fast";
    fast.memory_bandwidth = Bandwidth(152);
    fast.peaks[0].rate = FlopRate(48);
    fast.memory = Bytes(20000);
    const auto program = test::decoder({}, 2);
    const auto totals = [&](const HardwareProfile& hardware) {
        return price(compile(program, hardware, {.link = "pcie"}), {});
    };
    slow.devices = 2;
    const auto of_slow = totals(slow);
    slow.devices = 1;
    const auto mixed = totals(join_kinds(fast, slow));
    CHECK(mixed.step.value == Catch::Approx(of_slow.step.value));
    CHECK(mixed.memory.capacity.value == Catch::Approx(9000));
    CHECK(totals(join_kinds(slow, fast)).step.value == Catch::Approx(of_slow.step.value));
    const auto uses = uses_by_kind(compile(program, join_kinds(fast, slow), {}), {});
    REQUIRE(uses.size() == 2);
    CHECK(uses[0].device == "fast");
    CHECK(uses[0].ranks == 1);
    CHECK(uses[0].compute < uses[1].compute);
    CHECK(uses[0].memory.capacity.value == Catch::Approx(18000));
}

TEST_CASE("two kinds: the slower link is the same whichever is named first") {
    const auto one = load_group("l40s:2+l4:2"), other = load_group("l4:2+l40s:2");
    CHECK(one.links == other.links);
    CHECK(one.links == load_hardware("l40s").links);  // of equal rates the measured, slower host
}
