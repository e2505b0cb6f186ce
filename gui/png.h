#pragma once
#include <string>

#include "gui/software.h"

namespace tplan::gui {

/// The picture as a PNG file, deflated with fixed codes. The same picture always gives the same
/// bytes.
std::string png_bytes(const Picture& picture);

}  // namespace tplan::gui
