// accelerate: a mesh as its ParallelismConfig orders it, and the model on it. Its own words:
// src/accelerate/parallelism_config.py and utils/dataclasses.py.
#include "app/export/targets.h"
#include "planner/style.h"

namespace tplan {
namespace {

const char* python(bool value) {
    return value ? "True" : "False";
}

const char* mixed_precision(DType dtype) {
    return dtype == DType::bf16 ? "bf16" : dtype == DType::fp16 ? "fp16" : "no";
}

/// accelerate 1.15 cannot prepare a model that is cut by TP and to be sharded besides once
/// transformers holds its parameters as DTensors, as it does from 5.16 on: prepare() then imports
/// ReplicateParallel from transformers, which went with 5.4. Up to 5.14 parameters are plain, and
/// it can.
bool prepares(const PlanDocument& plan) {
    return plan.mesh.tp == 1 || plan.mesh.dp_shard == 1 ||
           plan.request.plan.transformers != Transformers::v5_16;
}

/// What of a training plan is run otherwise.
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
    if (prepares(plan)) return;
    out.deviations.emplace_back(
        "accelerate 1.15 gives the mesh only: its prepare() ends in an ImportError for a model "
        "that transformers 5.16 or later has cut, so that nothing is prepared here");
    if (training.mesh.dp_replicate > 1) {
        out.deviations.push_back(fmt::format(
            "transformers from 5.18 on shards over all {} groups where the plan has {} replicas",
            training.mesh.data_parallel(), training.mesh.dp_replicate));
    }
}

/// The processes of a mesh for torchrun: "--nproc-per-node 8", "--nnodes 2 --nproc-per-node 8".
std::string torchrun_flags(const PlanDocument& plan) {
    const auto ranks = plan.mesh.ranks();
    const auto devices = std::int64_t{plan.hardware.devices};
    if (ranks <= devices) return fmt::format("--nproc-per-node {}", ranks);
    return fmt::format("--nnodes {} --nproc-per-node {}", (ranks + devices - 1) / devices, devices);
}

std::string parallelism_config(const PlanDocument& plan) {
    const auto& mesh = plan.mesh;
    return fmt::format(
        "parallelism_config = ParallelismConfig(\n    dp_replicate_size={},\n    "
        "dp_shard_size={},\n    tp_size={},\n)\n",
        mesh.dp_replicate, mesh.dp_shard, mesh.tp);
}

/// The Accelerator with all that the plan fixes besides the mesh.
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
    return text + ")\n";
}

/// The training loop's own: what a micro-batch is, and the optimizer.
std::string optimizer_lines(const PlanDocument& plan) {
    const auto& training = *plan.request.training;
    return fmt::format(
        "# a micro-batch has {} x {} tokens\noptimizer = torch.optim.{}(model.parameters())\n",
        plan.workload.batch, plan.workload.input,
        training.optimizer == Optimizer::adamw ? "AdamW" : "SGD");
}

/// A script of accelerate: it builds the mesh and shards.
std::string prepared_script(const PlanDocument& plan, const TpPlan& rules) {
    const bool trains = plan.request.training.has_value();
    std::string text =
        "from accelerate import Accelerator\n"
        "from accelerate.parallelism_config import ParallelismConfig\n";
    std::vector<std::string> plugins;
    if (trains && plan.mesh.dp_shard > 1) plugins.emplace_back("FullyShardedDataParallelPlugin");
    if (trains && plan.request.training->accumulate > 1)
        plugins.emplace_back("GradientAccumulationPlugin");
    if (!plugins.empty())
        text += fmt::format("from accelerate.utils import {}\n", join(plugins, ", "));
    text += loading_imports(plan) + "\n" + parallelism_config(plan);
    text += trains ? training_accelerator(plan)
                   : "accelerator = Accelerator(parallelism_config=parallelism_config)\n";
    text += loading_lines(plan, rules, "accelerator.torch_device_mesh");
    if (!trains) return text;
    const auto& training = *plan.request.training;
    if (training.recompute == Recompute::full && training.mesh.dp_shard == 1)
        text += "model.gradient_checkpointing_enable()\n";
    return text + optimizer_lines(plan) +
           "model, optimizer = accelerator.prepare(model, optimizer)\n";
}

/// A script of transformers and torch on accelerate's mesh.
std::string sharded_script(const PlanDocument& plan, const TpPlan& rules) {
    const auto& training = *plan.request.training;
    const auto* shards =
        training.mesh.dp_replicate > 1 ? "\"dp_replicate\", \"dp_shard\"" : "\"dp_shard\"";
    const bool mixed = plan.workload.dtype != DType::fp32;
    std::string text =
        "from accelerate.parallelism_config import ParallelismConfig\n" + loading_imports(plan);
    text += fmt::format("from torch.distributed.fsdp import FSDPModule, {}fully_shard\n\n{}",
                        mixed ? "MixedPrecisionPolicy, " : "", parallelism_config(plan));
    text +=
        "device = torch.accelerator.current_accelerator(check_available=True)\n"
        "mesh = parallelism_config.build_device_mesh(device.type if device else \"cpu\")\n";
    text += loading_lines(plan, rules, "mesh");
    text += fmt::format(
        "# From 5.18 on transformers has sharded it by now; 5.16 and 5.17 leave that to torch.\n"
        "if not isinstance(model, FSDPModule):\n    sharding = dict(mesh=mesh[{}]{})\n"
        "    for layer in model.get_decoder().layers:\n        fully_shard(layer, **sharding)\n"
        "    fully_shard(model, **sharding)\n",
        shards,
        mixed ? fmt::format(", mp_policy=MixedPrecisionPolicy(\n        param_dtype=torch.{}, "
                            "reduce_dtype=torch.float32)",
                            torch_dtype(plan.workload.dtype))
              : "");
    if (training.recompute == Recompute::full) text += "model.gradient_checkpointing_enable()\n";
    if (training.accumulate > 1)
        text += fmt::format("# {} micro-batches a step, each with its gradients scattered\n",
                            training.accumulate);
    return text + optimizer_lines(plan);
}

}  // namespace

void export_accelerate(const ExportedPlan& exported, ExportDocument& out) {
    const auto& plan = exported.plan;
    const auto rules = hf_tp_plan(exported, out);
    if (!out.refusal.empty()) return;
    const auto& mesh = plan.mesh;
    if (mesh.dp_replicate > 1 && mesh.dp_shard == 1 && mesh.tp > 1) {
        out.refusal = fmt::format(
            "accelerate joins {} replicas to TP only through shards "
            "(dp_shard_size above 1); start {} groups of {} processes instead",
            mesh.dp_replicate, mesh.dp_replicate, mesh.tp);
        return;
    }
    if (plan.request.training) note_training(plan, out);
    out.text = fmt::format("# torchrun {} train.py\n", torchrun_flags(plan));
    for (const auto& deviation : out.deviations) out.text += "# " + deviation + "\n";
    out.text += prepares(plan) ? prepared_script(plan, rules) : sharded_script(plan, rules);
}

}  // namespace tplan
