#include <random>

#include "cost_model/hardware.h"
#include "models/config.h"
#include "planner/check.h"
#include "planner/document.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_configs.h"

using namespace tplan;

namespace {

Json plan_document() {
    const auto config = read_model_config(test::tiny_config("qwen3"), "tiny");
    PlanRequest request;
    request.plan.tp = 2;
    request.workload.input = request.workload.context = 16;
    return to_json(make_plan_document(config, load_hardware("h100-sxm"), request).document.value());
}

/// A leaf of a document and where it stands.
struct Leaf {
    std::string path;
    Json* value;
};

void collect(Json& value, const std::string& path, std::vector<Leaf>& leaves) {
    if (value.is_object()) {
        for (auto& [key, child] : value.items()) collect(child, path + "/" + key, leaves);
    } else if (value.is_array()) {
        for (std::size_t i = 0; i < value.size(); ++i)
            collect(value[i], path + "/" + std::to_string(i), leaves);
    } else if (!value.is_null() && path != "/model/max_position_embeddings") {
        // What was not asked for, and the one number of this configuration that nothing depends on,
        // can change and leave a plan that is right in itself.
        leaves.push_back({path, &value});
    }
}

/// An edit that keeps the type, so that the reader alone cannot notice it.
Json edited(const Json& value) {
    if (value.is_boolean()) return !value.get<bool>();
    if (value.is_number_integer()) return value.get<std::int64_t>() + 1;
    if (value.is_number()) return value.get<double>() * 1.001 + 1e-9;
    return value.get<std::string>() + "x";
}

/// Whether the checker sees that something is wrong; refusing to read counts.
bool noticed(const Json& document) {
    try {
        return !check_plan(document, "plan.json").empty();
    } catch (const Error&) {
        return true;
    }
}

}  // namespace

TEST_CASE("the checker notices an edit of any number, flag or name of a plan") {
    auto document = plan_document();
    REQUIRE_FALSE(noticed(document));
    std::vector<Leaf> leaves;
    collect(document, "", leaves);
    REQUIRE(leaves.size() > 1000);
    // A sample in a fixed order: all of them take a minute.
    std::mt19937_64 random(4);
    for (int i = 0; i < 250; ++i) {
        const auto& leaf = leaves[static_cast<std::size_t>(random() % leaves.size())];
        const Json before = *leaf.value;
        *leaf.value = edited(before);
        INFO(leaf.path << ": " << before << " -> " << *leaf.value);
        CHECK(noticed(document));
        *leaf.value = before;
    }
}
