#include "tests/gui/png_reader.h"

// RFC 1951, 3.2.5 and 3.2.6, written from the reader's side.

#include <array>
#include <string>

#include "tests/support/catch.h"

namespace tplan::test {
namespace {

std::size_t number_at(std::string_view bytes, std::size_t at) {
    std::size_t value = 0;
    for (std::size_t i = 0; i < 4; ++i)
        value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
    return value;
}

struct BitReader {
    std::string_view bytes;
    std::size_t bit = 0;

    unsigned one() {
        REQUIRE(bit / 8 < bytes.size());
        const auto byte = static_cast<unsigned char>(bytes[bit / 8]);
        return byte >> (bit++ % 8) & 1U;
    }
    unsigned number(unsigned n) {
        unsigned value = 0;
        for (unsigned i = 0; i < n; ++i) value |= one() << i;
        return value;
    }
    unsigned code(unsigned n, unsigned begun = 0) {
        for (unsigned i = 0; i < n; ++i) begun = begun << 1 | one();
        return begun;
    }
    unsigned symbol() {
        const unsigned seven = code(7);
        if (seven <= 0x17) return 256 + seven;
        const unsigned eight = code(1, seven);
        if (eight >= 0x30 && eight <= 0xBF) return eight - 0x30;
        if (eight >= 0xC0 && eight <= 0xC7) return 280 + eight - 0xC0;
        return 144 + code(1, eight) - 0x190;
    }
};

/// Length of a match: code 257 and up.
std::size_t length_of(BitReader& from, unsigned symbol) {
    if (symbol == 285) return 258;
    const unsigned index = symbol - 257;
    if (index < 8) return index + 3;
    const unsigned extra = index / 4 - 1;
    return ((4 + index % 4) << extra) + 3 + from.number(extra);
}

std::size_t distance_of(BitReader& from) {
    const unsigned code = from.code(5);
    if (code < 4) return code + 1;
    const unsigned extra = code / 2 - 1;
    return ((2 + code % 2) << extra) + 1 + from.number(extra);
}

std::string inflate(std::string_view bytes) {
    BitReader from{bytes.substr(2)};  // after the zlib header
    REQUIRE(from.number(1) == 1);
    REQUIRE(from.number(2) == 1);
    std::string out;
    for (;;) {
        const auto symbol = from.symbol();
        if (symbol == 256) return out;
        if (symbol < 256) {
            out += static_cast<char>(symbol);
            continue;
        }
        const auto length = length_of(from, symbol);
        const auto back = distance_of(from);
        REQUIRE(back <= out.size());
        for (std::size_t i = 0; i < length; ++i) out += out[out.size() - back];
    }
}

}  // namespace

gui::Picture read_png(std::string_view bytes) {
    REQUIRE(bytes.substr(1, 3) == "PNG");
    std::string_view header, palette, data;
    for (std::size_t at = 8; at < bytes.size();) {
        const auto size = number_at(bytes, at);
        const auto kind = bytes.substr(at + 4, 4), content = bytes.substr(at + 8, size);
        if (kind == "IHDR") header = content;
        if (kind == "PLTE") palette = content;
        if (kind == "IDAT") data = content;
        at += 12 + size;
    }
    gui::Picture picture;
    picture.width = static_cast<int>(number_at(header, 0));
    picture.height = static_cast<int>(number_at(header, 4));
    const auto rows = inflate(data);
    const std::size_t wide = static_cast<std::size_t>(picture.width) * (palette.empty() ? 3 : 1);
    REQUIRE(rows.size() == (wide + 1) * static_cast<std::size_t>(picture.height));
    for (std::size_t i = 0; i < rows.size(); ++i) {
        if (i % (wide + 1) == 0) {
            REQUIRE(rows[i] == '\0');
        } else if (palette.empty()) {
            picture.rgb.push_back(static_cast<std::uint8_t>(rows[i]));
        } else {
            const auto colour = palette.substr(3 * static_cast<unsigned char>(rows[i]), 3);
            for (const char c : colour) picture.rgb.push_back(static_cast<std::uint8_t>(c));
        }
    }
    return picture;
}

}  // namespace tplan::test
