#include "app/show.h"

#include <filesystem>

#include "app/plan_file.h"
#include "app/shard_text.h"
#include "app/validated.h"
#include "planner/requirements.h"
#include "planner/train_plan.h"

namespace tplan {
namespace {

struct Subject {
    ModelConfig config;
    PlanRequest request;
    std::optional<std::vector<BlockLayout>> layout;  // that a plan has
};

Subject subject_of_plan(const std::string& path) {
    const auto plan = read_plan(read_plan_file(path).plan, path);
    Subject subject{read_model_config(plan.model, path + "/model"), plan.request, plan.layout};
    subject.config.source = plan.model_source;
    subject.request.plan.tp = plan.tp;
    if (plan.request.training && !plan.layout) subject.request.plan.layout = LayoutChoice::hf;
    return subject;
}

}  // namespace

ShowResult show(const std::string& what, std::optional<int> tp, LayoutChoice layout) {
    Subject subject;
    if (is_plan_file(what)) {
        subject = subject_of_plan(what);
        const int planned = subject.request.plan.tp;
        if (tp && *tp != planned)
            throw Error("--tp", fmt::format("{} has TP {}", what, planned),
                        "drop --tp, or name the model");
    } else {
        if (!tp) throw Error("--tp", "a model needs a degree", "give --tp N");
        subject.config = load_model_config(what);
        subject.request.plan.tp = *tp;
        subject.request.plan.layout = layout;
    }
    const auto& [config, request, layout_of_plan] = subject;
    const auto& options = request.plan;
    require_graph(config);
    const auto model = planned_model(config, request);
    ShowResult result;
    const auto fill = [&](const Model& laid_out, const Plan& plan) {
        result.text = shard_map_text(laid_out, plan);
        auto& document = result.document.emplace();
        document.model = config.source;
        document.tp = options.tp;
        document.tensors = shard_tensors(laid_out, plan);
    };
    if (layout_of_plan) {
        const auto laid_out = apply_layout(model, options, *layout_of_plan);
        fill(laid_out.model, laid_out.plan);
        return result;
    }
    const auto planned = make_plan(config, model, options);
    if (!planned.plan) {
        result.refusal = refuse(config, request, planned.feasibility);
        return result;
    }
    fill(model, *planned.plan);
    return result;
}

}  // namespace tplan
