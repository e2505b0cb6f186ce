// transformers: a tp_plan dictionary. Rules of styles: data/styles.
#include <algorithm>

#include "app/export/targets.h"
#include "planner/lower.h"
#include "planner/train.h"
#include "planner/train_plan.h"

namespace tplan {
namespace {

std::size_t at(int i) {
    return static_cast<std::size_t>(i);
}

/// The layouts in which an activation is read, the block's own output included.
struct Readings {
    bool whole = false, columns = false, rows = false;
};
Readings readings_of(const Block& block, const BlockFlow& flow, int activation) {
    Readings readings;
    const auto note = [&](const Layout& layout) {
        readings.whole |= layout.kind == LayoutKind::replicated;
        readings.columns |= layout.splits_columns();
        readings.rows |= layout.splits_rows();
    };
    for (std::size_t i = 0; i < block.ops.size(); ++i) {
        for (std::size_t in = 0; in < block.ops[i].inputs.size(); ++in) {
            if (block.ops[i].inputs[in] == activation) note(flow.ops[i].inputs[in]);
        }
    }
    if (activation == block.output) note(flow.output);
    return readings;
}

/// How the op that makes an activation leaves it.
Layout layout_left(const Block& block, const BlockFlow& flow, int activation) {
    for (std::size_t i = 0; i < block.ops.size(); ++i) {
        for (std::size_t out = 0; out < block.ops[i].outputs.size(); ++out) {
            if (block.ops[i].outputs[out] == activation) return flow.ops[i].outputs[out];
        }
    }
    return flow.input;
}

/// The style under which transformers runs a linear as the plan does; empty for a whole one.
std::string linear_style(const Block& block, const BlockFlow& flow, std::size_t op,
                         const TensorPlan& weight) {
    const auto& what = block.ops[op];
    if (weight.split.kind == SplitKind::whole) return {};
    const bool along_output = (weight.split.dim == 0) != what.spec.transposed;
    if (!along_output) {
        const auto left = layout_left(block, flow, what.inputs[0]);
        return left.splits_columns() ? "rowwise" : "rowwise_split_input";
    }
    if (readings_of(block, flow, what.outputs[0]).whole) return "colwise_gather_output";
    return weight.split.kind == SplitKind::packed ? "packed_colwise" : "colwise";
}

void add_rule(TpPlan& rules, const std::string& pattern, const std::string& style) {
    const auto known = std::find_if(rules.begin(), rules.end(),
                                    [&](const auto& rule) { return rule.first == pattern; });
    if (!style.empty() && known == rules.end()) rules.emplace_back(pattern, style);
}

/// Are the experts of the block shared out whole?
bool holds_whole_experts(const Block& block, const std::vector<TensorPlan>& cuts) {
    return std::ranges::any_of(block.ops, [&](const Op& op) {
        if (op.kind != OpKind::moe_experts) return false;
        const auto& split = cuts[at(op.weights[0])].split;
        return split.kind != SplitKind::whole && split.dim == 0;
    });
}

/// Rules of one block; patterns from the root of the model.
void add_rules(const ExportedPlan& exported, std::size_t index, TpPlan& rules) {
    const auto& block = exported.model.blocks[index];
    const auto& flow = exported.layout.flows[index];
    const auto& cuts = exported.layout.tensors[index];
    for (std::size_t i = 0; i < block.ops.size(); ++i) {
        const auto& op = block.ops[i];
        const auto module = below(block.prefix, op.name);
        if (op.weights.empty()) continue;
        const auto& weight = cuts[at(op.weights[0])];
        const bool cut = weight.split.kind != SplitKind::whole;
        if (op.kind == OpKind::linear) {
            add_rule(rules, module, linear_style(block, flow, i, weight));
        } else if (op.kind == OpKind::embedding && cut) {
            add_rule(rules, module,
                     weight.split.dim == 0 ? "embedding_rowwise" : "embedding_colwise");
        } else if (op.kind == OpKind::norm && flow.ops[i].inputs[0].splits_columns()) {
            add_rule(rules, module, "replicated_with_grad_allreduce");
        } else if (op.kind == OpKind::attention && cut) {
            add_rule(rules, full_name(block, block.tensors[at(op.weights[0])], -1), "colwise");
        } else if (op.kind == OpKind::moe_experts && cut) {
            const bool whole_experts = holds_whole_experts(block, cuts);
            for (const int tensor : op.weights) {
                add_rule(rules, full_name(block, block.tensors[at(tensor)], -1),
                         whole_experts ? "grouped_gemm" : cuts[at(tensor)].style);
            }
            add_rule(rules, module, "moe_tp_experts");
        } else if (op.kind == OpKind::moe_router && holds_whole_experts(block, cuts)) {
            // Tells each rank which of the chosen experts are its own.
            add_rule(rules, module, "ep_router");
        }
    }
}

/// Collectives of a section in order, with what they move.
std::vector<std::string> collectives_of(const Section& section) {
    std::vector<std::string> found;
    for (const auto& step : section.steps) {
        if (is_collective(step.kind))
            found.push_back(fmt::format("{} of {} columns", name_of(step.kind), step.n));
    }
    return found;
}

/// Where a program of the dictionary differs from the plan's.
std::vector<std::string> found_differences(const Program& plan, const Program& planned) {
    auto found = differences(plan, planned);
    for (std::size_t s = 0; s < plan.sections.size(); ++s) {
        if (s >= planned.sections.size()) break;
        const auto ours = collectives_of(plan.sections[s]);
        const auto theirs = collectives_of(planned.sections[s]);
        if (ours != theirs)
            found.push_back(fmt::format("{}: {}, there {}", plan.sections[s].name,
                                        ours.empty() ? "no collective" : join(ours, ", "),
                                        theirs.empty() ? "none" : join(theirs, ", ")));
    }
    if (plan.sections.size() != planned.sections.size())
        found.emplace_back("layers of one kind differ, and its patterns hold for all of them");
    return found;
}

std::string python_dictionary(const TpPlan& rules) {
    std::string text = "tp_plan = {\n";
    for (const auto& [pattern, style] : rules)
        text += fmt::format("    \"{}\": \"{}\",\n", pattern, style);
    return text + "}\n";
}

}  // namespace

std::string_view torch_dtype(DType dtype) {
    return dtype == DType::fp16 ? "float16" : dtype == DType::fp32 ? "float32" : "bfloat16";
}

std::string loading_imports(const PlanDocument& plan) {
    if (plan.request.plan.transformers != Transformers::v5_16 || plan.tp == 1)
        return "import torch\nimport transformers\nfrom transformers import AutoModelForCausalLM\n";
    return "import torch\nimport transformers\n"
           "from transformers import AutoConfig, AutoModelForCausalLM\n"
           "from transformers.distributed import DistributedConfig\n";
}

// Releases differ in what becomes of a dictionary in DistributedConfig: 5.16.0 ignores it, 5.16.1
// to 5.18 take it for the model's own, later ones add it to the model's own. With the dictionary
// in the place of the model's own rules all of them run the same.
std::string loading_lines(const PlanDocument& plan, const TpPlan& rules, std::string_view mesh) {
    const bool distributed = plan.request.plan.transformers == Transformers::v5_16;
    // Mixed precision keeps master weights.
    const auto dtype = torch_dtype(plan.request.training ? DType::fp32 : plan.workload.dtype);
    const auto name = fmt::format("\nname = \"{}\"\n", repository_of(plan.model_source));
    const auto on_mesh = mesh.empty() ? "" : fmt::format("    device_mesh={},\n", mesh);
    if (!mesh.empty() && plan.tp == 1)
        return fmt::format("{}model = AutoModelForCausalLM.from_pretrained(name, dtype=torch.{})\n",
                           name, dtype);
    auto text = name + python_dictionary(rules) + "\n";
    if (distributed) {
        const auto groups = mesh.empty() ? 1 : plan.mesh.data_parallel();
        auto sizes = fmt::format("tp_size={}, ", plan.tp);
        if (groups > 1) sizes += fmt::format("fsdp_size={}, ", groups);
        if (groups > 1 && plan.workload.dtype == DType::bf16)
            sizes += "fsdp_mixed_precision=True, ";
        text += fmt::format(
            "# These rules instead of the model's own, whatever the release does with a "
            "dictionary:\n"
            "# 5.16.0 ignores it, from 5.19 on it is added to the model's own.\n"
            "config = AutoConfig.from_pretrained(name)\n"
            "config.get_text_config().base_model_tp_plan = {{}}\n"
            "model_class = AutoModelForCausalLM._model_mapping[type(config)]\n"
            "model_class._tp_plan = tp_plan\n"
            "model = model_class.from_pretrained(\n"
            "    name,\n"
            "    config=config,\n"
            "    dtype=torch.{},\n"
            "    distributed_config=DistributedConfig({}tp_plan=tp_plan),\n{}"
            ")\n",
            dtype, sizes, on_mesh);
    } else {
        text += fmt::format(
            "model = AutoModelForCausalLM.from_pretrained(\n    name,\n    dtype=torch.{},\n"
            "    tp_plan=tp_plan,\n{}{})\n",
            dtype, mesh.empty() ? "" : fmt::format("    tp_size={},\n", plan.tp), on_mesh);
    }
    return text +
           "if model.tp_plan != tp_plan:\n"
           "    raise SystemExit(f\"transformers {transformers.__version__} runs other rules: "
           "{model.tp_plan}\")\n";
}

TpPlan hf_tp_plan(const ExportedPlan& exported, ExportDocument& out) {
    const auto& plan = exported.plan;
    TpPlan rules;
    if (gathers_candidates(exported)) {
        out.refusal =
            "the plan gathers one candidate of every rank, transformers chooses from all logits; "
            "plan with --sampling logits";
        return {};
    }
    if (exported.config.groups.bits > 0) {
        out.refusal = fmt::format(
            "transformers shards parameters, and the packed weights of {} are buffers to it, which "
            "stay whole; --to vllm serves them",
            exported.config.quant_method);
        return {};
    }
    auto options = plan.request.plan;
    options.tp = plan.tp;
    const auto verdict = tp_verdict(exported.config, options.transformers);
    if (!exported.searched) {
        rules =
            from_root(rules_in_effect(exported.config, verdict, options.tp_plan), exported.model);
    } else {
        for (std::size_t b = 0; b < exported.model.blocks.size(); ++b)
            add_rules(exported, b, rules);
    }
    if (rules.empty() && plan.tp > 1) {
        out.refusal =
            "it splits nothing, and transformers takes no empty plan; load the model without one";
        return {};
    }
    // The proof is to plan again from the dictionary.
    const auto& training = plan.request.training;
    const auto model = planned_model(exported.config, plan.request);
    options.layout = LayoutChoice::hf;
    options.tp_plan = rules;
    const auto planned = make_plan(exported.config, model, options);
    if (!planned.plan) {
        out.refusal =
            "transformers does not run it: " + planned.feasibility.violations.front().message;
        return {};
    }
    auto again = lower(model, *planned.plan, plan.workload.dtype);
    if (training) again = training_program(again, *training, options.kernels);
    if (const auto found = found_differences(plan.program, again); !found.empty()) {
        out.refusal = fmt::format("no tp_plan gives this layout: {}", join(found, "; "));
        return {};
    }
    return rules;
}

void export_hf(const ExportedPlan& exported, ExportDocument& out) {
    const auto rules = hf_tp_plan(exported, out);
    if (!out.refusal.empty()) return;
    const auto& plan = exported.plan;
    out.tp_plan = rules;
    if (plan.request.training && plan.mesh.data_parallel() > 1) {
        out.deviations.push_back(
            fmt::format("this loads one TP group of the mesh {}; replicas and shards are "
                        "accelerate's: export --to accelerate",
                        mesh_text(plan.mesh)));
    }
    out.text = fmt::format(
        "# {} over {} GPUs, for transformers {}. Needs accelerate. Start with:\n"
        "#   torchrun --nproc-per-node {} this_file.py\n"
        "# Do not pass device_map: it and a TP plan conflict at loading.\n",
        plan.model_source, plan.tp, name_of(plan.request.plan.transformers), plan.tp);
    const bool routed =
        std::ranges::any_of(rules, [](const auto& rule) { return rule.second == "ep_router"; });
    if (routed) out.text += "# Releases from 5.23 on refuse ep_router: take one before.\n";
    for (const auto& deviation : out.deviations) out.text += "# " + deviation + "\n";
    out.text += loading_imports(plan) + loading_lines(plan, rules, {});
}

}  // namespace tplan
