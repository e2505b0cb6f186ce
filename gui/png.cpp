#include "gui/png.h"

// Portable Network Graphics 1.2; RFC 1950 (zlib), RFC 1951 (deflate).

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

namespace tplan::gui {
namespace {

struct BitWriter {
    std::string bytes;
    std::uint32_t held = 0;
    int count = 0;

    void bits(std::uint32_t value, int n) {
        held |= value << count;
        count += n;
        while (count >= 8) {
            bytes += static_cast<char>(held & 0xFF);
            held >>= 8;
            count -= 8;
        }
    }
    /// Huffman codes go highest bit first.
    void code(std::uint32_t value, int n) {
        std::uint32_t turned = 0;
        for (int i = 0; i < n; ++i) turned |= ((value >> i) & 1u) << (n - 1 - i);
        bits(turned, n);
    }
    void flush() {
        if (count > 0) bits(0, 8 - count);
    }
};

/// The fixed literal and length codes of RFC 1951, 3.2.6.
void symbol(BitWriter& to, int value) {
    const auto v = static_cast<std::uint32_t>(value);
    if (value < 144) return to.code(0x30 + v, 8);
    if (value < 256) return to.code(0x190 + v - 144, 9);
    if (value < 280) return to.code(v - 256, 7);
    to.code(0xC0 + v - 280, 8);
}

struct Range {
    int code, base, extra;
};
constexpr std::array kLengths = {
    Range{257, 3, 0},   Range{258, 4, 0},   Range{259, 5, 0},   Range{260, 6, 0},
    Range{261, 7, 0},   Range{262, 8, 0},   Range{263, 9, 0},   Range{264, 10, 0},
    Range{265, 11, 1},  Range{266, 13, 1},  Range{267, 15, 1},  Range{268, 17, 1},
    Range{269, 19, 2},  Range{270, 23, 2},  Range{271, 27, 2},  Range{272, 31, 2},
    Range{273, 35, 3},  Range{274, 43, 3},  Range{275, 51, 3},  Range{276, 59, 3},
    Range{277, 67, 4},  Range{278, 83, 4},  Range{279, 99, 4},  Range{280, 115, 4},
    Range{281, 131, 5}, Range{282, 163, 5}, Range{283, 195, 5}, Range{284, 227, 5},
    Range{285, 258, 0}};

/// Distances 1 to 32768: codes 0 to 29, two for every doubling.
void distance(BitWriter& to, int value) {
    int code = 0, base = 1, extra = 0;
    for (code = 0; code < 29; ++code) {
        extra = code < 4 ? 0 : code / 2 - 1;
        if (value < base + (1 << extra)) break;
        base += 1 << extra;
    }
    extra = code < 4 ? 0 : code / 2 - 1;
    to.code(static_cast<std::uint32_t>(code), 5);
    to.bits(static_cast<std::uint32_t>(value - base), extra);
}

void match(BitWriter& to, int length, int back) {
    auto row = std::upper_bound(kLengths.begin(), kLengths.end(), length,
                                [](int n, const Range& range) { return n < range.base; });
    --row;
    symbol(to, row->code);
    to.bits(static_cast<std::uint32_t>(length - row->base), row->extra);
    distance(to, back);
}

/// Greedy matching against the last places that begin with the same three bytes.
std::string deflate(const std::string& data) {
    constexpr int kMost = 258, kWindow = 32768, kTries = 48;
    BitWriter to;
    to.bits(1, 1);  // the last block
    to.bits(1, 2);  // fixed codes
    const auto size = static_cast<int>(data.size());
    std::vector<int> last(1 << 15, -1), before(data.size(), -1);
    const auto byte = [&](int i) {
        return static_cast<unsigned char>(data[static_cast<std::size_t>(i)]);
    };
    const auto enter = [&](int i) {
        if (i + 3 > size) return;
        const auto key = (byte(i) * 506832829u + byte(i + 1) * 2654435761u + byte(i + 2) * 40503u);
        auto& place = last[(key >> 9) & 0x7FFF];
        before[static_cast<std::size_t>(i)] = place;
        place = i;
    };
    for (int i = 0; i < size;) {
        enter(i);
        int best = 0, back = 0;
        int place = before[static_cast<std::size_t>(i)];
        for (int tries = 0; tries < kTries && place >= 0 && i - place <= kWindow; ++tries) {
            int length = 0;
            while (length < kMost && i + length < size && byte(place + length) == byte(i + length))
                ++length;
            if (length > best) {
                best = length;
                back = i - place;
            }
            if (best == kMost) break;
            place = before[static_cast<std::size_t>(place)];
        }
        if (best < 3) {
            symbol(to, byte(i));
            ++i;
            continue;
        }
        match(to, best, back);
        for (int next = i + 1; next < i + best; ++next) enter(next);
        i += best;
    }
    symbol(to, 256);
    to.flush();
    return to.bytes;
}

std::string big_endian(std::uint32_t value) {
    return {static_cast<char>(value >> 24), static_cast<char>(value >> 16),
            static_cast<char>(value >> 8), static_cast<char>(value)};
}

std::uint32_t adler32(const std::string& data) {
    std::uint32_t a = 1, b = 0;
    for (const char c : data) {
        a = (a + static_cast<unsigned char>(c)) % 65521;
        b = (b + a) % 65521;
    }
    return b << 16 | a;
}

std::uint32_t crc32(const std::string& data) {
    std::uint32_t crc = 0xFFFFFFFF;
    for (const char c : data) {
        crc ^= static_cast<unsigned char>(c);
        for (int i = 0; i < 8; ++i) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
    }
    return ~crc;
}

std::string chunk(const std::string& kind, const std::string& data) {
    return big_endian(static_cast<std::uint32_t>(data.size())) + kind + data +
           big_endian(crc32(kind + data));
}

/// The colours of a picture, when there are so few that a byte names each.
struct Palette {
    std::vector<std::uint32_t> colours;  // 0xRRGGBB, ascending
    std::string rows;                    // one byte a pixel, a filter byte before each row
};

std::uint32_t colour_at(const Picture& picture, std::size_t pixel) {
    const auto* at = &picture.rgb[3 * pixel];
    return static_cast<std::uint32_t>(at[0]) << 16 | static_cast<std::uint32_t>(at[1]) << 8 | at[2];
}

std::optional<Palette> palette_of(const Picture& picture) {
    constexpr std::size_t kMost = 256;
    const auto width = static_cast<std::size_t>(picture.width);
    Palette palette;
    auto& colours = palette.colours;
    for (std::size_t i = 0; i < picture.rgb.size() / 3; ++i) {
        const auto colour = colour_at(picture, i);
        const auto place = std::ranges::lower_bound(colours, colour);
        if (place != colours.end() && *place == colour) continue;
        if (colours.size() == kMost) return std::nullopt;
        colours.insert(place, colour);
    }
    for (std::size_t i = 0; i < picture.rgb.size() / 3; ++i) {
        if (i % width == 0) palette.rows += '\0';
        const auto place = std::ranges::lower_bound(colours, colour_at(picture, i));
        palette.rows += static_cast<char>(place - colours.begin());
    }
    return palette;
}

std::string zlib(const std::string& rows) {
    return "\x78\x01" + deflate(rows) + big_endian(adler32(rows));
}

}  // namespace

std::string png_bytes(const Picture& picture) {
    const auto size = big_endian(static_cast<std::uint32_t>(picture.width)) +
                      big_endian(static_cast<std::uint32_t>(picture.height));
    const auto file = [&](char kind, const std::string& before, const std::string& rows) {
        return std::string("\x89PNG\r\n\x1a\n", 8) +
               chunk("IHDR", size + "\x08" + kind + std::string(3, '\0')) + before +
               chunk("IDAT", zlib(rows)) + chunk("IEND", "");
    };
    constexpr char kTrueColour = 2, kIndexed = 3;
    if (const auto palette = palette_of(picture)) {
        std::string colours;
        for (const auto colour : palette->colours) colours += big_endian(colour).substr(1);
        return file(kIndexed, chunk("PLTE", colours), palette->rows);
    }
    // Rows as they are: what a window repeats, it repeats exactly.
    const auto row = 3 * static_cast<std::size_t>(picture.width);
    std::string rows;
    rows.reserve(picture.rgb.size() + static_cast<std::size_t>(picture.height));
    for (std::size_t y = 0; y < static_cast<std::size_t>(picture.height); ++y) {
        rows += '\0';
        rows.append(reinterpret_cast<const char*>(&picture.rgb[y * row]), row);
    }
    return file(kTrueColour, {}, rows);
}

}  // namespace tplan::gui
