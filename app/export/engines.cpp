// Engines with one fixed layout: their degree is a flag, the rest is what it is.
#include <algorithm>

#include "app/export/targets.h"
#include "app/plan_text.h"
#include "planner/train_plan.h"

namespace tplan {
namespace {

std::size_t at(int i) {
    return static_cast<std::size_t>(i);
}

/// The choice of an engine for a linear, by what its columns count.
std::string engine_choice(const Block& block, const Op& op) {
    const auto axis = [&](int activation) { return block.activations[at(activation)].axis; };
    const auto is_cut = [](Axis a) {
        return a == Axis::heads || a == Axis::kv_heads || a == Axis::qkv || a == Axis::ffn ||
               a == Axis::vocab;
    };
    switch (op.kind) {
        case OpKind::embedding:
            return "vocabulary";
        case OpKind::linear:
            if (is_cut(axis(op.outputs[0]))) return "out";
            return is_cut(axis(op.inputs[0])) ? "in" : "replicated";
        case OpKind::moe_experts:
            return "ffn";
        default:
            return {};  // follows from the others
    }
}

/// What stands above the command: the prediction, and how far it holds for the engine.
std::string comments(const PlanDocument& plan, const ExportDocument& out) {
    auto text = fmt::format(
        "# {} at TP {}: the plan's layout is predicted to take {} a step at batch {}\n",
        plan.model_source, plan.tp, format_time(plan.predicted.step), plan.workload.batch);
    if (out.deviations.empty()) return text;
    text += fmt::format("# {} has one layout of its own, whose time this is not:\n",
                        name_of(out.target));
    for (const auto& line : out.deviations) text += "# " + line + "\n";
    return text;
}

const char* vllm_dtype(DType dtype) {
    return dtype == DType::fp16 ? "float16" : dtype == DType::fp32 ? "float32" : "bfloat16";
}

/// Engines that load no checkpoint of AutoAWQ or AutoGPTQ.
bool refuses_groups(const ExportedPlan& exported, const char* engine, ExportDocument& out) {
    const auto& method = exported.config.quant_method;
    if (method != "awq" && method != "gptq") return false;
    out.refusal = fmt::format(
        "{} loads no {} checkpoint of transformers' format; export --to vllm does", engine, method);
    return true;
}

/// The longest sequence to allow, where memory holds less than the model allows; 0: the model's.
std::int64_t length_limit(const PlanDocument& plan) {
    const auto most = plan.predicted.memory.max_context;
    return most > 0 && most < plan.program.max_positions ? most : 0;
}

bool quantises_weights(const ExportedPlan& exported) {
    return exported.plan.workload.dtype == DType::fp8 && exported.config.quant_method.empty();
}

/// What Megatron takes of a training plan besides the degree. It recomputes in another way where
/// the plan does so selectively, which is a deviation.
std::string megatron_training_flags(const PlanDocument& plan, bool tied, ExportDocument& out) {
    const auto& training = *plan.request.training;
    const auto& work = plan.workload;
    if (training.mesh.dp_shard > 1 && tied) {
        out.refusal =
            "Megatron shards with --use-torch-fsdp2, which takes no embedding shared with the "
            "head; "
            "plan without dp_shard";
        return {};
    }
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
        text +=
            " --use-torch-fsdp2 --untie-embeddings-and-output-weights"
            " --no-gradient-accumulation-fusion --ckpt-format torch_dist";
    return text;
}

}  // namespace

bool splits_experts(const ExportedPlan& exported) {
    return std::ranges::any_of(exported.plan.program.tensors, [](const ShardedTensor& tensor) {
        return tensor.shape.size() == 3 && tensor.split.kind != SplitKind::whole &&
               tensor.split.dim == 0;
    });
}

bool gathers_candidates(const ExportedPlan& exported) {
    const auto& program = exported.plan.program;
    const auto& head = program.sections[at(program.order.back())];
    return std::ranges::any_of(head.steps, [&](const Step& step) {
        return step.kind == OpKind::largest &&
               program.buffers[at(step.inputs[0])].layout.splits_columns();
    });
}

void compare_with_engine(const ExportedPlan& exported, const char* engine, bool tokens_too,
                         ExportDocument& out) {
    const auto& config = exported.config;
    const auto tp = exported.plan.tp;
    const bool heads = config.heads % tp == 0;
    const bool kv = config.kv_heads % tp == 0 || tp % config.kv_heads == 0;
    if (!heads || !kv || config.ffn % tp != 0) {
        out.refusal = fmt::format(
            "{} needs a degree that divides {} heads and {} inner columns, with {} KV heads "
            "divided or copied whole; {} does not",
            engine, config.heads, config.ffn, config.kv_heads, tp);
        return;
    }
    if (!exported.plan.layout) {
        out.deviations.emplace_back(
            "the embedding is cut by vocabulary whatever transformers' plan says");
        return;
    }
    if (gathers_candidates(exported)) {
        out.deviations.push_back(fmt::format(
            "{} gathers all logits, the plan the best candidate of every rank", engine));
    }
    if (tp == 1) return;  // nothing is cut
    const auto model = planned_model(config, exported.plan.request);
    for (const auto& entry : *exported.plan.layout) {
        const auto& block = model.blocks[at(entry.block)];
        for (std::size_t i = 0; i < block.ops.size(); ++i) {
            const auto& [name, choice] = entry.ops[i];
            auto usual = engine_choice(block, block.ops[i]);
            if (usual.empty()) {
                const bool rows = choice == "tokens" && !tokens_too;
                if (!rows) continue;
                usual = "replicated";
            }
            if (block.ops[i].kind == OpKind::moe_experts && choice == "experts") continue;
            if (usual == choice) continue;
            auto line = fmt::format("{} cuts {} {}, the plan {}", engine, below(block.prefix, name),
                                    cut_text(usual), cut_text(choice));
            if (std::ranges::find(out.deviations, line) == out.deviations.end())
                out.deviations.push_back(std::move(line));
        }
    }
}

void export_vllm(const ExportedPlan& exported, ExportDocument& out) {
    compare_with_engine(exported, "vLLM", false, out);
    if (!out.refusal.empty()) return;
    const auto& plan = exported.plan;
    const auto& work = plan.workload;
    out.text = comments(plan, out);
    if (plan.request.cost.nodes > 1)
        out.text += fmt::format("# over {} nodes: start a Ray cluster on them first\n",
                                plan.request.cost.nodes);
    out.text += fmt::format("vllm serve {} \\\n    --tensor-parallel-size {} \\\n",
                            repository_of(plan.model_source), plan.tp);
    if (plan.mesh.dp_replicate > 1)
        out.text += fmt::format("    --data-parallel-size {} \\\n", plan.mesh.dp_replicate);
    if (splits_experts(exported)) out.text += "    --enable-expert-parallel \\\n";
    if (quantises_weights(exported)) out.text += "    --quantization fp8 \\\n";
    if (work.kv_dtype == DType::fp8) out.text += "    --kv-cache-dtype fp8 \\\n";
    if (const auto most = length_limit(plan); most > 0)
        out.text += fmt::format("    --max-model-len {} \\\n", most);
    if (plan.request.cost.nodes > 1) out.text += "    --distributed-executor-backend ray \\\n";
    out.text += fmt::format(
        "    --dtype {} \\\n    --max-num-seqs {} \\\n    "
        "--gpu-memory-utilization {}\n",
        vllm_dtype(work.dtype), work.batch, plan.request.cost.memory_fraction);
}

void export_trtllm(const ExportedPlan& exported, ExportDocument& out) {
    if (refuses_groups(exported, "TensorRT-LLM", out)) return;
    compare_with_engine(exported, "TensorRT-LLM", false, out);
    if (!out.refusal.empty()) return;
    const auto& plan = exported.plan;
    if (quantises_weights(exported))
        out.deviations.emplace_back(
            "fp8 weights come from a checkpoint that holds them; this one does not");
    if (plan.workload.kv_dtype == DType::fp8)
        out.deviations.emplace_back(
            "an fp8 KV cache is asked for in --extra_llm_api_options: kv_cache_config: {dtype: "
            "fp8}");
    out.text = comments(plan, out);
    if (plan.request.cost.nodes > 1)
        out.text += fmt::format("# over {} nodes: start it by trtllm-llmapi-launch under srun\n",
                                plan.request.cost.nodes);
    if (plan.mesh.dp_replicate > 1) {
        out.text += fmt::format("# {} replicas: start this so often, each on its own {} GPUs\n",
                                plan.mesh.dp_replicate, plan.tp);
    }
    out.text += fmt::format("trtllm-serve {} \\\n    --tp_size {} \\\n",
                            repository_of(plan.model_source), plan.tp);
    if (splits_experts(exported)) out.text += fmt::format("    --ep_size {} \\\n", plan.tp);
    if (const auto most = length_limit(plan); most > 0)
        out.text += fmt::format("    --max_seq_len {} \\\n", most);
    out.text +=
        fmt::format("    --max_batch_size {} \\\n    --kv_cache_free_gpu_memory_fraction {}\n",
                    plan.workload.batch, plan.request.cost.memory_fraction);
}

void export_megatron(const ExportedPlan& exported, ExportDocument& out) {
    if (refuses_groups(exported, "Megatron", out)) return;
    compare_with_engine(exported, "Megatron", true, out);
    if (!out.refusal.empty()) return;
    const auto& plan = exported.plan;
    bool rows = false;
    for (const auto& entry : plan.layout.value_or(std::vector<BlockLayout>{}))
        rows |= entry.input == LayoutState::tokens;
    const auto trains = plan.request.training
                            ? megatron_training_flags(plan, exported.config.tied_embeddings, out)
                            : "";
    if (!out.refusal.empty()) return;
    out.text = comments(plan, out);
    out.text += fmt::format("--tensor-model-parallel-size {}", plan.tp) + trains;
    if (rows) out.text += " --sequence-parallel";
    if (splits_experts(exported))
        out.text += fmt::format(" --expert-model-parallel-size {} --expert-tensor-parallel-size 1",
                                plan.tp);
    out.text += "\n";
}

}  // namespace tplan
