#pragma once
#include <cstdint>
#include <optional>
#include <string>

namespace tplan {

/// What tells that a file is not the one it was.
struct FileStamp {
    std::int64_t modified = 0;  // ticks of the file system's clock
    std::uintmax_t bytes = 0;
    bool operator==(const FileStamp&) const = default;
};

/// That of a file as it is now; none when it is not there.
std::optional<FileStamp> stamp_of(const std::string& path);

}  // namespace tplan
