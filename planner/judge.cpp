// Divisibility rules of transformers' tensor parallelism: data/tp_plans says what is cut, the
// configuration says how large it is.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "planner/module_size.h"
#include "planner/plan.h"

namespace tplan {
namespace {

constexpr std::array<std::string_view, 5> kRemedies = {
    "kv_replication", "uneven_shards", "vocab_padding", "block_padding", "replicate_module"};

std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
    return (a + b - 1) / b;
}

/// "1, 2, 7, 14": the degrees up to 128 that divide n.
std::string divisors(std::int64_t n) {
    std::vector<std::int64_t> found;
    for (std::int64_t d = 1; d <= std::min<std::int64_t>(n, 128); ++d) {
        if (n % d == 0) found.push_back(d);
    }
    return fmt::format("{}", fmt::join(found, ", "));
}

/// Copies make whole KV heads for every rank.
bool kv_replication_helps(const ModelConfig& config, int tp) {
    return config.kv_heads > 0 && tp > config.kv_heads && tp % config.kv_heads == 0 &&
           config.heads % tp == 0;
}

/// Collects what is found rule by rule.
struct Judgement {
    const ModelConfig& config;
    const PlanOptions& options;
    Feasibility result;

    std::int64_t tp() const { return options.tp; }

    bool has(std::string_view code) const {
        return std::any_of(result.violations.begin(), result.violations.end(),
                           [&](const auto& violation) { return violation.code == code; });
    }

    void remedy(std::string_view name) {
        if (std::find(result.remedies.begin(), result.remedies.end(), name) ==
            result.remedies.end()) {
            result.remedies.emplace_back(name);
        }
    }

    /// `quantity` % tp must be 0 and is not.
    void violate(const char* code, const std::string& subject, std::string_view quantity,
                 std::int64_t n, std::string message) {
        result.violations.push_back({.code = code,
                                     .subject = subject,
                                     .need = fmt::format("{} % tp == 0", quantity),
                                     .have = fmt::format("{} % {} = {}", n, tp(), n % tp()),
                                     .message = std::move(message)});
    }

    /// A size that the configuration does not give (0) is said, not guessed.
    bool knows(std::int64_t size, const std::string& subject, std::string_view what) {
        if (size != 0) return true;
        result.certain = false;
        note(
            fmt::format("{}: {} is not known to tplan; it must divide by {}", subject, what, tp()));
        return false;
    }

