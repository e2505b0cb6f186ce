#include "app/export/export.h"

#include "app/export/targets.h"
#include "app/plan_file.h"
#include "app/validated.h"
#include "planner/check.h"
#include "planner/train_plan.h"

namespace tplan {
namespace {

struct TargetRow {
    ExportTarget target;
    void (*run)(const ExportedPlan&, ExportDocument&);
};
constexpr std::array kTargets = {
    TargetRow{ExportTarget::hf, export_hf}, TargetRow{ExportTarget::accelerate, export_accelerate},
    TargetRow{ExportTarget::vllm, export_vllm}, TargetRow{ExportTarget::trtllm, export_trtllm},
    TargetRow{ExportTarget::megatron, export_megatron}};
static_assert(kTargets.size() == enum_names(ExportTarget{}).size());

}  // namespace

ExportDocument export_plan(const PlanDocument& plan, ExportTarget target) {
    ExportedPlan exported{plan, read_model_config(plan.model, "plan/model"), {}, {}};
    exported.config.source = plan.model_source;
    exported.model = planned_model(exported.config, plan.request);
    auto options = plan.request.plan;
    options.tp = plan.tp;
    if (plan.layout) {
        auto laid_out = apply_layout(exported.model, options, *plan.layout);
        exported.model = std::move(laid_out.model);
        exported.layout = std::move(laid_out.plan);
        exported.searched = true;
    }
    ExportDocument out;
    out.target = target;
    out.model = plan.model_source;
    out.tp = plan.tp;
    const bool serves = target == ExportTarget::vllm || target == ExportTarget::trtllm;
    if (plan.request.training && serves) {
        out.refusal = fmt::format("{} serves, the plan trains: export it to accelerate or megatron",
                                  name_of(target));
        return out;
    }
    const auto& shares = plan.request.plan.shares;
    if (shares && shares->first != shares->rest) {
        out.refusal = fmt::format(
            "{} gives every rank the same share, the plan gives {}:{} to {}: plan one kind of GPU, "
            "or run it with `tplan run`",
            name_of(target), shares->first, shares->rest, plan.hardware.name);
        return out;
    }
    kTargets[static_cast<std::size_t>(target)].run(exported, out);
    return out;
}

ExportDocument export_file(const std::string& path, ExportTarget target) {
    return export_plan(read_plan(read_plan_file(path).plan, path), target);
}

std::string export_text(const ExportDocument& document, const std::string& path) {
    if (document.tp_plan && path.ends_with(".json")) {
        Json dictionary = Json::object();
        for (const auto& [pattern, style] : *document.tp_plan) dictionary[pattern] = style;
        return dictionary.dump(2) + "\n";
    }
    return document.text;
}

}  // namespace tplan
