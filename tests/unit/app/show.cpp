#include "app/show.h"

#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_configs.h"

using namespace tplan;
using Catch::Matchers::Contains;

namespace {

std::string complaint(const std::string& what, std::optional<int> tp) {
    try {
        show(what, tp, LayoutChoice::best);
    } catch (const Error& error) {
        return error.what();
    }
    return {};
}

}  // namespace

TEST_CASE("a plan shows what its model shows at that degree") {
    const test::TempDir folder;
    const auto model = folder.file("config.json", json_text(test::tiny_config("llama")));
    PlanRequest request;
    request.plan.tp = 2;
    request.plan.layout = LayoutChoice::hf;
    const auto plan =
        make_plan_document(load_model_config(model), load_hardware("h100-sxm"), request);
    const auto file = folder.file("plan.json", json_text(plan.document.value()));
    const auto of_plan = show(file, {}, LayoutChoice::best);
    const auto of_model = show(model, 2, LayoutChoice::hf);
    REQUIRE(of_plan.document);
    CHECK(of_plan.text == of_model.text);
    CHECK(to_json(*of_plan.document) == to_json(*of_model.document));
    CHECK(of_plan.document->tensors == plan.document->tensors);
}

TEST_CASE("a degree that does not work, and one that is missing") {
    const test::TempDir folder;
    const auto model = folder.file("config.json", json_text(test::tiny_config("llama")));
    const auto refused = show(model, 3, LayoutChoice::best);
    CHECK_FALSE(refused.document);
    CHECK_THAT(refusal_text(refused.refusal.value()),
               Contains("heads_not_divisible") && Contains("degrees that work: 1 2 4"));
    CHECK_THAT(complaint(model, {}), Contains("give --tp N"));
    auto other = test::tiny_config("llama");
    other["model_type"] = "helium";
    CHECK_THAT(complaint(folder.file("other.json", json_text(other)), 2),
               Contains("no op graph") && Contains("tplan inspect"));
}
