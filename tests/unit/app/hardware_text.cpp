#include "app/hardware_text.h"

#include "tests/support/catch.h"

using namespace tplan;
using Catch::Matchers::Contains;

TEST_CASE("the list has every profile, as text and as a document") {
    const auto text = hardware_list_text();
    const auto list = hardware_list();
    REQUIRE(list.hardware.size() == hardware_names().size());
    for (const auto& row : list.hardware) {
        const auto profile = load_hardware(row.name);
        INFO(row.name);
        CHECK_THAT(text, Contains("\n" + row.name + " "));
        CHECK(row.memory == profile.memory);
        CHECK(row.links == profile.links);
    }
}

TEST_CASE("a profile in full shows where its figures come from") {
    for (const auto& name : hardware_names()) {
        const auto profile = load_hardware(name);
        const auto text = hardware_text(profile);
        INFO(name);
        CHECK_THAT(text, Contains(profile.description));
        for (const auto& [key, source] : profile.sources) {
            INFO(key);
            CHECK_THAT(text, Contains(std::string(name_of(source.kind)) + ": " + source.ref));
        }
        CHECK_THAT(text, !Contains("no source"));
    }
}
