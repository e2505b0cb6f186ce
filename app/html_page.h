#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "app/figures/display_list.h"

/// Parts of a page that stands on its own: nothing from outside, no script. Text is escaped here.

namespace tplan {

/// A cell of a table; numbers are shown right-aligned.
struct Cell {
    std::string text;
    bool number = false;
    std::string_view kind{};  // class: good, bad
};
Cell number(std::string text);
Cell word(std::string text);

std::string html_table(const std::vector<std::string>& header,
                       const std::vector<std::vector<Cell>>& rows);

/// `content` is HTML.
std::string html_section(std::string_view title, const std::string& content);

/// A figure as inline SVG; `name` replaces that of the list, where two figures share it.
std::string html_figure(std::string_view title, DisplayList list, std::string_view name = {});

/// A list of sentences; empty for none.
std::string html_list(const std::vector<std::string>& sentences);

/// The whole page around `content`, which is HTML.
std::string html_page(const std::string& title, const std::string& content);

}  // namespace tplan
