// accelerate's own words for the rest of a training plan (src/accelerate/utils/dataclasses.py:
// GradientAccumulationPlugin, FullyShardedDataParallelPlugin).
#include "app/export/targets.h"

namespace tplan {
namespace {

const char* python(bool value) {
    return value ? "True" : "False";
}

const char* mixed_precision(DType dtype) {
    return dtype == DType::bf16 ? "bf16" : dtype == DType::fp16 ? "fp16" : "no";
}

}  // namespace

void note_training(const PlanDocument& plan, ExportDocument& out) {
    const auto& training = *plan.request.training;
    if (plan.tp > 1 && plan.request.plan.kernels == Kernels::served) {
        out.deviations.emplace_back(
            "the plan has fused projections and a vocabulary-parallel loss; transformers runs "
            "modules and gathers the logits (plan with --kernels hf)");
    }
    if (training.recompute == Recompute::selective) {
        out.deviations.emplace_back(
            "accelerate recomputes whole layers or nothing, the plan norms and activations");
    }
    if (training.mesh.tp > 1 && training.mesh.dp_shard > 1 &&
        plan.request.plan.transformers == Transformers::v5_16) {
        out.deviations.emplace_back(
            "transformers 5.16 refuses tp_size beside fsdp_size in its own configuration: load "
            "with the TP mesh of accelerate");
    }
}

std::string training_accelerator(const PlanDocument& plan) {
    const auto& training = *plan.request.training;
    std::string text = "accelerator = Accelerator(\n    parallelism_config=parallelism_config,\n";
    text += fmt::format("    mixed_precision=\"{}\",\n", mixed_precision(plan.workload.dtype));
    if (training.mesh.dp_shard > 1) {
        text += fmt::format(
            "    fsdp_plugin=FullyShardedDataParallelPlugin(\n        fsdp_version=2,\n        "
            "reshard_after_forward=True,\n        "
            "auto_wrap_policy=\"transformer_based_wrap\",\n        "
            "activation_checkpointing={},\n    ),\n",
            python(training.recompute == Recompute::full));
    }
    if (training.accumulate > 1) {
        text += fmt::format(
            "    gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps={}, "
            "sync_each_batch={}),\n",
            training.accumulate, python(training.mesh.dp_shard > 1));
    }
    text += ")\n";
    if (training.recompute == Recompute::full && training.mesh.dp_shard == 1)
        text += "model.gradient_checkpointing_enable()\n";
    text += fmt::format("# {} sequences of {} tokens each micro-batch; optimizer torch.optim.{}\n",
                        plan.workload.batch, plan.workload.input,
                        training.optimizer == Optimizer::adamw ? "AdamW" : "SGD");
    return text;
}

}  // namespace tplan
