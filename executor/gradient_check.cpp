#include "executor/gradient_check.h"

#include <cmath>

#include "executor/reference.h"

namespace tplan {
namespace {

// Small beside weights of about 0.1, large beside the spacing of floats there: the rounded
// difference of the two weights is what the slope is taken over.
constexpr float kStep = 1.0F / 8192;

float sign_at(std::int64_t row, std::int64_t column) {
    auto x = static_cast<std::uint64_t>(row) * 0x9e3779b97f4a7c15U +
             static_cast<std::uint64_t>(column) * 0xbb67ae8584caa73bU + 1;
    x ^= x >> 31;
    x *= 0x94d049bb133111ebU;
    return (x >> 63) != 0 ? 1.0F : -1.0F;
}

/// The weights with one parameter moved along its direction.
WeightSource moved(const WeightSource& weights, const std::string& name, float step) {
    return [&weights, &name, step](const WeightPart& part, float* out) {
        weights(part, out);
        if (part.name != name) return;
        for (std::int64_t r = 0; r < part.rows.extent; ++r) {
            for (std::int64_t c = 0; c < part.columns.extent; ++c) {
                out[r * part.stride + c] +=
                    step * sign_at(part.rows.offset + r, part.columns.offset + c);
            }
        }
    };
}

/// A source that also notes what it gave of one parameter, whole.
WeightSource noted(const WeightSource& weights, const std::string& name,
                   std::vector<float>& values) {
    return [&weights, &name, &values](const WeightPart& part, float* out) {
        weights(part, out);
        if (part.name != name) return;
        values.assign(out, out + part.rows.extent * part.columns.extent);
    };
}

}  // namespace

SlopeCheck check_slopes(const Runner& runner, const Model& model, const Workload& workload,
                        const WeightSource& weights, std::uint64_t seed) {
    SlopeCheck worst;
    for (std::size_t i = 0; i < runner.parameters(); ++i) {
        const auto tensor = runner.parameter(i);
        std::vector<float> above, below;
        const auto up = moved(weights, tensor.name, kStep);
        const auto down = moved(weights, tensor.name, -kStep);
        const double rise =
            reference_loss(model, workload, noted(up, tensor.name, above), {}, seed) -
            reference_loss(model, workload, noted(down, tensor.name, below), {}, seed);
        double along = 0, square = 0;
        for (std::size_t e = 0; e < tensor.gradient.size(); ++e) {
            const double g = tensor.gradient[e];
            along += g * (double{above[e]} - double{below[e]});
            square += g * g;
        }
        const double unit = 2 * double{kStep};
        const SlopeCheck found{tensor.name, std::abs(rise - along) / unit, std::sqrt(square)};
        // Written so that a gradient that is not a number is the worst.
        const bool better = found.apart * worst.length <= worst.apart * found.length;
        if (i == 0 || !better) worst = found;
    }
    return worst;
}

}  // namespace tplan
