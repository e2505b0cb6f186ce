// Pictures as files: what is written is what was drawn.
#include "gui/png.h"

#include <array>
#include <random>
#include <set>

#include "gui/reduce.h"
#include "tests/gui/png_reader.h"
#include "tests/support/catch.h"

using namespace tplan;
using namespace tplan::test;

namespace {

/// `colours` different ones, each as often as the next.
gui::Picture stripes(int width, int height, int colours) {
    gui::Picture picture{width, height, {}};
    for (int i = 0; i < width * height; ++i) {
        const int c = i % colours;
        for (const int channel : {c & 0xFF, c >> 8, 7})
            picture.rgb.push_back(static_cast<std::uint8_t>(channel));
    }
    return picture;
}

std::set<std::array<std::uint8_t, 3>> colours_of(const gui::Picture& picture) {
    std::set<std::array<std::uint8_t, 3>> colours;
    for (std::size_t i = 0; i < picture.rgb.size(); i += 3)
        colours.insert({picture.rgb[i], picture.rgb[i + 1], picture.rgb[i + 2]});
    return colours;
}

}  // namespace

TEST_CASE("png: few colours or many, the file holds every pixel") {
    for (const int colours : {1, 2, 256, 257, 900}) {
        INFO(colours);
        const auto picture = stripes(50, 40, colours);
        const auto read = read_png(gui::png_bytes(picture));
        CHECK(read.width == 50);
        CHECK(read.height == 40);
        CHECK(read.rgb == picture.rgb);
    }
    // Nothing repeats.
    gui::Picture noise{64, 64, {}};
    std::mt19937 random(7);
    for (int i = 0; i < 3 * 64 * 64; ++i)
        noise.rgb.push_back(static_cast<std::uint8_t>(random() & 0xFF));
    CHECK(read_png(gui::png_bytes(noise)).rgb == noise.rgb);
}

TEST_CASE("png: a palette takes less than half the bytes of true colour") {
    gui::Picture few{64, 64, {}}, many{64, 64, {}};
    std::mt19937 random(7);
    for (int i = 0; i < 64 * 64; ++i) {
        const auto value = static_cast<std::uint8_t>(random() % 200);
        for (int c = 0; c < 3; ++c) few.rgb.push_back(value);
        for (int c = 0; c < 3; ++c) many.rgb.push_back(static_cast<std::uint8_t>(random() & 0xFF));
    }
    CHECK(gui::png_bytes(few).size() < gui::png_bytes(many).size() / 2);
}

TEST_CASE("reduce: the commonest colours stay, the others take the nearest") {
    // Ten white pixels, six black, one almost black.
    gui::Picture picture{17, 1, {}};
    for (int i = 0; i < 17; ++i) {
        const auto value = static_cast<std::uint8_t>(i < 10 ? 255 : i < 16 ? 0 : 9);
        for (int c = 0; c < 3; ++c) picture.rgb.push_back(value);
    }
    const auto two = gui::with_colours(picture, 2);
    CHECK(colours_of(two).size() == 2);
    CHECK(two.rgb[3 * 9] == 255);
    CHECK(two.rgb[3 * 16] == 0);
    CHECK(gui::with_colours(picture, 3).rgb == picture.rgb);
}
