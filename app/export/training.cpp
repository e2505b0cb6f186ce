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

std::string torchrun_flags(const PlanDocument& plan) {
    const auto ranks = plan.mesh.ranks();
    const auto devices = std::int64_t{plan.hardware.devices};
    if (ranks <= devices) return fmt::format("--nproc-per-node {}", ranks);
    return fmt::format("--nnodes {} --nproc-per-node {}", (ranks + devices - 1) / devices, devices);
}

std::string megatron_training_flags(const PlanDocument& plan, ExportDocument& out) {
    const auto& training = *plan.request.training;
    const auto& work = plan.workload;
    if (training.mesh.dp_shard > 1 && training.mesh.dp_replicate > 1) {
        out.deviations.push_back(fmt::format(
            "Megatron shards over all {} groups, the plan over {} with {} replicas",
            training.mesh.data_parallel(), training.mesh.dp_shard, training.mesh.dp_replicate));
    }
    if (training.recompute == Recompute::selective) {
        out.deviations.emplace_back(
            "Megatron recomputes attention selectively, the plan norms and activations");
    }
    auto text =
        fmt::format(" --seq-length {} --micro-batch-size {} --global-batch-size {}", work.input,
                    work.batch, work.batch * training.accumulate * training.mesh.data_parallel());
    if (work.dtype != DType::fp32) text += fmt::format(" --{}", name_of(work.dtype));
    text += fmt::format(" --optimizer {}", training.optimizer == Optimizer::adamw ? "adam" : "sgd");
    if (training.recompute == Recompute::full)
        text += " --recompute-granularity full --recompute-method uniform --recompute-num-layers 1";
    if (training.recompute == Recompute::selective) text += " --recompute-granularity selective";
    if (training.mesh.dp_shard > 1)
        text += " --use-torch-fsdp2 --no-gradient-accumulation-fusion --ckpt-format torch_dist";
    return text;
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
    text += fmt::format("# a micro-batch has {} x {} tokens; optimizer torch.optim.{}\n",
                        plan.workload.batch, plan.workload.input,
                        training.optimizer == Optimizer::adamw ? "AdamW" : "SGD");
    return text;
}

}  // namespace tplan
