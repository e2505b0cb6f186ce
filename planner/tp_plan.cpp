#include "planner/tp_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "core/files.h"
#include "planner/style.h"

namespace tplan {
namespace {

constexpr std::string_view kFolder = "data/tp_plans";

/// One file of data/tp_plans. A 5.10 key that is left out means: as in 5.16.
struct ShippedPlan {
    std::string schema = "tplan.tp_plan/1";
    std::string model_type;
    Nullable<TpPlan> base_model_tp_plan;
    Nullable<std::string> lm_head;
    Nullable<TpPlan> ep_plan;
    std::optional<std::vector<std::string>> lost_to_block_fp8;
    bool in_5_10 = true;
    std::optional<Nullable<TpPlan>> base_model_tp_plan_5_10, ep_plan_5_10;
    std::string config_class;
    std::optional<std::string> head_class;
    bool has_pp_plan = false;
    std::string source, commit;

    static void fields(auto& self, auto&& field) {
        field("schema", self.schema);
        field("model_type", self.model_type);
        field("base_model_tp_plan", self.base_model_tp_plan);
        field("lm_head", self.lm_head);
        field("ep_plan", self.ep_plan);
        field("lost_to_block_fp8", self.lost_to_block_fp8);
        field("in_5_10", self.in_5_10);
        field("base_model_tp_plan_5_10", self.base_model_tp_plan_5_10);
        field("ep_plan_5_10", self.ep_plan_5_10);
        field("config_class", self.config_class);
        field("head_class", self.head_class);
        field("has_pp_plan", self.has_pp_plan);
        field("source", self.source);
        field("commit", self.commit);
    }
};

/// The types that ship no plan, with the reason.
struct NoPlanFile {
    std::string schema = "tplan.no_tp_plan/1";
    std::string source, commit;
    Named<std::string> reasons;
    static void fields(auto& self, auto&& field) {
        field("schema", self.schema);
        field("source", self.source);
        field("commit", self.commit);
        field("reasons", self.reasons);
    }
};

/// Composite types with the model type of their text part; null where the config itself names it.
struct UmbrellaFile {
    std::string schema = "tplan.umbrellas/1";
    std::string source, commit;
    Named<Nullable<std::string>> text_model_types;
    static void fields(auto& self, auto&& field) {
        field("schema", self.schema);
        field("source", self.source);
        field("commit", self.commit);
        field("text_model_types", self.text_model_types);
    }
};

template <class T>
const T* find_entry(const Named<T>& entries, const std::string& key) {
    const auto found = std::find_if(entries.begin(), entries.end(),
                                    [&](const auto& entry) { return entry.first == key; });
    return found == entries.end() ? nullptr : &found->second;
}

template <class T>
T load_table(const std::string& name) {
    const auto path = resource_path(fmt::format("{}/{}.json", kFolder, name));
    const auto document = load_json(path);
    require_schema(document, T{}.schema, path);
    return from_json<T>(document, path);
}

/// A model type comes from the user's file and becomes part of a path.
bool is_plain_name(const std::string& name) {
    const auto plain = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '_' || c == '-' || c == '.';
    };
    return !name.empty() && name.front() != '_' && name.front() != '.' &&
           std::all_of(name.begin(), name.end(), plain);
}

std::optional<ShippedPlan> load_plan(const std::string& model_type) {
    if (!is_plain_name(model_type)) return std::nullopt;
    std::error_code ignored;
    if (!std::filesystem::exists(resource_path(fmt::format("{}/{}.json", kFolder, model_type)),
                                 ignored)) {
        return std::nullopt;
    }
    return load_table<ShippedPlan>(model_type);
}

NoPlanFile load_no_plan() {
    return load_table<NoPlanFile>("_no_plan");
}

UmbrellaFile load_umbrellas() {
    return load_table<UmbrellaFile>("_umbrellas");
}

Verdict no(std::string reason) {
    Verdict verdict;
    verdict.reason = std::move(reason);
    return verdict;
}

/// Since 5.16 a tied model with a plan splits its embedding by vocabulary, because the head shares
/// the storage and is split so.
void append_tied_rule(TpPlan& plan) {
    for (const auto& style : shared_styles()) {
        const auto& pattern = style.added_when_tied;
        if (pattern && !find_entry(plan, *pattern)) plan.emplace_back(*pattern, style.name);
    }
}

Verdict verdict_of(const ShippedPlan& shipped, const ModelConfig& config, Transformers version) {
    Verdict verdict;
    const bool old = version == Transformers::v5_10;
    if (old && !shipped.in_5_10) {
        verdict.reason = shipped.config_class + " does not exist in transformers 5.10";
        return verdict;
    }
    verdict.base_model_tp_plan = old && shipped.base_model_tp_plan_5_10
                                     ? *shipped.base_model_tp_plan_5_10
                                     : shipped.base_model_tp_plan;
    verdict.ep_plan = old && shipped.ep_plan_5_10 ? *shipped.ep_plan_5_10 : shipped.ep_plan;
    if (shipped.lost_to_block_fp8) verdict.lost_to_block_fp8 = *shipped.lost_to_block_fp8;
    // 5.10 empties the head class's plan at initialisation: the head is replicated.
    if (!old) verdict.lm_head = shipped.lm_head;

    auto& plan = verdict.base_model_tp_plan.value;
    if (plan) {
        if (!old && config.tied_embeddings) append_tied_rule(*plan);
        verdict.supports_tp = SupportsTp::yes;
        verdict.reason = fmt::format("{} ships a tensor-parallel plan of {} rules",
                                     shipped.config_class, plan->size());
    } else if (verdict.ep_plan.value) {
        verdict.supports_tp = SupportsTp::expert_parallel_only;
        verdict.reason = fmt::format(
            "base_model_tp_plan of {} is null; it ships an expert-parallel plan only "
            "(enable_expert_parallel)",
            shipped.config_class);
    } else {
        verdict.reason = "base_model_tp_plan of " + shipped.config_class + " is null";
    }
    return verdict;
}

[[noreturn]] void refuse_unknown_type(const ModelConfig& config, const NoPlanFile& no_plan,
                                      const UmbrellaFile& umbrellas) {
    auto known = resource_names(kFolder);
    std::erase_if(known, [](const std::string& name) { return name.front() == '_'; });
    for (const auto& [type, reason] : no_plan.reasons) known.push_back(type);
    for (const auto& [type, text] : umbrellas.text_model_types) known.push_back(type);
    auto hint = did_you_mean(config.model_type, known);
    if (hint.empty()) hint = "correct the key, or add models/families/<model_type>.json";
    throw Error(
        config.source + "/model_type",
        fmt::format("\"{}\" is neither an architecture tplan has a graph for nor a model type "
                    "of transformers 5.16",
                    shown(config.model_type)),
        hint);
}

}  // namespace

