#pragma once
#include <string_view>

#include "gui/software.h"

namespace tplan::test {

/// The picture in a PNG as gui/png.h writes it: fixed codes, no row filters, true colour or a
/// palette. Fails the test for any other.
gui::Picture read_png(std::string_view bytes);

}  // namespace tplan::test
