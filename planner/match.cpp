#include "planner/match.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <set>

namespace tplan {
namespace {

bool is_digit(char c) {
    return std::isdigit(static_cast<unsigned char>(c)) != 0;
}

/// Every run of digits becomes '*', inside words too: "w1" is "w*".
std::string digits_as_stars(const std::string& name) {
    std::string out;
    for (const char c : name) {
        if (!is_digit(c)) {
            out += c;
        } else if (out.empty() || out.back() != '*') {
            out += '*';
        }
    }
    return out;
}

/// The name without its last component; empty at the top.
std::string parent(const std::string& name) {
    const auto dot = name.rfind('.');
    return dot == std::string::npos ? std::string() : name.substr(0, dot);
}

const std::string* look_up(const TpPlan& plan, const std::string& key) {
    for (const auto& [pattern, style] : plan) {
        if (pattern == key) return &style;
    }
    return nullptr;
}

/// The regular expression transformers builds has '*' as ".*" and leaves dots unescaped. Does it
/// match at `text[at]`, ending anywhere? Linear with one level of backtracking, as for globs: a
/// later '*' never needs an earlier one to be reconsidered.
bool matches_at(const std::string& pattern, const std::string& text, std::size_t at) {
    std::size_t p = 0, star = std::string::npos, resume = at;
    while (p < pattern.size()) {
        if (pattern[p] == '*') {
            star = p++;
            resume = at;
        } else if (at < text.size() && (pattern[p] == '.' || pattern[p] == text[at])) {
            ++p;
            ++at;
        } else if (star != std::string::npos && resume < text.size()) {
            p = star + 1;
            at = ++resume;
        } else {
            return false;
        }
    }
    return true;
}

/// The rule found, for people and for comparison.
std::string said(const std::string* style) {
    return style ? *style : "no rule";
}

}  // namespace

const std::string* match_module(const TpPlan& plan, const std::string& module) {
    return look_up(plan, numbers_as_stars(module));
}

const std::string* match_parameter(const TpPlan& plan, const std::string& parameter) {
    const auto key = numbers_as_stars(parameter);
    if (const auto* style = look_up(plan, key)) return style;
    return look_up(plan, parent(key));
}

const std::string* match_checkpoint(const TpPlan& plan, const std::string& parameter) {
    for (std::size_t at = 0; at < parameter.size(); ++at) {
        for (const auto& [pattern, style] : plan) {
            if (matches_at(pattern, parameter, at)) return &style;
        }
    }
    return nullptr;
}

const std::string* match_saved(const TpPlan& plan, const std::string& parameter) {
    auto key = digits_as_stars(parameter);
    for (int level = 0; level < 3 && !key.empty(); ++level, key = parent(key)) {
        if (const auto* style = look_up(plan, key)) return style;
    }
    return nullptr;
}

PlanCoverage check_coverage(const TpPlan& plan, const Model& model) {
    PlanCoverage coverage;
    std::set<const std::string*> used;
    std::set<std::string> seen;
    for (const auto& block : model.blocks) {
        for (const auto& op : block.ops) {
            used.insert(match_module(plan, below(block.prefix, op.name)));
        }
        for (const auto& tensor : block.tensors) {
            if (tensor.buffer) continue;  // transformers looks at parameters only
            const auto name = full_name(block, tensor, -1);
            if (!seen.insert(name).second) continue;
            used.insert(match_module(plan, parent(name)));
            const auto* split = match_parameter(plan, name);
            const auto* loaded = match_checkpoint(plan, name);
            const auto* saved = match_saved(plan, name);
            used.insert(split);
            if (!saved) coverage.unsharded.push_back(digits_as_stars(name));
            if (said(split) != said(loaded) || said(split) != said(saved)) {
                coverage.matcher_disagreements.push_back(
                    fmt::format("{}: the parameter look-up finds {}, the checkpoint loader {}, "
                                "saving {}",
                                name, said(split), said(loaded), said(saved)));
            }
        }
    }
    for (const auto& [pattern, style] : plan) {
        if (!used.contains(&style)) coverage.unused_rules.push_back(pattern);
    }
    return coverage;
}

}  // namespace tplan
