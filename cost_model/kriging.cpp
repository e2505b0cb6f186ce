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

}  // namespace

std::vector<double> kriging_weights(std::size_t count,
                                    const std::function<double(std::size_t, std::size_t)>& between,
                                    const std::function<double(std::size_t)>& to, double noise) {
    assert(count > 0 && noise > 0);
    std::vector<double> covariance(count * count), target(count);
    for (std::size_t i = 0; i < count; ++i) {
        for (std::size_t j = 0; j < i; ++j) covariance[i * count + j] = between(i, j);
        covariance[i * count + i] = 1 + noise;
        target[i] = to(i);
    }
    factorise(covariance, count);
    auto weights = solve(covariance, std::move(target));
    // The mean is unknown: what the weights lack of 1 goes to where it is known best.
    const auto mean = solve(covariance, std::vector<double>(count, 1));
    const double lacking = (1 - sum_of(weights)) / sum_of(mean);
    for (std::size_t i = 0; i < count; ++i) weights[i] += lacking * mean[i];
    return weights;
}

}  // namespace tplan
