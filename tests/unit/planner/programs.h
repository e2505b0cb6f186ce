#pragma once
#include <algorithm>
#include <string>
#include <vector>

#include "planner/lower.h"
#include "tests/support/tiny_configs.h"

/// Short ways to a judged, planned and lowered model, for the tests of the planner.

namespace tplan::test {

inline ModelConfig tiny(const std::string& family, const Json& changes = Json::object()) {
    auto document = tiny_config(family);
    for (const auto& [key, value] : changes.items()) document[key] = value;
    return read_model_config(document, "tiny " + family);
}

inline PlanOptions options_for(int tp, LayoutChoice layout = LayoutChoice::hf,
                               Kernels kernels = Kernels::hf) {
    PlanOptions options;
    options.tp = tp;
    options.layout = layout;
    options.kernels = kernels;
    return options;
}

inline Feasibility judged(const ModelConfig& config, const PlanOptions& options) {
    return judge(config, tp_verdict(config, options.transformers), options);
}

inline std::vector<std::string> codes(const Feasibility& feasibility) {
    std::vector<std::string> found;
    for (const auto& violation : feasibility.violations) found.push_back(violation.code);
    return found;
}

/// The program of a plan that must be feasible.
inline Program lowered(const ModelConfig& config, const PlanOptions& options) {
    const auto model = build_model(config);
    const auto planned = make_plan(config, model, options);
    if (!planned.plan) {
        throw Error(config.source,
                    "infeasible in a test: " + join(codes(planned.feasibility), ", "));
    }
    return lower(model, *planned.plan, config.dtype);
}

inline std::vector<std::string> step_names(const Section& section) {
    std::vector<std::string> names;
    for (const auto& step : section.steps) names.push_back(step.name);
    return names;
}

/// Names of the section's collectives, in order.
inline std::vector<std::string> collectives(const Section& section) {
    std::vector<std::string> names;
    for (const auto& step : section.steps) {
        if (is_collective(step.kind)) names.push_back(step.name);
    }
    return names;
}

inline const Section& section(const Program& program, const std::string& name) {
    for (const auto& candidate : program.sections) {
        if (candidate.name == name) return candidate;
    }
    throw Error(name, "no such section");
}

inline const Step& step(const Section& of, const std::string& name) {
    for (const auto& candidate : of.steps) {
        if (candidate.name == name) return candidate;
    }
    throw Error(name, "no such step");
}

inline const ShardedTensor& tensor(const Program& program, const std::string& name) {
    for (const auto& candidate : program.tensors) {
        if (candidate.name == name) return candidate;
    }
    throw Error(name, "no such tensor");
}

inline bool mentions(const std::vector<std::string>& texts, const std::string& part) {
    return std::any_of(texts.begin(), texts.end(),
                       [&](const auto& text) { return text.find(part) != std::string::npos; });
}

/// The message of the Error that `action` throws; empty when it throws none.
template <class Action>
std::string error_text(Action action) {
    try {
        action();
    } catch (const Error& error) {
        return error.what();
    }
    return {};
}

/// Does `text` hold every one of `parts`?
inline bool holds(const std::string& text, const std::vector<std::string>& parts) {
    return std::all_of(parts.begin(), parts.end(),
                       [&](const auto& part) { return text.find(part) != std::string::npos; });
}

}  // namespace tplan::test
