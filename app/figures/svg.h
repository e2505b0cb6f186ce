#pragma once
#include <string>
#include <string_view>

#include "app/figures/display_list.h"
#include "app/figures/theme.h"

/// Figures as SVG: the same shapes with the same ids as on the screen, titles as tooltips, colours
/// by class so that a page, a dark screen and a printer can each have their own.

namespace tplan {

/// One <svg> element. `standalone` adds the style, the patterns and a background, for a file of its
/// own; without it the page must hold svg_style() and svg_patterns() once. Ids are prefixed with
/// the name of the figure.
std::string svg_text(const DisplayList& list, bool standalone);

/// CSS rules of all roles: light, dark where the reader's screen is, light again on paper.
std::string svg_style();

/// An invisible <svg> with the hatches.
std::string svg_patterns();

/// Text for XML and HTML: & < > " and control characters escaped.
std::string escaped(std::string_view text);

}  // namespace tplan
