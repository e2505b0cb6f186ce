#include "cost_model/kriging.h"

#include <cassert>
#include <cmath>

namespace tplan {

namespace {

/// Lower triangle of the Cholesky factor, in place of the lower triangle of `a` [n, n].
void factorise(std::vector<double>& a, std::size_t n) {
    for (std::size_t j = 0; j < n; ++j) {
        for (std::size_t i = j; i < n; ++i) {
            double sum = a[i * n + j];
            for (std::size_t k = 0; k < j; ++k) sum -= a[i * n + k] * a[j * n + k];
            a[i * n + j] = i == j ? std::sqrt(sum) : sum / a[j * n + j];
        }
    }
}

/// Solves L L^T x = b.
std::vector<double> solve(const std::vector<double>& factor, std::vector<double> b) {
    const auto n = b.size();
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t k = 0; k < i; ++k) b[i] -= factor[i * n + k] * b[k];
        b[i] /= factor[i * n + i];
    }
    for (std::size_t i = n; i-- > 0;) {
        for (std::size_t k = i + 1; k < n; ++k) b[i] -= factor[k * n + i] * b[k];
        b[i] /= factor[i * n + i];
    }
    return b;
}

double sum_of(const std::vector<double>& values) {
    double sum = 0;
    for (const double v : values) sum += v;
    return sum;
}

/// Per class of residency apart; chosen with the other lengths of the kernels.
constexpr double kOtherResidency = 0.75;

double residency_likeness(Residency a, Residency b) {
    return std::exp(-kOtherResidency * std::abs(double(int(a)) - double(int(b))));
}

}  // namespace

std::vector<double> kriging_weights(const Likeness& likeness) {
    const auto count = likeness.count;
    assert(count > 0 && likeness.noise > 0);
    std::vector<double> covariance(count * count), target(count);
    for (std::size_t i = 0; i < count; ++i) {
        for (std::size_t j = 0; j < i; ++j) covariance[i * count + j] = likeness.between(i, j);
        covariance[i * count + i] = 1 + likeness.noise;
        target[i] = likeness.to(i);
    }
    factorise(covariance, count);
    auto weights = solve(covariance, std::move(target));
    if (likeness.mean) return weights;
    // The mean is unknown: what the weights lack of 1 goes to where it is known best.
    const auto mean = solve(covariance, std::vector<double>(count, 1));
    const double lacking = (1 - sum_of(weights)) / sum_of(mean);
    for (std::size_t i = 0; i < count; ++i) weights[i] += lacking * mean[i];
    return weights;
}

std::optional<double> ResidualMixer::mix(std::span<const std::optional<double>> values,
                                         std::span<const Residency> lie, Residency asked) {
    assert(values.size() == likeness_.count && lie.size() == likeness_.count);
    std::vector<std::size_t> members;
    std::vector<Residency> places;
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (!values[i]) continue;
        members.push_back(i);
        places.push_back(lie[i]);
    }
    if (members.empty()) return std::nullopt;
    if (members != members_ || places != places_ || asked != asked_) {
        auto here = likeness_;
        here.count = members.size();
        here.between = [&](std::size_t i, std::size_t j) {
            return likeness_.between(members[i], members[j]) *
                   residency_likeness(places[i], places[j]);
        };
        here.to = [&](std::size_t i) {
            return likeness_.to(members[i]) * residency_likeness(places[i], asked);
        };
        weights_ = kriging_weights(here);
        members_ = std::move(members);
        places_ = std::move(places);
        asked_ = asked;
    }
    const double mean = likeness_.mean.value_or(0);
    double sum = mean;
    for (std::size_t i = 0; i < members_.size(); ++i)
        sum += weights_[i] * (*values[members_[i]] - mean);
    return sum;
}

}  // namespace tplan
