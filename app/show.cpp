#include "app/show.h"

#include <filesystem>

#include "app/query.h"
#include "app/shard_text.h"
#include "app/validated.h"
#include "planner/requirements.h"

namespace tplan {
namespace {

struct Subject {
    ModelConfig config;
    PlanOptions options;
};

Subject subject_of_plan(const std::string& path) {
    const auto plan = read_plan(read_plan_file(path).plan, path);
    Subject subject{read_model_config(plan.model, path + "/model"), plan.request.plan};
    subject.config.source = plan.model_source;
    subject.options.tp = plan.tp;
    return subject;
}

}  // namespace

ShowResult show(const std::string& what, std::optional<int> tp, LayoutChoice layout) {
    Subject subject;
    if (is_plan_file(what)) {
        subject = subject_of_plan(what);
    } else {
        if (!tp) throw Error("--tp", "a model needs a degree", "give --tp N");
        subject.config = load_model_config(what);
        subject.options.tp = *tp;
        subject.options.layout = layout;
    }
    const auto& [config, options] = subject;
    require_graph(config);
    const auto model = build_model(config);
    const auto planned = make_plan(config, model, options);
    ShowResult result;
    if (!planned.plan) {
        const auto verdict = tp_verdict(config, options.transformers);
        result.refusal =
            infeasible_text(planned.feasibility, working_degrees(config, verdict, options));
        return result;
    }
    result.text = shard_map_text(model, *planned.plan);
    auto& document = result.document.emplace();
    document.model = config.source;
    document.tp = options.tp;
    document.tensors = shard_tensors(model, *planned.plan);
    return result;
}

}  // namespace tplan
