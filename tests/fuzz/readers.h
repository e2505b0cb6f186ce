#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// Everything that reads a file from outside, under one signature.

namespace tplan::test {

/// A reader and texts it accepts.
struct Reader {
    /// Also the name of its folder in tests/fuzz/corpus, where past bugs are kept.
    std::string_view name;
    /// Parses and reads `text`, and goes on to what every use does next with the value. May throw
    /// Error and nothing else.
    void (*read)(std::string_view text);
    std::vector<std::string> (*accepted)();
};

std::span<const Reader> readers();

/// The reader of that name. Throws std::runtime_error when there is none.
const Reader& find_reader(std::string_view name);

}  // namespace tplan::test
