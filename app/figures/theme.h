#pragma once
#include <array>
#include <cstdint>
#include <string_view>

#include "app/figures/display_list.h"

/// Colours of the figures and of the window. Never the only carrier of a meaning: ranks also have
/// their digit, replicated parts a hatch, links their marker and dash.

namespace tplan {

enum class Theme { light, dark, high_contrast };
constexpr auto enum_names(Theme) {
    return std::array<std::string_view, 3>{"light", "dark", "high-contrast"};
}

struct Rgb {
    std::uint8_t r = 0, g = 0, b = 0;
    bool operator==(const Rgb&) const = default;
};

/// The colour of a role; opacity is left to the painter.
Rgb colour_of(Theme theme, const Ink& ink);

/// Black or white, whichever stands out more on the colour.
Rgb text_on(Rgb background);

/// WCAG contrast ratio, 1 to 21.
double contrast(Rgb a, Rgb b);

/// How many ranks have a hue of their own; from there on they repeat and the digit tells.
constexpr int kRankHues = 8;

}  // namespace tplan
