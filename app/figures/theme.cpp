#include "app/figures/theme.h"

// Contrast: Web Content Accessibility Guidelines 2.1, relative luminance.

#include <algorithm>
#include <cmath>

namespace tplan {
namespace {

constexpr Rgb rgb(unsigned hex) {
    return {static_cast<std::uint8_t>(hex >> 16), static_cast<std::uint8_t>(hex >> 8),
            static_cast<std::uint8_t>(hex)};
}

/// Chosen by search for the largest smallest distance between any two, with normal sight and under
/// simulated protanopia, deuteranopia and tritanopia; each next one is the farthest from those
/// before, so that small degrees are told apart best.
constexpr std::array<Rgb, kRankHues> kRanks = {rgb(0xAA4499), rgb(0xF0E442), rgb(0x785EF0),
                                               rgb(0xEE8866), rgb(0x33BBEE), rgb(0xEE3377),
                                               rgb(0xFFAABB), rgb(0xAAAA00)};

struct RoleColours {
    Role role;
    std::array<Rgb, 3> colours;  // light, dark, high contrast
};

constexpr std::array kRoles = {
    RoleColours{Role::background, {rgb(0xFFFFFF), rgb(0x1B1E24), rgb(0x000000)}},
    RoleColours{Role::panel, {rgb(0xF3F4F7), rgb(0x24282F), rgb(0x000000)}},
    RoleColours{Role::text, {rgb(0x1A1D23), rgb(0xE9EBEF), rgb(0xFFFFFF)}},
    RoleColours{Role::muted, {rgb(0x59606C), rgb(0xA9B0BC), rgb(0xE0E0E0)}},
    RoleColours{Role::outline, {rgb(0x4A505B), rgb(0x8F97A5), rgb(0xFFFFFF)}},
    RoleColours{Role::grid, {rgb(0xDDE0E6), rgb(0x363C46), rgb(0x707070)}},
    RoleColours{Role::replicated, {rgb(0xD5D8DE), rgb(0x4B525E), rgb(0x404040)}},
    RoleColours{Role::idle, {rgb(0xFFFFFF), rgb(0x1B1E24), rgb(0x000000)}},
    RoleColours{Role::compute, {rgb(0x3B7DB8), rgb(0x5B9BD5), rgb(0x66B2FF)}},
    RoleColours{Role::collective, {rgb(0xD55E00), rgb(0xF08A3C), rgb(0xFF9933)}},
    RoleColours{Role::launch, {rgb(0x9AA1AD), rgb(0x77808F), rgb(0xB0B0B0)}},
    RoleColours{Role::weights, {rgb(0x3B7DB8), rgb(0x5B9BD5), rgb(0x66B2FF)}},
    RoleColours{Role::kv_cache, {rgb(0xE0A000), rgb(0xF0B429), rgb(0xFFD700)}},
    RoleColours{Role::activations, {rgb(0x2A9D8F), rgb(0x3CBFAE), rgb(0x00E0C0)}},
    RoleColours{Role::buffers, {rgb(0x9AA1AD), rgb(0x77808F), rgb(0xB0B0B0)}},
    RoleColours{Role::nvlink, {rgb(0x0072B2), rgb(0x56B4E9), rgb(0x66CCFF)}},
    RoleColours{Role::pcie, {rgb(0xB54700), rgb(0xF08A3C), rgb(0xFFA040)}},
    RoleColours{Role::shared_memory, {rgb(0x00796B), rgb(0x3CBFAE), rgb(0x00E0C0)}},
    RoleColours{Role::ideal, {rgb(0x8A919D), rgb(0x8F97A5), rgb(0xC0C0C0)}},
    RoleColours{Role::measured, {rgb(0x6A3D9A), rgb(0xC9A6F0), rgb(0xE0B0FF)}},
    RoleColours{Role::good, {rgb(0x1B7A3D), rgb(0x4CC38A), rgb(0x40FF80)}},
    RoleColours{Role::warning, {rgb(0x8F5F00), rgb(0xF0B429), rgb(0xFFD700)}},
    RoleColours{Role::error, {rgb(0xC0232B), rgb(0xFF7B72), rgb(0xFF8080)}},
    RoleColours{Role::selection, {rgb(0x0B57D0), rgb(0xFFFFFF), rgb(0xFFFF00)}},
};

double linear(std::uint8_t channel) {
    const double value = channel / 255.0;
    return value <= 0.04045 ? value / 12.92 : std::pow((value + 0.055) / 1.055, 2.4);
}

double luminance(Rgb colour) {
    return 0.2126 * linear(colour.r) + 0.7152 * linear(colour.g) + 0.0722 * linear(colour.b);
}

}  // namespace

Rgb colour_of(Theme theme, const Ink& ink) {
    if (ink.role == Role::rank) return kRanks[static_cast<std::size_t>(ink.rank) % kRanks.size()];
    if (ink.role == Role::on_rank) return text_on(colour_of(theme, rank_ink(ink.rank)));
    if (ink.role == Role::on_compute) return text_on(colour_of(theme, {Role::compute}));
    const auto row = std::ranges::find(kRoles, ink.role, &RoleColours::role);
    return row == kRoles.end() ? Rgb{} : row->colours[static_cast<std::size_t>(theme)];
}

Rgb text_on(Rgb background) {
    constexpr Rgb kBlack = rgb(0x000000), kWhite = rgb(0xFFFFFF);
    return contrast(kBlack, background) >= contrast(kWhite, background) ? kBlack : kWhite;
}

double contrast(Rgb a, Rgb b) {
    const double x = luminance(a), y = luminance(b);
    return (std::max(x, y) + 0.05) / (std::min(x, y) + 0.05);
}

}  // namespace tplan
