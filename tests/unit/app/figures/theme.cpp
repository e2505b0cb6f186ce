#include "app/figures/theme.h"

#include <cmath>

#include "tests/support/catch.h"

using namespace tplan;

namespace {

using Matrix = std::array<std::array<double, 3>, 3>;

// Machado, Oliveira & Fernandes 2009, severity 1.0, on linear RGB.
constexpr std::array<Matrix, 4> kSights = {Matrix{{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}},
                                           Matrix{{{0.152286, 1.052583, -0.204868},
                                                   {0.114503, 0.786281, 0.099216},
                                                   {-0.003882, -0.048116, 1.051998}}},
                                           Matrix{{{0.367322, 0.860646, -0.227968},
                                                   {0.280085, 0.672501, 0.047413},
                                                   {-0.011820, 0.042940, 0.968881}}},
                                           Matrix{{{1.255528, -0.076749, -0.178779},
                                                   {-0.078411, 0.930809, 0.147602},
                                                   {0.004733, 0.691367, 0.303900}}}};

double to_linear(double channel) {
    return channel <= 0.04045 ? channel / 12.92 : std::pow((channel + 0.055) / 1.055, 2.4);
}

/// CIE L*a*b* (D65) of a colour as seen.
std::array<double, 3> lab(Rgb colour, const Matrix& sight) {
    const std::array<double, 3> in = {to_linear(colour.r / 255.0), to_linear(colour.g / 255.0),
                                      to_linear(colour.b / 255.0)};
    std::array<double, 3> seen{};
    for (std::size_t i = 0; i < 3; ++i) {
        for (std::size_t j = 0; j < 3; ++j) seen[i] += sight[i][j] * in[j];
        seen[i] = std::clamp(seen[i], 0.0, 1.0);
    }
    const auto f = [](double t) {
        return t > 216.0 / 24389 ? std::cbrt(t) : (24389.0 / 27 * t + 16) / 116;
    };
    const double x = f((0.4124 * seen[0] + 0.3576 * seen[1] + 0.1805 * seen[2]) / 0.95047);
    const double y = f(0.2126 * seen[0] + 0.7152 * seen[1] + 0.0722 * seen[2]);
    const double z = f((0.0193 * seen[0] + 0.1192 * seen[1] + 0.9505 * seen[2]) / 1.08883);
    return {116 * y - 16, 500 * (x - y), 200 * (y - z)};
}

double distance(Rgb a, Rgb b, const Matrix& sight) {
    const auto p = lab(a, sight), q = lab(b, sight);
    return std::hypot(p[0] - q[0], p[1] - q[1], p[2] - q[2]);
}

constexpr std::array kThemes = {Theme::light, Theme::dark, Theme::high_contrast};

}  // namespace

TEST_CASE("theme: ranks are told apart under every kind of colour blindness") {
    for (const auto& sight : kSights) {
        for (int a = 0; a < kRankHues; ++a) {
            for (int b = 0; b < a; ++b) {
                INFO("ranks " << b << " and " << a);
                CHECK(distance(colour_of(Theme::dark, rank_ink(a)),
                               colour_of(Theme::dark, rank_ink(b)), sight) >= 18);
            }
        }
    }
}

TEST_CASE("theme: text stands out 4.5 to 1 from what it is written on") {
    for (const auto theme : kThemes) {
        for (const auto back : {Role::background, Role::panel}) {
            for (const auto role : {Role::text, Role::muted, Role::good, Role::warning, Role::error,
                                    Role::nvlink, Role::pcie, Role::shared_memory}) {
                INFO("theme " << static_cast<int>(theme) << " role " << static_cast<int>(role));
                CHECK(contrast(colour_of(theme, {role}), colour_of(theme, {back})) >= 4.5);
            }
        }
        for (int rank = 0; rank < kRankHues; ++rank) {
            CHECK(contrast(colour_of(theme, {Role::on_rank, rank}),
                           colour_of(theme, rank_ink(rank))) >= 4.5);
        }
        CHECK(contrast(colour_of(theme, {Role::on_compute}), colour_of(theme, {Role::compute})) >=
              4.5);
    }
}

TEST_CASE("theme: contrast of black on white is 21") {
    CHECK(contrast({0, 0, 0}, {255, 255, 255}) == Catch::Approx(21));
    CHECK(text_on({255, 255, 0}) == Rgb{0, 0, 0});
    CHECK(text_on({0, 0, 128}) == Rgb{255, 255, 255});
}
