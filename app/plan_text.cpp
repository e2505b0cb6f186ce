#include "app/plan_text.h"

#include <algorithm>

#include "app/estimate_text.h"

namespace tplan {
namespace {

std::string alternatives_text(const PlanDocument& plan) {
    std::string text = plan.alternatives.empty() ? "" : "weighed and not taken:\n";
    for (const auto& other : plan.alternatives) {
        text += fmt::format("  TP {}", other.tp);
        if (other.replicas > 1) text += fmt::format(" x {} replicas", other.replicas);
        text += ": " + other.reason + "\n";
    }
    return text;
}

std::string decision_text(const DegreeDecision& decision) {
    auto text = decision.sentence + "\n";
    const auto* in_sentence = nearest_flip(decision.flips);
    for (const auto& flip : decision.flips) {
        if (&flip == in_sentence) continue;
        text += fmt::format("  with {} {} instead of {}, TP {} is best\n", flip.what, flip.to,
                            flip.from, flip.tp);
    }
    if (!decision.measurement.empty()) text += "  close: " + decision.measurement + "\n";
    if (!decision.two_gpus.empty()) text += "  " + decision.two_gpus + "\n";
    return text;
}

/// The sentence, and the ratios next to the one taken.
std::string shares_text(const SharesDecision& decision) {
    auto text = decision.sentence + "\n";
    const auto ratio = [](const Shares& shares) {
        return static_cast<double>(shares.first) / static_cast<double>(shares.rest);
    };
    auto weighed = decision.weighed;
    std::ranges::sort(weighed, {}, [&](const SharesWeighed& w) { return ratio(w.shares); });
    const auto taken = std::ranges::find(weighed, decision.shares, &SharesWeighed::shares);
    if (taken == weighed.end()) return text;
    constexpr std::ptrdiff_t kBeside = 3;
    const auto from = taken - std::min(kBeside, taken - weighed.begin());
    const auto to = taken + std::min(kBeside + 1, weighed.end() - taken);
    text += fmt::format("  of {} ratios weighed, those beside it:", weighed.size());
    for (auto it = from; it != to; ++it) {
        text +=
            fmt::format("{} {}:{} {}{}", it == from ? "" : ",", it->shares.first, it->shares.rest,
                        format_time(it->step), it->fits ? "" : " (does not fit)");
    }
    return text + "\n";
}

std::string pareto_text(const DegreeDecision& decision) {
    if (decision.pareto.empty()) return {};
    std::vector<std::vector<std::string>> rows{
        {"TP", "replicas", "batch each", "tokens/s/user", "tokens/s/GPU"}};
    const bool priced = decision.pareto.front().usd_per_million_tokens.value.has_value();
    if (priced) rows.front().emplace_back("$ per million");
    for (const auto& point : decision.pareto) {
        auto& row = rows.emplace_back(std::vector{
            std::to_string(point.tp), std::to_string(point.replicas), format_count(point.batch),
            fmt::format("{:.1f}", point.tokens_per_s_per_user),
            fmt::format("{:.1f}", point.tokens_per_s_per_gpu)});
        if (priced) row.push_back(fmt::format("{:.3f}", *point.usd_per_million_tokens.value));
    }
    return "\nnothing beats these in both tokens/s/user and tokens/s/GPU:\n" + format_table(rows);
}

/// "0 to 4", "6": runs of numbers that follow each other.
std::vector<std::string> runs_of(const std::vector<int>& layers) {
    std::vector<std::string> runs;
    for (std::size_t from = 0, i = 1; i <= layers.size(); ++i) {
        if (i < layers.size() && layers[i] == layers[i - 1] + 1) continue;
        runs.push_back(i - from == 1 ? std::to_string(layers[from])
                                     : fmt::format("{} to {}", layers[from], layers[i - 1]));
        from = i;
    }
    return runs;
}

/// The distance of layers that all lie equally far apart; 0 for others.
int distance_of(const std::vector<int>& layers) {
    const int distance = layers[1] - layers[0];
    for (std::size_t i = 1; i < layers.size(); ++i) {
        if (layers[i] - layers[i - 1] != distance) return 0;
    }
    return distance;
}

/// "embedding", "head", "layer 3", "layers 0 to 30", "layers 4, 6, 8", "12 layers, every 2nd of 0
/// to 22", "9 layers between 3 and 47".
std::string place_text(const std::vector<int>& layers, bool first) {
    if (layers.front() < 0) return first ? "embedding" : "head";
    const auto count = static_cast<int>(layers.size());
    if (count == 1) return fmt::format("layer {}", layers.front());
    constexpr std::size_t kMostRuns = 4;
    if (const auto runs = runs_of(layers); runs.size() <= kMostRuns)
        return "layers " + join(runs, ", ");
    const int distance = distance_of(layers);
    if (distance == 0)
        return fmt::format("{} layers between {} and {}", count, layers.front(), layers.back());
    return fmt::format("{} layers, every {}{} of {} to {}", count, distance,
                       distance == 2   ? "nd"
                       : distance == 3 ? "rd"
                                       : "th",
                       layers.front(), layers.back());
}

/// One line per kind of block: ops cut over the ranks, grouped by how; ops not named run whole on
/// every rank.
std::string layout_text(const std::vector<BlockLayout>& layout) {
    std::string text;
    for (const auto& entry : layout) {
        std::vector<std::pair<std::string, std::vector<std::string>>> cuts;
        for (const auto& [op, choice] : entry.ops) {
            if (choice == "replicated") continue;
            const auto how = cut_text(choice);
            auto found = std::ranges::find(cuts, how, [](const auto& cut) { return cut.first; });
            if (found == cuts.end()) found = cuts.insert(cuts.end(), {how, {}});
            found->second.push_back(op);
        }
        std::vector<std::string> words;
        for (const auto& [how, ops] : cuts) words.push_back(join(ops, ", ") + " " + how);
        text += fmt::format("  {}: {}\n", place_text(entry.layers, &entry == &layout.front()),
                            words.empty() ? "whole on every rank" : join(words, "; "));
    }
    return text;
}

std::string proof_text(const Certificate& certificate, bool fits) {
    if (certificate.gap == 0) {
        const auto* among = !certificate.bytes_cap.value ? ""
                            : fits                       ? " that fit"
                                                         : " that need no more memory";
        return fmt::format("  proven fastest of 10^{:.0f} layouts{}\n", certificate.log10_layouts,
                           among);
    }
    if (!certificate.exact) {
        return fmt::format(
            "  not proven: of 10^{:.0f} layouts the fastest that was found within memory; none "
            "takes less than {}, {:.2f} % below\n",
            certificate.log10_layouts, format_time(certificate.bound),
            100 * certificate.gap / (1 + certificate.gap));
    }
    return fmt::format(
        "  fastest that fits of 10^{:.0f} layouts; the bound that anyone can check is "
        "{}, {:.2f} % below\n",
        certificate.log10_layouts, format_time(certificate.bound),
        100 * certificate.gap / (1 + certificate.gap));
}

std::string hf_text(const HfComparison& hf, Seconds step) {
    if (!hf.feasible) return "transformers' own plan does not work: " + hf.reason + "\n";
    if (hf.differences.empty() && hf.reason.empty()) return "transformers' own plan is the same\n";
    auto text =
        fmt::format("transformers' own plan: {} a step, {:+.1f} %{}\n", format_time(*hf.step.value),
                    100 * (*hf.step.value / step - 1), hf.reason.empty() ? "" : "; " + hf.reason);
    for (const auto& line : hf.differences) text += "  " + line + "\n";
    return text;
}

}  // namespace

std::string cut_text(const std::string& choice) {
    if (choice == "out") return "by output rows";
    if (choice == "in") return "by input columns";
    if (choice == "replicated") return "not at all";
    return "by " + choice;
}

std::string plan_text(const PlanDocument& plan) {
    // The decision's sentence says more than why.
    auto text = plan.decision ? decision_text(*plan.decision)
                : plan.shares ? shares_text(*plan.shares)
                              : plan.why + "\n";
    text += alternatives_text(plan);
    if (plan.layout && plan.tp > 1) {
        text += fmt::format("\nlayout of the plan, over {} ranks:\n", plan.tp) +
                layout_text(*plan.layout);
        if (plan.certificate) text += proof_text(*plan.certificate, plan.predicted.memory.fits);
        if (plan.hf) text += hf_text(*plan.hf, plan.predicted.step);
    }
    if (plan.decision) text += pareto_text(*plan.decision);
    text += "\n" + estimate_text(plan.predicted);
    for (const auto& note : plan.diagnostics) text += "note: " + note + "\n";
    return text;
}

}  // namespace tplan
