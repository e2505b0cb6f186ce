#include "app/file_stamp.h"

#include <filesystem>

namespace tplan {

std::optional<FileStamp> stamp_of(const std::string& path) {
    std::error_code time_missing, size_missing;
    const auto time = std::filesystem::last_write_time(path, time_missing);
    const auto bytes = std::filesystem::file_size(path, size_missing);
    if (time_missing || size_missing) return std::nullopt;
    return FileStamp{static_cast<std::int64_t>(time.time_since_epoch().count()), bytes};
}

}  // namespace tplan