    void note(std::string text) { result.notes.push_back(std::move(text)); }
};

void judge_heads(Judgement& judgement, const std::string& pattern) {
    const auto heads = judgement.config.heads;
    const auto tp = judgement.tp();
    if (!judgement.knows(heads, pattern, "num_attention_heads")) return;
    if (heads % tp == 0 || judgement.has("heads_not_divisible")) return;
    judgement.violate(
        "heads_not_divisible", pattern, "num_attention_heads", heads,
        fmt::format("{} attention heads do not divide over {} GPUs, and attention needs "
                    "whole heads; use a degree that divides {}: {}",
                    heads, tp, heads, divisors(heads)));
    if (tp <= heads) judgement.remedy("uneven_shards");
    judgement.remedy("replicate_module");
}

void judge_kv_heads(Judgement& judgement, const std::string& pattern) {
    const auto kv_heads = judgement.config.kv_heads;
    const auto tp = judgement.tp();
    if (!judgement.knows(kv_heads, pattern, "num_key_value_heads")) return;
    if (kv_heads % tp == 0 || judgement.has("kv_heads_not_divisible")) return;
    const bool copied = kv_replication_helps(judgement.config, judgement.options.tp);
    const auto advice =
        copied ? fmt::format("; --layout best copies each to {} GPUs", tp / kv_heads) : "";
    judgement.violate(
        "kv_heads_not_divisible", pattern, "num_key_value_heads", kv_heads,
        fmt::format("{} key-value heads do not divide over {} GPUs, and transformers "
                    "copies none, so its forward pass fails; use a degree that divides "
                    "{}: {}{}",
                    kv_heads, tp, kv_heads, divisors(kv_heads), advice));
    if (copied) judgement.remedy("kv_replication");
    if (!copied && tp <= judgement.config.heads) judgement.remedy("uneven_shards");
    judgement.remedy("replicate_module");
}

/// Which code a gathered output or a packed half that does not divide goes by.
const char* code_of(ModulePart part) {
    switch (part) {
        case ModulePart::vocabulary:
            return "vocab_not_divisible";
        case ModulePart::kv_heads:
            return "kv_heads_not_divisible";
        case ModulePart::query_heads:
        case ModulePart::fused_heads:
        case ModulePart::attention_output:
        case ModulePart::linear_attention:
            return "heads_not_divisible";
        case ModulePart::ffn:
        case ModulePart::ffn_output:
        case ModulePart::packed_ffn:
        case ModulePart::unknown:
            return "ffn_not_divisible";
    }
    return "ffn_not_divisible";
}

/// colwise_gather_output: out_features % tp, checked by 5.16 before hooks are installed.
void judge_gathered(Judgement& judgement, const std::string& pattern, const ModuleSize& size) {
    const auto tp = judgement.tp();
    if (!judgement.knows(size.out, pattern, "its number of output features")) return;
    if (size.out % tp == 0) return;
    if (judgement.options.transformers == Transformers::v5_10) {
        judgement.note(
            fmt::format("{}: {} gathered output features over {} ranks are uneven; "
                        "transformers 5.10 does not check this",
                        pattern, size.out, tp));
        return;
    }
    const bool vocabulary = size.part == ModulePart::vocabulary;
    const auto quantity = vocabulary ? "vocab_size" : "out_features";
    judgement.violate(
        code_of(size.part), pattern, quantity, size.out,
        fmt::format("the {} output features of {} are gathered and must divide over {} GPUs; use a "
                    "degree that divides {}: {}{}",
                    size.out, pattern, tp, size.out, divisors(size.out),
                    vocabulary ? ", or resize the embeddings" : ", or override this rule"));
    judgement.remedy(vocabulary ? "vocab_padding" : "uneven_shards");
    judgement.remedy("replicate_module");
}

/// Both halves of a packed weight are cut separately by floor(half / tp): a remainder is lost.
void judge_packed(Judgement& judgement, const std::string& pattern, const ModuleSize& size) {
    const auto tp = judgement.tp();
    const auto half = (size.part == ModulePart::ffn_output ? size.in : size.out) / 2;
    if (!judgement.knows(half, pattern, size.key)) return;
    if (half % tp == 0) return;
    judgement.violate(
        "ffn_not_divisible", pattern, size.key, half,
        fmt::format("each packed half of {} has {} rows; over {} GPUs the last {} of each would be "
                    "lost; use a degree that divides {}: {}",
                    pattern, half, tp, half % tp, half, divisors(half)));
    judgement.remedy("uneven_shards");
    judgement.remedy("replicate_module");
}

void judge_experts(Judgement& judgement, const std::string& pattern) {
    const auto experts = judgement.config.experts;
    if (!judgement.knows(experts, pattern, "num_experts")) return;
    if (experts % judgement.tp() == 0 || judgement.has("experts_not_divisible")) return;
    judgement.violate(
        "experts_not_divisible", pattern, "num_experts", experts,
        fmt::format("{} experts do not divide over {} GPUs, and expert parallelism gives "
                    "whole experts to each; use a degree that divides {}: {}",
                    experts, judgement.tp(), experts, divisors(experts)));
    judgement.remedy("uneven_shards");
}

/// An embedding cut by rows finds its vocabulary offset as rank * local rows.
void judge_embedding(Judgement& judgement, const std::string& pattern) {
    const auto vocab = judgement.config.vocab;
    const auto tp = judgement.tp();
    if (!judgement.knows(vocab, pattern, "vocab_size") || vocab % tp == 0) return;
    judgement.violate(
        "vocab_not_divisible", pattern, "vocab_size", vocab,
        fmt::format("{} vocabulary rows do not divide over {} GPUs, so the last rank would "
                    "look up wrong rows; use a degree that divides {}: {}, or resize the "
                    "embeddings",
                    vocab, tp, vocab, divisors(vocab)));
    judgement.remedy("vocab_padding");
    judgement.remedy("replicate_module");
}

/// Weights and their per-block scales are cut separately, so that a shard must be whole blocks.
void judge_block(Judgement& judgement, const std::string& pattern, std::int64_t n,
                 std::int64_t block, std::string_view what, bool attention) {
    if (n == 0 || block == 0) return;
    const auto tp = judgement.tp();
    const auto shard = ceil_div(n, tp);
    if (shard % block == 0) return;
    const auto& groups = judgement.config.groups;
    const auto* unit = groups.bits == 0 ? "blocks" : block == groups.size ? "groups" : "words";
    judgement.result.violations.push_back(
        {.code = "quant_block_split",
         .subject = pattern,
         .need = fmt::format("shard of {} {} % {} == 0", n, what, block),
         .have = fmt::format("{} % {} = {}", shard, block, shard % block),
         .message = fmt::format("a shard of {} {} of {} cuts the {}-wide quantisation {}, so "
                                "weights and scales would be cut at different places; use a degree "
                                "that leaves whole {}",
                                shard, what, pattern, block, unit, unit)});
    // Attention needs whole heads as well; padding alone mends only what has no heads.
    if (!attention) judgement.remedy("block_padding");
    judgement.remedy("replicate_module");
}

void judge_quantisation(Judgement& judgement, const std::string& pattern, const Style& style,
                        const ModuleSize& size) {
    const auto& config = judgement.config;
    if (!size.quantised || config.quant_block[0] == 0 || !style.weight_dim.value) return;
    const bool attention = is_attention(size.part);
    if (*style.weight_dim.value == -2) {
        const auto rows = style.packed ? size.out / 2 : size.out;
        judge_block(judgement, pattern, rows, config.quant_block[0], "rows", attention);
    } else if (*style.weight_dim.value == -1) {
        judge_block(judgement, pattern, size.in, config.quant_block[1], "columns", attention);
    }
}

void note_uneven(Judgement& judgement, const std::string& pattern, std::int64_t n,
                 std::string_view what) {
    const auto tp = judgement.tp();
    if (n == 0 || n % tp == 0) return;
    const auto shard = ceil_div(n, tp);
    const auto full = n / shard;
    const auto tail = n - full * shard;
    const auto empty = tp - full - (tail > 0 ? 1 : 0);
    auto text = fmt::format("{}: {} {} over {} ranks are uneven: {} x {}", pattern, n, what, tp,
                            full, shard);
    if (tail > 0) text += fmt::format(", 1 x {}", tail);
    if (empty > 0) text += fmt::format(", {} empty", empty);
    judgement.note(text);
}

void judge_output_split(Judgement& judgement, const std::string& pattern, const ModuleSize& size) {
    const bool latent = judgement.config.kv_lora_rank > 0;
    switch (size.part) {
        case ModulePart::query_heads:
            judge_heads(judgement, pattern);
            break;
        case ModulePart::kv_heads:
            if (latent) {
                judge_heads(judgement, pattern);
            } else {
                judge_kv_heads(judgement, pattern);
            }
            break;
        case ModulePart::fused_heads:
            judge_heads(judgement, pattern);
            if (judgement.config.kv_heads != judgement.config.heads)
                judge_kv_heads(judgement, pattern);
            break;
        case ModulePart::packed_ffn:
            judge_packed(judgement, pattern, size);
            break;
        default:
            note_uneven(judgement, pattern, size.out, "rows");
    }
}

void judge_rule(Judgement& judgement, const std::string& pattern, const Style& style) {
    const auto size = module_size(judgement.config, pattern);
    if (style.expert_parallel) {
        judge_experts(judgement, pattern);
    } else if (cuts_table_rows(style)) {
        judge_embedding(judgement, pattern);
    } else if (style.packed) {
        judge_packed(judgement, pattern, size);
    } else if (cuts_output(style) && style.output == LayoutKind::replicated) {
        judge_gathered(judgement, pattern, size);
        if (pattern.ends_with("k_proj") && judgement.config.kv_heads % judgement.tp() != 0) {
            judgement.note(fmt::format(
                "{}: gathered, so KV heads need not divide; transformers' paged cache refuses the "
                "degree all the same",
                pattern));
        }
    } else if (cuts_output(style)) {
        judge_output_split(judgement, pattern, size);
    } else if (cuts_input(style) &&
               !(is_attention(size.part) && style.input == LayoutKind::split)) {
        // A split attention output is cut with its heads, judged at q.
        note_uneven(judgement, pattern, size.in, "columns");
    }
    judge_quantisation(judgement, pattern, style, size);
}

/// Norms with a row of weights for each head, between projections that are cut by heads: no style
/// cuts those rows, so that a rank has more of them than heads.
void judge_head_norms(Judgement& judgement, const TpPlan& rules) {
    const auto& config = judgement.config;
    if (config.traits.qk_norm != QkNorm::per_head_weights || !config.settings.qk_norm) return;
    const auto by_heads = std::ranges::find_if(rules, [&](const auto& rule) {
        const auto& style = find_style(shared_styles(), rule.second);
        return module_size(config, rule.first).part == ModulePart::query_heads &&
               cuts_output(style) && style.output == LayoutKind::split;
    });
    if (by_heads == rules.end()) return;
    judgement.result.violations.push_back(
        {.code = "op_unsupported",
         .subject = by_heads->first,
         .need = "norms of q and k that every head shares, or q gathered",
         .have = "a row of norm weights for each head",
         .message = fmt::format("the norm behind {} has a row of weights for each of {} heads, and "
                                "transformers cuts no such norm, so its forward pass fails; use "
                                "--layout best, or gather q and k with --tp-plan",
                                by_heads->first, config.heads)});
    judgement.remedy("replicate_module");
}

void note_integers(Judgement& judgement) {
    const auto& config = judgement.config;
    if (config.groups.bits == 0) return;
    judgement.note(
        fmt::format("transformers updates no tensor-parallel plan for {} checkpoints: slices of "
                    "packed weights are right only where they end on whole groups and words, and "
                    "its releases from 5.16 on leave them whole on every rank; vLLM shards them",
                    config.quant_method));
}

void judge_without_plan(Judgement& judgement, const Verdict& verdict) {
    const auto& type = judgement.config.model_type;
    const bool expert_parallel = verdict.supports_tp == SupportsTp::expert_parallel_only;
    judgement.result.violations.push_back(
        {.code = "no_tp_plan",
         .subject = type,
         .need = "a tensor-parallel plan",
         .have = expert_parallel ? "an expert-parallel plan only" : "none",
         .message = fmt::format("{} has no tensor-parallel plan ({}); use tp 1 or give one with "
                                "--tp-plan",
                                type, verdict.reason)});
    if (expert_parallel) judge_experts(judgement, "experts");
}

/// See rules_in_effect().
void note_lost_rules(Judgement& judgement, const Verdict& verdict, const TpPlan& rules) {
    const auto shipped =
        verdict.base_model_tp_plan.value
            ? verdict.base_model_tp_plan.value->size() + (verdict.lm_head.value ? 1 : 0)
            : 0;
    if (judgement.options.tp_plan || rules.size() == shipped) return;
    judgement.note(
        fmt::format("transformers' block-fp8 quantiser rewrites this plan: {} rules are not in "
                    "effect: {}",
                    shipped - rules.size(), join(verdict.lost_to_block_fp8, ", ")));
}

}  // namespace