Verdict tp_verdict(const ModelConfig& config, Transformers version) {
    const auto& type = config.model_type;
    if (const auto shipped = load_plan(type)) return verdict_of(*shipped, config, version);

    const auto no_plan = load_no_plan();
    if (const auto* reason = find_entry(no_plan.reasons, type)) return no(*reason);

    const auto umbrellas = load_umbrellas();
    if (const auto* text = find_entry(umbrellas.text_model_types, type)) {
        if (text->value) {
            if (const auto shipped = load_plan(*text->value))
                return verdict_of(*shipped, config, version);
            if (const auto* reason = find_entry(no_plan.reasons, *text->value)) return no(*reason);
        }
        return no(type +
                  " wraps other models and its config names no text model with a "
                  "tensor-parallel plan");
    }
    if (config.family.empty()) refuse_unknown_type(config, no_plan, umbrellas);
    return no(type + " is no model type of transformers 5.16");
}

std::vector<SchemaOf> tp_plan_schemas() {
    return {schema_of<ShippedPlan>(), schema_of<NoPlanFile>(), schema_of<UmbrellaFile>()};
}

TpPlan read_tp_plan(const std::string& path) {
    return read_tp_plan(load_json(path), path);
}

TpPlan read_tp_plan(const Json& document, const std::string& where) {
    auto plan = from_json<TpPlan>(document, where);
    if (plan.empty()) {
        throw Error(where, "the plan has no rules", "give an object of pattern -> style");
    }
    for (const auto& [pattern, style] : plan) {
        try {
            find_style(shared_styles(), style);
        } catch (const Error& error) {
            throw Error(where + "/" + shown(pattern), error.what_happened, error.hint);
        }
    }
    return plan;
}

TpPlan rules_in_effect(const ModelConfig& config, const Verdict& verdict,
                       const std::optional<TpPlan>& by_hand) {
    if (by_hand) return *by_hand;
    TpPlan rules;
    if (!verdict.base_model_tp_plan.value) return rules;
    const auto& lost = verdict.lost_to_block_fp8;
    for (const auto& rule : *verdict.base_model_tp_plan.value) {
        const bool kept = std::find(lost.begin(), lost.end(), rule.first) == lost.end();
        if (kept || config.quant_method != "fp8") rules.push_back(rule);
    }
    if (verdict.lm_head.value) rules.emplace_back("lm_head", *verdict.lm_head.value);
    return rules;
}

}  // namespace tplan
