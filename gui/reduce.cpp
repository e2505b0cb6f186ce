#include "gui/reduce.h"

#include <algorithm>
#include <array>
#include <map>
#include <vector>

namespace tplan::gui {
namespace {

using Colour = std::array<std::uint8_t, 3>;

Colour colour_of_pixel(const Picture& picture, std::size_t pixel) {
    const auto* at = &picture.rgb[3 * pixel];
    return {at[0], at[1], at[2]};
}

int distance(const Colour& a, const Colour& b) {
    int sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sum;
}

}  // namespace

Picture with_colours(Picture picture, std::size_t most) {
    const auto pixels = picture.rgb.size() / 3;
    std::map<Colour, std::size_t> count;
    for (std::size_t i = 0; i < pixels; ++i) ++count[colour_of_pixel(picture, i)];
    if (count.size() <= most) return picture;
    std::vector<std::pair<std::size_t, Colour>> kept;
    for (const auto& [colour, times] : count) kept.emplace_back(times, colour);
    std::ranges::stable_sort(kept, std::ranges::greater{}, &std::pair<std::size_t, Colour>::first);
    kept.resize(most);
    std::map<Colour, Colour> nearest;
    for (const auto& [colour, times] : count) {
        nearest[colour] =
            std::ranges::min_element(kept, {}, [&colour = colour](const auto& candidate) {
                return distance(candidate.second, colour);
            })->second;
    }
    for (std::size_t i = 0; i < pixels; ++i) {
        const auto& to = nearest[colour_of_pixel(picture, i)];
        std::ranges::copy(to, picture.rgb.begin() + static_cast<std::ptrdiff_t>(3 * i));
    }
    return picture;
}

}  // namespace tplan::gui
