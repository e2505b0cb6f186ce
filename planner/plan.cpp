#include "planner/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>

#include "planner/cut.h"

namespace tplan {
namespace {

/// Full name of the linear that makes the logits ("lm_head", gpt_neox: "embed_out"); empty when the
/// model has none. Plans call it "lm_head" whatever it is called.
std::string head_module(const Model& model) {
    const auto& head = model.blocks.back();
    for (auto op = head.ops.rbegin(); op != head.ops.rend(); ++op) {
        if (op->kind == OpKind::linear) return below(head.prefix, op->name);
    }
    return {};
}

/// Fills a plan block by block and collects what does not go.
struct Planner {
    const ModelConfig& config;
    const Model& model;
    const TpPlan rules;
    Plan plan;
    std::vector<Violation> violations;

    void refuse(const std::string& subject, const std::string& style, const std::string& why) {
        violations.push_back(
            {.code = "op_unsupported",
             .subject = subject,
             .need = "a style that this module can carry",
             .have = style,
             .message = fmt::format("{} cannot run as {}: {}; change or drop this rule", subject,
                                    style, why)});
    }

    void plan_tensor(const Block& block, const WeightPlace& place, TensorPlan& out) {
        const auto name = full_name(block, *place.tensor, -1);
        const auto* spelling = match_parameter(rules, name);
        if (!spelling) return;
        const auto& style = find_style(plan.styles, *spelling);
        out.style = style.name;
        auto cut = cut_weight(style, place, plan.options.tp, copies_kv_heads(config, plan.options));
        out.split = cut.split;
        if (!cut.problem.empty()) refuse(name, style.name, cut.problem);
        if (!cut.note.empty()) plan.notes.push_back(name + ": " + cut.note);
    }

    void plan_weights(const Block& block, std::vector<TensorPlan>& cuts) {
        for (const auto& op : block.ops) {
            for (std::size_t slot = 0; slot < op.weights.size(); ++slot) {
                const auto index = static_cast<std::size_t>(op.weights[slot]);
                const auto& tensor = block.tensors[index];
                plan_tensor(
                    block,
                    {.block = &block, .op = &op, .tensor = &tensor, .slot = static_cast<int>(slot)},
                    cuts[index]);
            }
        }
    }

    void plan_ops(const Block& block, const std::vector<TensorPlan>& cuts,
                  std::vector<int>& styles) {
        for (const auto& op : block.ops) {
            const auto* spelling = match_module(rules, below(block.prefix, op.name));
            const Style* style = spelling ? &find_style(plan.styles, *spelling) : nullptr;
            styles.push_back(style ? static_cast<int>(style - plan.styles.data()) : -1);
            if (plan.options.tp == 1) continue;
            const auto problem = op_problem(op, style, cuts);
            if (!problem.empty())
                refuse(below(block.prefix, op.name), style ? style->name : "no rule", problem);
        }
    }

    /// One storage cannot be cut in two ways. A whole table serves a split head as a view; the
    /// reverse does not go.
    void check_tied() {
        const auto& table = plan.tensors.front().front();
        const auto& head = model.blocks.back();
        for (std::size_t i = 0; i < head.tensors.size(); ++i) {
            if (!head.tensors[i].tied || table.split.kind == SplitKind::whole) continue;
            if (plan.tensors.back()[i].split == table.split) continue;
            refuse(full_name(head, head.tensors[i], -1), plan.tensors.back()[i].style,
                   fmt::format("it shares its storage with the embedding, which is cut as {}",
                               table.style));
        }
    }

    void run() {
        for (const auto& block : model.blocks) {
            auto& cuts = plan.tensors.emplace_back(block.tensors.size());
            plan_weights(block, cuts);
            cut_scales(block, cuts);
            plan_ops(block, cuts, plan.op_styles.emplace_back());
        }
        if (plan.options.tp > 1) check_tied();
    }
};

/// The two warnings of transformers' verify_tp_plan, and where its matchers disagree.
void note_coverage(const TpPlan& rules, const Model& model, std::vector<std::string>& notes) {
    const auto coverage = check_coverage(rules, model);
    if (!coverage.unused_rules.empty()) {
        notes.push_back("rules of the plan that match nothing here: " +
                        join(coverage.unused_rules, ", "));
    }
    if (!coverage.unsharded.empty())
        notes.push_back("replicated, no rule covers them: " + join(coverage.unsharded, ", "));
    notes.insert(notes.end(), coverage.matcher_disagreements.begin(),
                 coverage.matcher_disagreements.end());
}

Planner run_planner(const ModelConfig& config, const Model& model, const PlanOptions& options,
                    const Verdict& verdict) {
    assert(!config.family.empty() && !model.blocks.empty() && options.tp >= 1);
    Planner planner{.config = config,
                    .model = model,
                    .rules = from_root(rules_in_effect(config, verdict, options.tp_plan), model),
                    .plan = {.options = options,
                             .styles = shared_styles(),
                             .tensors = {},
                             .op_styles = {},
                             .notes = {}},
                    .violations = {}};
    planner.run();
    return planner;
}

}  // namespace

TpPlan from_root(const TpPlan& rules, const Model& model) {
    const auto head = head_module(model);
    TpPlan plan;
    for (const auto& [pattern, style] : rules) {
        const bool rooted =
            pattern.starts_with(model.base_prefix + ".") || pattern == head || head.empty();
        const bool is_head = pattern == "lm_head";
        plan.emplace_back(is_head && !head.empty() ? head
                          : rooted                 ? pattern
                                                   : below(model.base_prefix, pattern),
                          style);
    }
    return plan;
}

Plan assign(const ModelConfig& config, const Model& model, const PlanOptions& options) {
    const auto verdict = tp_verdict(config, options.transformers);
    std::optional<Model> kept;
    return run_planner(config, with_sampling(model, options, kept), options, verdict).plan;
}

Planned make_plan(const ModelConfig& config, const Model& model, const PlanOptions& options) {
    const auto verdict = tp_verdict(config, options.transformers);
    Planned planned{.plan = {}, .feasibility = judge_layout(config, verdict, options)};
    auto& feasibility = planned.feasibility;
    std::optional<Model> kept;
    const auto& sampled = with_sampling(model, options, kept);
    auto planner = run_planner(config, sampled, options, verdict);
    feasibility.violations.insert(feasibility.violations.end(), planner.violations.begin(),
                                  planner.violations.end());
    feasibility.feasible = feasibility.violations.empty();
    if (!feasibility.feasible) return planned;

    auto& notes = planner.plan.notes;
    notes.insert(notes.begin(), feasibility.notes.begin(), feasibility.notes.end());
    if (options.tp > 1) note_coverage(planner.rules, sampled, notes);
    planned.plan = std::move(planner.plan);
    return planned;
}

}  // namespace tplan
