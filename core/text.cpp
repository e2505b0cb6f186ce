#include "core/text.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <numeric>

namespace tplan {
namespace {

struct Scale {
    double factor;
    std::string_view unit;
};

/// Three significant digits, never in scientific notation.
std::string three_digits(double value) {
    const double size = std::abs(value);
    const int decimals = size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2;
    return fmt::format("{:.{}f}", value, decimals);
}

template <std::size_t N>
std::string scaled(double value, const std::array<Scale, N>& scales) {
    if (value == 0) return fmt::format("0 {}", scales.back().unit);
    const auto* chosen = &scales.back();
    for (const auto& scale : scales) {
        if (std::abs(value) >= scale.factor * 0.9995) {
            chosen = &scale;
            break;
        }
    }
    return fmt::format("{} {}", three_digits(value / chosen->factor), chosen->unit);
}

constexpr std::array kTimes = {Scale{1, "s"}, Scale{1e-3, "ms"}, Scale{1e-6, "us"},
                               Scale{1e-9, "ns"}};
constexpr std::array kBytes = {Scale{1099511627776.0, "TiB"}, Scale{1073741824.0, "GiB"},
                               Scale{1048576.0, "MiB"}, Scale{1024.0, "KiB"}, Scale{1.0, "B"}};
constexpr std::array kBandwidths = {Scale{1e12, "TB/s"}, Scale{1e9, "GB/s"}, Scale{1e6, "MB/s"},
                                    Scale{1, "B/s"}};
constexpr std::array kFlopRates = {Scale{1e15, "PFLOP/s"}, Scale{1e12, "TFLOP/s"},
                                   Scale{1e9, "GFLOP/s"}, Scale{1, "FLOP/s"}};

bool is_number(std::string_view cell) {
    return !cell.empty() &&
           (std::isdigit(static_cast<unsigned char>(cell[0])) || cell[0] == '-' || cell[0] == '+');
}

char lower(char c) {
    return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
}

/// How far `word` is from a choice.
struct Distance {
    std::size_t score;  // edits; the untyped end of a choice counts as one
    std::size_t edits;  // insertions, deletions and substitutions, case ignored
    auto operator<=>(const Distance&) const = default;
};

Distance distance(std::string_view word, std::string_view choice) {
    // Levenshtein, one row at a time: row[j] is the distance of the word so far to choice[0, j).
    std::vector<std::size_t> row(choice.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= word.size(); ++i) {
        auto diagonal = row[0];
        row[0] = i;
        for (std::size_t j = 1; j <= choice.size(); ++j) {
            const auto same = lower(word[i - 1]) == lower(choice[j - 1]);
            const auto substitute = diagonal + (same ? 0 : 1);
            diagonal = row[j];
            row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitute});
        }
    }
    const auto beginning = *std::min_element(row.begin(), row.end());
    return {std::min(row.back(), beginning + 1), row.back()};
}

/// Bytes of the UTF-8 sequence at the beginning of `text`; 0 when there is none.
std::size_t sequence_length(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const auto first = byte(0);
    const std::size_t length = first < 0x80   ? 1
                               : first < 0xC2 ? 0
                               : first < 0xE0 ? 2
                               : first < 0xF0 ? 3
                               : first < 0xF5 ? 4
                                              : 0;
    if (length == 0 || length > text.size()) return 0;
    for (std::size_t i = 1; i < length; ++i) {
        if (byte(i) < 0x80 || byte(i) > 0xBF) return 0;
    }
    // Overlong forms, surrogates and code points past the last.
    if ((first == 0xE0 && byte(1) < 0xA0) || (first == 0xED && byte(1) > 0x9F) ||
        (first == 0xF0 && byte(1) < 0x90) || (first == 0xF4 && byte(1) > 0x8F)) {
        return 0;
    }
    return length;
}

bool is_control(std::string_view sequence) {
    const auto first = static_cast<unsigned char>(sequence[0]);
    const bool c1 = first == 0xC2 && static_cast<unsigned char>(sequence[1]) < 0xA0;
    return first < 0x20 || first == 0x7F || c1;
}

std::size_t code_points(std::string_view text) {
    return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
        return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    }));
}

}  // namespace

std::string format_time(Seconds time) {
    return time.value == 0 ? "0 s" : scaled(time.value, kTimes);
}
std::string format_bytes(Bytes bytes) {
    // There is no half a byte.
    if (std::abs(bytes.value) < 1023.5) return fmt::format("{:.0f} B", bytes.value);
    return scaled(bytes.value, kBytes);
}
std::string format_bandwidth(Bandwidth rate) {
    return scaled(rate.value, kBandwidths);
}
std::string format_flop_rate(FlopRate rate) {
    return scaled(rate.value, kFlopRates);
}
std::string format_percent(double fraction) {
    const auto text = fmt::format("{:.1f} %", fraction * 100);
    return text == "-0.0 %" ? "0.0 %" : text;
}

std::string format_count(std::int64_t count) {
    auto digits = fmt::format("{}", count);
    const std::ptrdiff_t first = count < 0 ? 1 : 0;
    for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > first; at -= 3) {
        digits.insert(static_cast<std::size_t>(at), ",");
    }
    return digits;
}

std::string join(const std::vector<std::string>& words, std::string_view separator) {
    return fmt::format("{}", fmt::join(words, separator));
}

std::string shown(std::string_view text, std::size_t longest) {
    std::string line;
    while (!text.empty()) {
        const auto length = std::max<std::size_t>(1, sequence_length(text));
        const auto sequence = text.substr(0, length);
        if (line.size() + length > longest) return line + "..";
        if (sequence_length(text) == 0 || is_control(sequence)) {
            for (const char c : sequence)
                line += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
        } else {
            line += sequence;
        }
        text.remove_prefix(length);
    }
    return line;
}

std::string did_you_mean(std::string_view word, const std::vector<std::string>& choices) {
    if (word.empty() || word.size() > 200) return {};
    const auto limit = std::max<std::size_t>(1, word.size() / 2);
    Distance best{limit + 1, 0};
    std::string_view nearest;
    for (const auto& choice : choices) {
        if (const auto here = distance(word, choice); here < best) {
            best = here;
            nearest = choice;
        }
    }
    return nearest.empty() ? std::string() : fmt::format("did you mean \"{}\"?", nearest);
}

std::string format_table(const std::vector<std::vector<std::string>>& rows) {
    std::vector<std::size_t> widths;
    for (const auto& row : rows) {
        widths.resize(std::max(widths.size(), row.size()));
        for (std::size_t c = 0; c < row.size(); ++c)
            widths[c] = std::max(widths[c], code_points(row[c]));
    }
    std::string text;
    for (std::size_t r = 0; r < rows.size(); ++r) {
        std::string line;
        for (std::size_t c = 0; c < rows[r].size(); ++c) {
            const auto& cell = rows[r][c];
            const bool right =
                is_number(r == 0 && rows.size() > 1 && c < rows[1].size() ? rows[1][c] : cell);
            const std::string padding(widths[c] - code_points(cell), ' ');
            line += (right ? padding + cell : cell + padding) + "  ";
        }
        line.erase(line.find_last_not_of(' ') + 1);
        text += line + "\n";
        if (r == 0) {
            for (const auto width : widths) text += std::string(width, '-') + "  ";
            text.erase(text.find_last_not_of(' ') + 1);
            text += "\n";
        }
    }
    return text;
}

}  // namespace tplan
