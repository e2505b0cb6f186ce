#include <random>

#include "app/drift.h"
#include "app/plan_file.h"
#include "app/validated.h"
#include "app/validated_check.h"
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
    } else if (!value.is_null()) {
        // What was not asked for can change and leave a plan that is right in itself.
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

/// A calibrated processor with two points at two ranks, so that there is something to drift.
HardwareProfile calibrated_cpu() {
    auto hardware = load_hardware("h100-sxm");
    hardware.origin = "no-such-profile.json";  // nothing to compare its figures with
    hardware.backend = "cpu";
    hardware.tables = {};
    for (const std::int64_t m : {16, 32})
        hardware.tables.gemm.push_back(
            {.dtype = DType::fp32, .ranks = 2, .m = m, .n = 64, .k = 64, .time = Seconds(1e-3)});
    hardware.sources.push_back({"tables", {SourceKind::measured, "this test", "2026-01-01"}});
    return hardware;
}

/// A validated plan with measurements that nobody made: no two samples are alike.
Json validated_document() {
    const auto config = read_model_config(test::tiny_config("qwen3"), "tiny");
    PlanRequest request;
    request.plan.tp = 2;
    request.plan.layout = LayoutChoice::hf;  // quick to plan again
    request.workload.input = request.workload.context = 16;
    const auto plan = make_plan_document(config, calibrated_cpu(), request).document.value();
    Validation validation;
    auto& measured = validation.measured;
    measured.backend = "cpu";
    measured.layers = static_cast<int>(config.layers);
    std::mt19937_64 random(5);
    const auto some = [&] {
        return Seconds(1e-3 * (1 + 1e-3 * static_cast<double>(random() % 99)));
    };
    for (int i = 0; i < 7; ++i) {
        measured.step_samples.push_back({some(), i != 3});
        measured.step_tp1_samples.push_back({some(), i != 2});
    }
    for (const auto& op : plan.predicted.ops) {
        auto& samples = measured.op_samples.emplace_back();
        samples.id = op.id;
        samples.clean = "cccpccc";
        for (int i = 0; i < 7; ++i) {
            samples.times.push_back(some());
            samples.waits.push_back(some());
        }
    }
    measured.probes.resize(drift_points(plan.hardware, plan.tp).size());
    for (auto& probe : measured.probes) probe.samples = {{some(), true}, {some(), true}};
    validation.numerics.ranks_agree = true;
    validation.numerics.reference = {{.what = "small copy", .max_abs_diff = 1e-7, .largest = 0.7},
                                     {.what = "one rank", .max_abs_diff = 2e-7, .largest = 0.8}};
    derive(plan, validation);
    return write_validated(plan, validation);
}

}  // namespace

TEST_CASE("the checker says which number of a validated plan was edited") {
    auto document = validated_document();
    const auto differences = [&] {
        return check_plan_file(take_apart(document, "v.json"), "v.json").differences;
    };
    REQUIRE(differences().empty());
    REQUIRE(document["measured"]["probes"].size() == 2);
    std::vector<Leaf> leaves;
    for (const char* part : {"measured", "numerics", "comparison"})
        collect(document[part], std::string("/") + part, leaves);
    std::erase_if(leaves, [](const Leaf& leaf) { return !leaf.value->is_number(); });
    REQUIRE(leaves.size() > 500);
    // Every number outside the samples of the ops, and some of those.
    std::mt19937_64 random(6);
    for (const auto& leaf : leaves) {
        if (leaf.path.find("op") != std::string::npos && random() % 20 != 0) continue;
        const Json before = *leaf.value;
        for (const auto& value : {edited(before), Json(-1), Json(0.5), Json(1e300)}) {
            if (value == before) continue;
            *leaf.value = value;
            INFO(leaf.path << ": " << before << " -> " << value);
            bool refused = false;
            try {
                refused = !differences().empty();
            } catch (const OutOfRange&) {
                refused = true;  // check_file() makes a difference of it
            }
            CHECK(refused);
        }
        *leaf.value = before;
    }
}

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
