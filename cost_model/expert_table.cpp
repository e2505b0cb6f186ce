#include "cost_model/expert_table.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>

#include "core/place.h"
#include "cost_model/gemm.h"
#include "cost_model/moe.h"
#include "cost_model/table_widths.h"

namespace tplan {

namespace {

/// Mean difference of the residuals of two widths that one kind of kernel serves, at most; engines
/// fall back to kernels several times slower for some widths.
constexpr double kOneKernel = 0.25;

struct Layer {
    DType dtype = DType::bf16;
    std::int64_t hidden = 1, top_k = 1, experts = 1;
    auto operator<=>(const Layer&) const = default;
};
Layer layer_of(const MoePoint& p) {
    return {p.dtype, p.hidden, p.top_k, p.experts};
}

/// Residuals by tokens, for each measured width of one layer's experts.
using Curves = std::map<std::int64_t, std::map<std::int64_t, double>>;

StepShape shape_of(const MoePoint& p) {
    const double experts = double(p.experts), hidden = double(p.hidden), ffn = double(p.ffn);
    return {.kind = OpKind::moe_experts,
            .n = hidden,
            .weight_bytes = 3 * experts * hidden * ffn * bytes_of(p.dtype),
            .weight_element = bytes_of(p.dtype),
            .activation = bytes_of(stored_dtype(p.dtype)),
            .experts = experts,
            .all_experts = experts,
            .top_k = double(p.top_k),
            .hidden = hidden,
            .ffn = ffn,
            .expert_columns = 2 * ffn};
}

/// Measured rows are routed evenly, and repeat one op: see ExpertsSize.
double analytic(const HardwareProfile& hardware, const MoePoint& p) {
    const auto shape = shape_of(p);
    const auto compute = compute_dtype(hardware, p.dtype, p.dtype);
    const WorkSize work{.decode = false,
                        .batch = double(p.tokens),
                        .tokens = double(p.tokens),
                        .residency = Residency::warm,
                        .balanced = true};
    if (hardware.experts)
        return expert_cost(make_expert_pricer(hardware, shape, compute), work).seconds;
    const auto& row = op_cost(OpKind::moe_experts);
    return roofline(hardware, row.engine, compute)
        .seconds(row.flops(shape, work), row.bytes(shape, work));
}

Curves curves_of(const HardwareProfile& hardware, const Layer& layer) {
    Curves curves;
    for (const auto& p : hardware.tables.moe) {
        if (layer_of(p) != layer) continue;
        curves[p.ffn][p.tokens] = std::log(p.time.value / analytic(hardware, p));
    }
    return curves;
}

/// Residuals of an unmeasured width, straight in its logarithm between those of the two nearest at
/// the tokens that both have. None where the two differ as different kernels do.
std::map<std::int64_t, double> between(const Curves& curves, double ffn) {
    const auto above = curves.lower_bound(std::int64_t(std::ceil(ffn)));
    if (above == curves.begin() || above == curves.end()) return {};
    const auto below = std::prev(above);
    const double low = std::log(double(below->first)), high = std::log(double(above->first));
    const double share = (std::log(ffn) - low) / (high - low);
    std::map<std::int64_t, double> residuals;
    double apart = 0;
    for (const auto& [tokens, residual] : below->second) {
        const auto other = above->second.find(tokens);
        if (other == above->second.end()) continue;
        residuals[tokens] = residual + share * (other->second - residual);
        apart += std::abs(other->second - residual);
    }
    if (apart > kOneKernel * double(residuals.size())) return {};
    return residuals;
}

ExpertCurve curve_of(const Curves& curves, double ffn) {
    const auto exact = curves.find(std::llround(ffn));
    ExpertCurve out;
    for (const auto& [tokens, residual] :
         exact == curves.end() ? between(curves, ffn) : exact->second) {
        out.log_tokens.push_back(std::log(double(tokens)));
        out.residual.push_back(residual);
    }
    return out;
}

}  // namespace

double ExpertCurve::at(double x) const {
    return place_of(log_tokens, x).in(residual);
}

bool ExpertCurve::covers(double x) const {
    constexpr double kSlack = 1e-9;
    return x >= log_tokens.front() - kSlack && x <= log_tokens.back() + kSlack;
}

ExpertCurve expert_curve(const HardwareProfile& hardware, const StepShape& shape, DType dtype) {
    const Layer layer{dtype, std::llround(shape.hidden), std::llround(shape.top_k),
                      std::llround(shape.experts)};
    if (shape.all_experts != shape.experts) return {};  // only a share of the experts is here
    const auto curves = curves_of(hardware, layer);
    if (curves.empty()) return {};
    auto curve = curve_of(curves, shape.ffn);
    curve.half_width = half_widths(hardware.tables, OpKind::moe_experts, dtype, Residency::cold);
    return curve;
}

std::vector<TableWidth> expert_widths(const HardwareProfile& hardware) {
    LeftOutErrors errors;
    std::map<Layer, bool> layers;
    for (const auto& p : hardware.tables.moe) layers[layer_of(p)] = true;
    for (const auto& [layer, unused] : layers) {
        const auto curves = curves_of(hardware, layer);
        if (curves.size() < 3) continue;
        for (const auto& [width, truth] : curves) {
            auto others = curves;
            others.erase(width);
            const auto predicted = curve_of(others, double(width));
            if (predicted.empty()) continue;
            errors.next_shape();
            for (const auto& [tokens, residual] : truth) {
                const double error = predicted.at(std::log(double(tokens))) - residual;
                errors.add(layer.dtype, Residency::cold, gemm_regime(double(tokens)),
                           std::exp(error) - 1);
            }
        }
    }
    return errors.widths(OpKind::moe_experts);
}

}  // namespace tplan
