#include "app/inspect.h"

#include <algorithm>

#include "tests/support/catch.h"
#include "tests/support/tiny_configs.h"

using namespace tplan;

namespace {

InspectDocument inspected(const ModelConfig& config, const std::vector<int>& degrees,
                          const std::optional<TpPlan>& by_hand = {}) {
    return inspect(config, degrees, Transformers::v5_16, by_hand);
}

}  // namespace

TEST_CASE("a note on the configuration stands once") {
    auto document = test::tiny_config("llama");
    document["favourite_colour"] = "blue";
    const auto config = read_model_config(document, "tiny llama");
    REQUIRE(config.notes.size() == 1);
    const auto inspection = inspected(config, {1});
    CHECK(std::ranges::count(inspection.notes, config.notes[0]) == 1);
}
