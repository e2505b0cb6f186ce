#include "planner/document.h"
#include "tests/support/catch.h"
#include "tests/support/golden.h"

using namespace tplan;
using namespace tplan::test;

namespace {

struct GoldenPlan {
    const char* model;
    const char* hardware;
    int tp;
    Phase phase;
    LayoutChoice layout;
    int last_layer;  // kept: those after it say the same again
};

/// Models that between them use every style the shipped plans have and every shape of layer.
constexpr std::array kPlans = {
    GoldenPlan{"qwen3-0.6b", "h100-sxm", 2, Phase::prefill, LayoutChoice::hf, 0},
    GoldenPlan{"llama-3.1-8b", "a100-sxm", 4, Phase::decode, LayoutChoice::best, 0},
    GoldenPlan{"llama-3.1-405b", "h100-sxm", 8, Phase::decode, LayoutChoice::hf, 0},
    GoldenPlan{"phi-4", "l40s", 2, Phase::decode, LayoutChoice::hf, 0},
    GoldenPlan{"gemma-2-9b", "h200-sxm", 8, Phase::prefill, LayoutChoice::hf, 1},
    GoldenPlan{"gemma-3-27b", "b200-sxm", 4, Phase::decode, LayoutChoice::best, 1},
    GoldenPlan{"qwen3-32b-fp8", "h100-sxm", 4, Phase::decode, LayoutChoice::hf, 0},
    GoldenPlan{"mixtral-8x7b", "h100-sxm", 2, Phase::decode, LayoutChoice::hf, 0},
    GoldenPlan{"deepseek-v3", "h200-sxm", 8, Phase::decode, LayoutChoice::hf, 3},
    GoldenPlan{"llama-3.1-8b-awq", "rtx-4090", 2, Phase::decode, LayoutChoice::best, 0},
    GoldenPlan{"qwen2.5-7b-gptq", "l40s", 4, Phase::decode, LayoutChoice::hf, 0},
    GoldenPlan{"gpt2", "rtx-4090", 1, Phase::prefill, LayoutChoice::hf, 0},
};

template <class T, class LayerOf>
void keep_first_layers(std::vector<T>& items, int last, const LayerOf& layer_of) {
    std::erase_if(items, [&](const T& item) { return layer_of(item) > last; });
}

int layer_in_name(const std::string& name) {
    for (std::size_t i = 0; i < name.size(); ++i) {
        if (std::isdigit(static_cast<unsigned char>(name[i])) && i > 0 && name[i - 1] == '.')
            return std::stoi(name.substr(i));
    }
    return -1;
}

}  // namespace

TEST_CASE("plans of twelve models are byte-equal to the reviewed ones") {
    for (const auto& golden : kPlans) {
        INFO(golden.model);
        const auto config = load_model_config(golden.model);
        PlanRequest request;
        request.plan.tp = golden.tp;
        request.plan.layout = golden.layout;
        request.workload.phase = golden.phase;
        request.workload.batch = 4;
        request.workload.dtype = config.dtype;
        request.workload.kv_dtype = config.dtype;
        auto result = make_plan_document(config, load_hardware(golden.hardware), request);
        REQUIRE(result.document);
        auto& plan = *result.document;
        // Potentials are thousands of numbers that follow from the prices; `check` tests them.
        if (plan.certificate) plan.certificate->potentials = {};
        keep_first_layers(plan.tensors, golden.last_layer,
                          [](const TensorShards& tensor) { return layer_in_name(tensor.name); });
        keep_first_layers(plan.predicted.ops, golden.last_layer,
                          [](const OpEstimate& op) { return op.layer; });
        auto document = to_json(plan);
        document.erase("hardware");  // is itself a file of the tree
        document.erase("model");
        check_golden(std::string("plans/") + golden.model + ".json", json_text(document));
    }
}