std::string first_message(const Feasibility& feasibility) {
    return feasibility.violations.empty() ? "infeasible" : feasibility.violations.front().message;
}

Feasibility judge(const ModelConfig& config, const Verdict& verdict, const PlanOptions& options) {
    Judgement judgement{config, options, {}};
    if (options.tp == 1) return judgement.result;
    const auto rules = rules_in_effect(config, verdict, options.tp_plan);
    if (rules.empty()) judge_without_plan(judgement, verdict);
    note_lost_rules(judgement, verdict, rules);
    note_integers(judgement);
    for (const auto& [pattern, spelling] : rules) {
        judge_rule(judgement, pattern, find_style(shared_styles(), spelling));
    }
    judge_head_norms(judgement, rules);
    auto& result = judgement.result;
    result.feasible = result.violations.empty();
    std::sort(result.remedies.begin(), result.remedies.end(), [](const auto& a, const auto& b) {
        return std::find(kRemedies.begin(), kRemedies.end(), a) <
               std::find(kRemedies.begin(), kRemedies.end(), b);
    });
    return result;
}

bool copies_kv_heads(const ModelConfig& config, const PlanOptions& options) {
    return options.layout == LayoutChoice::best && kv_replication_helps(config, options.tp);
}

Feasibility judge_layout(const ModelConfig& config, const Verdict& verdict,
                         const PlanOptions& options) {
    auto result = judge(config, verdict, options);
    if (!copies_kv_heads(config, options)) return result;
    const auto block = config.quant_block[0];
    const bool whole_blocks = block == 0 || config.head_dim % block == 0;
    const auto mended = [&](const Violation& violation) {
        if (module_size(config, violation.subject).part != ModulePart::kv_heads) return false;
        return violation.code == "kv_heads_not_divisible" ||
               (violation.code == "quant_block_split" && whole_blocks);
    };
    if (std::erase_if(result.violations, mended) == 0) return result;
    result.notes.push_back(fmt::format("{} key-value heads are copied to {} ranks each",
                                       config.kv_heads, options.tp / config.kv_heads));
    result.feasible = result.violations.empty();
    if (result.feasible) result.remedies.clear();
    return result;
}

std::vector<int> working_degrees(const ModelConfig& config, const Verdict& verdict,
                                 PlanOptions options, int max) {
    std::vector<int> degrees;
    for (options.tp = 1; options.tp <= max; ++options.tp) {
        if (judge_layout(config, verdict, options).feasible) degrees.push_back(options.tp);
    }
    return degrees;
}

}  // namespace tplan
