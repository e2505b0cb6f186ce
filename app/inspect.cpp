#include "app/inspect.h"

#include <algorithm>
#include <map>
#include <set>

#include "app/refusal.h"

namespace tplan {
namespace {

std::string shape_text(const std::vector<std::int64_t>& shape) {
    return fmt::format("[{}]", fmt::join(shape, ", "));
}

std::string shard_text(const TensorShards& tensor, std::size_t rank) {
    const auto& pieces = tensor.shards[rank].pieces;
    if (pieces.empty()) return "empty";
    std::string text = shape_text(pieces[0].shape);
    if (pieces.size() == 2) text = fmt::format("2 x {}", text);
    return text;
}

std::string tensors_table(const InspectDegree& degree) {
    std::vector<std::vector<std::string>> rows{
        {"parameter", "count", "shape", "style", fmt::format("shard at TP {}", degree.tp)}};
    std::map<std::pair<std::string, std::string>, std::size_t> row_of;
    std::vector<std::int64_t> counts{0};
    for (const auto& tensor : degree.tensors) {
        const auto name = numbers_as_stars(tensor.name);
        const auto [it, inserted] =
            row_of.emplace(std::pair(name, shape_text(tensor.shape)), rows.size());
        if (!inserted) {
            ++counts[it->second];
            continue;
        }
        auto shard = shard_text(tensor, 0);
        const auto last = shard_text(tensor, tensor.shards.size() - 1);
        if (last != shard) shard += " .. " + last;
        rows.push_back({name, "", shape_text(tensor.shape), tensor.style, shard});
        counts.push_back(1);
    }
    for (std::size_t r = 1; r < rows.size(); ++r) rows[r][1] = std::to_string(counts[r]);
    return format_table(rows);
}

/// What a rule communicates. A rule about a parameter communicates nothing by itself: its module
/// does, under the module's own rule.
std::string communication(const InspectDocument& document, const std::string& pattern,
                          const std::string& style) {
    const auto is_parameter = [&](const TensorShards& tensor) {
        return numbers_as_stars(tensor.name).ends_with("." + pattern);
    };
    const bool parameter =
        !document.tp.empty() && std::ranges::any_of(document.tp.front().tensors, is_parameter);
    return parameter ? "with its module" : find_style(shared_styles(), style).forward;
}

/// The rules that are judged: those given by hand, else the model's own.
std::string rules_text(const InspectDocument& document) {
    TpPlan rules;
    std::string text;
    if (document.tp_plan.value) {
        rules = *document.tp_plan.value;
        text = "plan given by hand, in place of the model's own:\n";
    } else if (document.base_model_tp_plan.value) {
        rules = *document.base_model_tp_plan.value;
        if (document.lm_head.value) rules.emplace_back("lm_head", *document.lm_head.value);
    } else {
        return {};
    }
    std::vector<std::vector<std::string>> rows{{"pattern", "style", "communication"}};
    for (const auto& [pattern, style] : rules)
        rows.push_back({pattern, style, communication(document, pattern, style)});
    return text + format_table(rows) + "\n";
}

/// One line per parameter that a checkpoint has under other names; repeated layers share one.
std::string on_disk_text(const InspectDegree& degree) {
    std::string text;
    std::set<std::string> seen;
    for (const auto& tensor : degree.tensors) {
        if (!tensor.checkpoint_names) continue;
        auto line = numbers_as_stars(tensor.name) + " is on disk as ";
        for (const auto& name : *tensor.checkpoint_names) {
            line +=
                (name == tensor.checkpoint_names->front() ? "" : " + ") + numbers_as_stars(name);
        }
        if (seen.insert(line).second) text += line + "\n";
    }
    return text.empty() ? text : "\n" + text;
}

}  // namespace

InspectDocument inspect(const ModelConfig& config, const std::vector<int>& degrees,
                        Transformers version, const std::optional<TpPlan>& tp_plan) {
    const auto verdict = tp_verdict(config, version);
    InspectDocument document;
    document.model = config.source;
    document.model_type = config.model_type;
    document.supports_tp = verdict.supports_tp;
    document.reason = verdict.reason;
    document.base_model_tp_plan = verdict.base_model_tp_plan;
    document.lm_head = verdict.lm_head;
    document.by_hand = tp_plan.has_value();
    document.tp_plan.value = tp_plan;
    document.notes = config.notes;
    if (config.device_map)
        document.notes.emplace_back(
            "device_map and a TP plan conflict at weight loading: drop one of the two");

    PlanOptions options;
    options.layout = LayoutChoice::hf;
    options.transformers = version;
    options.tp_plan = tp_plan;
    std::optional<Model> model;
    if (!config.family.empty()) {
        model = build_model(config);
        document.parameters.value = parameter_count(*model);
        document.weight_bytes.value = weight_bytes(*model);
        document.notes.insert(document.notes.end(), model->notes.begin(), model->notes.end());
    } else {
        document.notes.push_back("tplan has no op graph for model_type " + config.model_type +
                                 ": verdict and divisibility only, no parameters");
    }
    document.working_degrees = working_degrees(config, verdict, options);

    for (const int tp : degrees) {
        options.tp = tp;
        const auto judged = judge(config, verdict, options);
        auto& degree = document.tp.emplace_back();
        degree.tp = tp;
        degree.feasible = judged.feasible;
        degree.certain = judged.certain;
        degree.violations = judged.violations;
        degree.remedies = judged.remedies;
        degree.notes = judged.notes;
        if (model) {
            const auto plan = assign(config, *model, options);
            degree.tensors = shard_tensors(*model, plan);
            degree.weight_bytes_per_rank.value = weight_bytes_per_rank(*model, plan);
            degree.notes.insert(degree.notes.end(), plan.notes.begin(), plan.notes.end());
        }
    }
    return document;
}

std::string inspect_text(const InspectDocument& document, const ModelConfig& config) {
    auto text = fmt::format("{} ({})\n", document.model, document.model_type);
    if (document.parameters.value) {
        text += fmt::format(
            "  {} parameters, {} of weights; {} layers, hidden {}, {} heads, {} KV heads\n",
            format_count(*document.parameters.value),
            format_bytes(Bytes(*document.weight_bytes.value)), config.layers, config.hidden,
            config.heads, config.kv_heads);
    }
    text += fmt::format("  tensor parallelism: {} - {}\n", name_of(document.supports_tp),
                        document.reason);
    const bool certain = std::ranges::all_of(document.tp, &InspectDegree::certain);
    text +=
        fmt::format("  degrees that {} (1..{}): {}\n\n", certain ? "work" : "nothing known forbids",
                    kHighestDegreeListed, fmt::join(document.working_degrees, " "));
    text += rules_text(document);
    for (const auto& degree : document.tp) {
        text += fmt::format("TP {}: {}", degree.tp,
                            !degree.feasible ? "does not work"
                            : degree.certain ? "works"
                                             : "nothing known forbids it");
        if (degree.weight_bytes_per_rank.value) {
            text += fmt::format(", {} of weights per rank",
                                format_bytes(Bytes(*degree.weight_bytes_per_rank.value)));
        }
        text += "\n";
        for (const auto& violation : degree.violations) {
            text += fmt::format("  no: {}: {} ({})\n", violation.code, violation.message,
                                violation.have);
        }
        if (!degree.remedies.empty())
            text += fmt::format("  tplan's own planner can: {}\n", join(degree.remedies, ", "));
        for (const auto& note : degree.notes) text += "  note: " + note + "\n";
    }
    const auto detailed = std::ranges::find_if(document.tp.rbegin(), document.tp.rend(),
                                               [](const auto& degree) { return degree.feasible; });
    if (detailed != document.tp.rend() && !detailed->tensors.empty())
        text += "\n" + tensors_table(*detailed);
    if (detailed != document.tp.rend()) text += on_disk_text(*detailed);
    for (const auto& note : document.notes) text += "note: " + note + "\n";
    return text;
}

std::string inspect_refusal(const InspectDocument& document, bool asked) {
    if (document.supports_tp != SupportsTp::yes && !document.by_hand) {
        return fmt::format(
            "{}: no TP plan: {}; transformers runs it on one GPU, or with a plan given by "
            "--tp-plan FILE; `tplan estimate` and `tplan plan` lay it out themselves",
            document.model, document.reason);
    }
    for (const auto& degree : document.tp) {
        if (degree.feasible || !asked) continue;
        Refusal refusal;
        refusal.model = document.model;
        refusal.tp.value = degree.tp;
        refusal.violations = degree.violations;
        refusal.remedies = degree.remedies;
        refusal.working_degrees = document.working_degrees;
        return refusal_text(refusal);
    }
    return {};
}

ModelsDocument list_models() {
    ModelsDocument document;
    for (const auto& name : preset_names()) {
        const auto config = load_model_config(name);
        const auto verdict = tp_verdict(config, Transformers::v5_16);
        auto& row = document.models.emplace_back();
        row.name = name;
        row.model_type = config.model_type;
        row.parameters = parameter_count(build_model(config));
        row.layers = config.layers;
        row.hidden = config.hidden;
        row.heads = config.heads;
        row.kv_heads = config.kv_heads;
        row.supports_tp = verdict.supports_tp;
        PlanOptions options;
        options.layout = LayoutChoice::hf;
        row.working_degrees = working_degrees(config, verdict, options);
    }
    return document;
}

std::string models_text(const ModelsDocument& document) {
    std::vector<std::vector<std::string>> rows{{"model", "type", "parameters", "layers", "hidden",
                                                "heads", "KV", "TP", "degrees up to 16"}};
    for (const auto& row : document.models) {
        rows.push_back({row.name, row.model_type, format_count(row.parameters),
                        std::to_string(row.layers), std::to_string(row.hidden),
                        std::to_string(row.heads), std::to_string(row.kv_heads),
                        std::string(name_of(row.supports_tp)),
                        fmt::format("{}", fmt::join(row.working_degrees, " "))});
    }
    return format_table(rows);
}

}  // namespace tplan
