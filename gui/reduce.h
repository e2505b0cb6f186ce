#pragma once
#include <cstddef>

#include "gui/software.h"

namespace tplan::gui {

/// The picture in at most `most` colours: those that cover most of it; every other pixel takes the
/// nearest of them. What changes are soft edges of letters, by shades that are hard to see; a file
/// then needs one byte a pixel instead of three. A picture with few colours comes back as it is.
Picture with_colours(Picture picture, std::size_t most);

}  // namespace tplan::gui
