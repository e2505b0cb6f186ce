#include "app/export/export.h"

#include "core/files.h"
#include "planner/lower.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/planner/programs.h"

using namespace tplan;
using namespace tplan::test;

namespace {

PlanDocument plan_of(const std::string& preset, int tp, LayoutChoice layout,
                     const std::string& hardware = "h100-sxm",
                     Sampling sampling = Sampling::logits) {
    const auto config = load_model_config(preset);
    PlanRequest request;
    request.plan.tp = tp;
    request.plan.layout = layout;
    request.plan.sampling = sampling;
    request.workload.batch = 16;
    request.workload.dtype = request.workload.kv_dtype = config.dtype;
    return make_plan_document(config, load_hardware(hardware), request).document.value();
}

}  // namespace

TEST_CASE("export hf: transformers' own plan comes back as it is and plans the same") {
    for (const auto& preset :
         {"llama-3.1-8b", "qwen3-0.6b", "phi-4", "gemma-2-9b", "mixtral-8x7b"}) {
        INFO(preset);
        const auto plan = plan_of(preset, 2, LayoutChoice::hf);
        const auto exported = export_plan(plan, ExportTarget::hf);
        CHECK(exported.refusal == "");
        REQUIRE(exported.tp_plan);
        const TempDir folder;
        const auto path = folder / "tp_plan.json";
        write_file(path, export_text(exported, path));
        auto again = plan.request;
        again.plan.tp_plan = read_tp_plan(path);
        const auto planned =
            make_plan_document(load_model_config(preset), load_hardware("h100-sxm"), again);
        REQUIRE(planned.document);
        CHECK(planned.document->program.sections == plan.program.sections);
        CHECK(planned.document->tensors == plan.tensors);
        // transformers looks names up from the root; below it a rule matches nothing.
        for (const auto& [pattern, style] : *exported.tp_plan) {
            INFO(pattern);
            CHECK((pattern.starts_with("model.") || pattern == "lm_head"));
        }
        CHECK(exported.text.find("torchrun --nproc-per-node 2") != std::string::npos);
    }
}

TEST_CASE("export hf: whole experts come with the router that tells each rank its own") {
    const auto plan = plan_of("mixtral-8x7b", 4, LayoutChoice::best);
    const auto exported = export_plan(plan, ExportTarget::hf);
    REQUIRE(exported.refusal == "");
    REQUIRE(exported.tp_plan);
    const auto style = [&](const std::string& module) {
        for (const auto& [pattern, name] : *exported.tp_plan) {
            if (pattern == "model.layers.*." + module) return name;
        }
        return std::string();
    };
    CHECK(style("mlp.gate") == "ep_router");
    CHECK(style("mlp.experts.gate_up_proj") == "grouped_gemm");
    CHECK(style("mlp.experts.down_proj") == "grouped_gemm");
    CHECK(style("mlp.experts") == "moe_tp_experts");
    CHECK(exported.text.find("5.23") != std::string::npos);  // which knows no ep_router
}

TEST_CASE("export hf: a layout that splits nothing is no plan") {
    const auto config = tiny("llama");
    PlanRequest request;
    request.plan.tp = 2;
    request.workload.dtype = request.workload.kv_dtype = config.dtype;
    const auto plan = make_plan_document(config, load_hardware("h100-sxm"), request);
    REQUIRE(plan.document);
    CHECK(export_plan(*plan.document, ExportTarget::hf).refusal.find("splits nothing") !=
          std::string::npos);
}

TEST_CASE("export hf: what patterns cannot say is refused") {
    // Three ranks cut four KV heads where transformers copies none.
    const auto uneven =
        export_plan(plan_of("llama-3.1-8b", 3, LayoutChoice::best), ExportTarget::hf);
    CHECK_FALSE(uneven.refusal.empty());
    CHECK(uneven.text.empty());
    for (const auto target : {ExportTarget::vllm, ExportTarget::trtllm, ExportTarget::megatron,
                              ExportTarget::accelerate}) {
        CHECK_FALSE(
            export_plan(plan_of("llama-3.1-8b", 3, LayoutChoice::best), target).refusal.empty());
    }
}

TEST_CASE("export: a head that gathers candidates is no one else's") {
    const auto greedy = [](LayoutChoice layout) {
        return plan_of("llama-3.1-8b", 8, layout, "h100-sxm", Sampling::greedy);
    };
    const auto plan = greedy(LayoutChoice::best);
    const auto hf = export_plan(plan, ExportTarget::hf);
    CHECK(hf.refusal.find("--sampling logits") != std::string::npos);
    CHECK(hf.text.empty());
    const auto vllm = export_plan(plan, ExportTarget::vllm);
    CHECK(vllm.refusal == "");
    CHECK(vllm.text.find("vLLM gathers all logits") != std::string::npos);
    // Transformers' own plan gathers them too: nothing differs then.
    CHECK(export_plan(greedy(LayoutChoice::hf), ExportTarget::hf).refusal == "");
}

TEST_CASE("export engines: flags of the degree, and what they run otherwise") {
    const auto plan = plan_of("llama-3.1-8b", 4, LayoutChoice::hf);
    const auto vllm = export_plan(plan, ExportTarget::vllm);
    CHECK(vllm.refusal == "");
    CHECK(vllm.text.find("--tensor-parallel-size 4") != std::string::npos);
    CHECK(vllm.text.find("vllm serve meta-llama/Llama-3.1-8B ") != std::string::npos);
    CHECK(vllm.text.find("whose time this is not:\n# the embedding") != std::string::npos);
    CHECK(export_plan(plan, ExportTarget::trtllm).text.find("--tp_size 4") != std::string::npos);
    CHECK(export_plan(plan, ExportTarget::megatron).text.find("--tensor-model-parallel-size 4") !=
          std::string::npos);
    const auto accelerate = export_plan(plan, ExportTarget::accelerate);
    CHECK(accelerate.text.find("tp_size=4") != std::string::npos);
    auto replicated = plan;
    replicated.mesh.dp_replicate = 2;
    CHECK(export_plan(replicated, ExportTarget::accelerate).refusal.find("dp_shard") !=
          std::string::npos);
}
