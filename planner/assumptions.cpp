#include "planner/assumptions.h"

#include <algorithm>

namespace tplan {
namespace {

/// What of a profile a program can touch.
struct Uses {
    bool attention = false, experts = false, quantiser = false;
    std::vector<DType> products;
};

Uses uses_of(const Program& program, const HardwareProfile& hardware, const CostOptions& cost) {
    Uses uses;
    for (const auto& section : program.sections) {
        for (const auto& step : section.steps) {
            uses.attention = uses.attention || step.kind == OpKind::attention;
            uses.experts = uses.experts || step.kind == OpKind::moe_experts;
            const auto engine = op_cost(step.kind).engine;
            if (engine == Engine::none) continue;
            uses.quantiser = uses.quantiser || (step.dtype == DType::fp8 && cost.quant_dynamic);
            uses.products.push_back(usable_dtype(hardware, step.dtype));
        }
    }
    return uses;
}

/// "bf16" of "gemm/bf16"; empty when the key is of another group.
std::string below_group(const std::string& key, const std::string& group) {
    return key.starts_with(group + "/") ? key.substr(group.size() + 1) : std::string();
}

}  // namespace

std::vector<std::string> assumptions_of(const Program& program, const HardwareProfile& hardware,
                                        const CostOptions& cost, const Workload& workload,
                                        const std::string& link) {
    const auto uses = uses_of(program, hardware, cost);
    const bool many = program.mesh.value_or(Mesh{.tp = program.tp}).ranks() > 1;
    const bool decode = workload.phase == Phase::decode;
    const auto multiplies_in = [&](const std::string& dtype) {
        return std::ranges::any_of(uses.products,
                                   [&](DType used) { return name_of(used) == dtype; });
    };
    const auto is_used = [&](const std::string& key) {
        if (key == "usd_per_hour" || key == "devices") return false;
        if (key.starts_with("links/")) return many && key.starts_with("links/" + link + "/");
        if (key.starts_with("network/")) return many && cost.nodes > 1;
        if (key == "interval_collective" || key == "communication_buffer_bytes") return many;
        if (key == "attention/prefill") return uses.attention && !decode;
        if (key == "attention/decode") return uses.attention && decode;
        if (key.find("attention") != std::string::npos) return uses.attention;
        if (key == "experts") return uses.experts;
        if (key.starts_with("quantise")) return uses.quantiser;
        for (const char* group : {"peaks", "gemm"}) {
            if (const auto dtype = below_group(key, group); !dtype.empty())
                return multiplies_in(dtype);
        }
        return true;
    };
    auto keys = assumed_figures(hardware);
    std::erase_if(keys, [&](const std::string& key) { return !is_used(key); });
    return keys;
}

}  // namespace tplan
