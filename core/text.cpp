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

std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        auto diagonal = row[0];
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const auto substitute = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            diagonal = row[j];
            row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitute});
        }
    }
    return row.back();
}

}  // namespace

std::string format_time(Seconds time) {
    return time.value == 0 ? "0 s" : scaled(time.value, kTimes);
}
std::string format_bytes(Bytes bytes) {
    return scaled(bytes.value, kBytes);
}
std::string format_bandwidth(Bandwidth rate) {
    return scaled(rate.value, kBandwidths);
}
std::string format_flop_rate(FlopRate rate) {
    return scaled(rate.value, kFlopRates);
}
std::string format_percent(double fraction) {
    return fmt::format("{:.1f} %", fraction * 100);
}

std::string format_count(std::int64_t count) {
    auto digits = fmt::format("{}", count < 0 ? -count : count);
    for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3) {
        digits.insert(static_cast<std::size_t>(at), ",");
    }
    return (count < 0 ? "-" : "") + digits;
}

std::string join(const std::vector<std::string>& words, std::string_view separator) {
    return fmt::format("{}", fmt::join(words, separator));
}

std::string did_you_mean(std::string_view word, const std::vector<std::string>& choices) {
    if (word.size() > 200) return {};
    std::size_t best = std::max<std::size_t>(2, word.size() / 2) + 1;
    std::string nearest;
    for (const auto& choice : choices) {
        if (const auto distance = edit_distance(word, choice); distance < best) {
            best = distance;
            nearest = choice;
        }
    }
    return nearest.empty() ? std::string() : fmt::format("did you mean \"{}\"?", nearest);
}

std::string format_table(const std::vector<std::vector<std::string>>& rows) {
    std::vector<std::size_t> widths;
    for (const auto& row : rows) {
        widths.resize(std::max(widths.size(), row.size()));
        for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
    }
    std::string text;
    for (std::size_t r = 0; r < rows.size(); ++r) {
        std::string line;
        for (std::size_t c = 0; c < rows[r].size(); ++c) {
            const auto& cell = rows[r][c];
            const bool right =
                is_number(r == 0 && rows.size() > 1 && c < rows[1].size() ? rows[1][c] : cell);
            line += right ? fmt::format("{:>{}}", cell, widths[c])
                          : fmt::format("{:<{}}", cell, widths[c]);
            line += "  ";
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
