#include "core/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "core/error.h"

namespace tplan {
namespace fs = std::filesystem;
namespace {

std::string reason() {
    return std::strerror(errno);
}

/// Closes on every way out.
struct Descriptor {
    int fd;
    ~Descriptor() {
        if (fd >= 0) ::close(fd);
    }
};

/// Writes all of `text`; false with errno set otherwise.
bool write_descriptor(const std::string& path, int flags, std::string_view text) {
    const int fd = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
    if (fd < 0) return false;
    while (!text.empty()) {
        const auto put = ::write(fd, text.data(), text.size());
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) {
            const auto why = errno;
            ::close(fd);
            errno = why;
            return false;
        }
        text.remove_prefix(static_cast<std::size_t>(put));
    }
    return ::close(fd) == 0;  // a full quota may show only here
}

fs::path program_folder() {
    std::error_code ignored;
    return fs::read_symlink("/proc/self/exe", ignored).parent_path();
}

}  // namespace

std::string read_file(const std::string& path, std::size_t max_bytes) {
    const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    if (file.fd < 0) throw Error(path, "cannot be read: " + reason());
    struct stat status {};
    if (::fstat(file.fd, &status) != 0) throw Error(path, "cannot be read: " + reason());
    if (S_ISDIR(status.st_mode)) throw Error(path, "is a directory; a file was expected");
    if (S_ISREG(status.st_mode) && static_cast<std::size_t>(status.st_size) > max_bytes) {
        throw Error(path, fmt::format("is larger than {} MiB", max_bytes >> 20));
    }
    std::string text;
    char buffer[1 << 16];
    for (;;) {
        const auto got = ::read(file.fd, buffer, sizeof buffer);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) throw Error(path, "cannot be read: " + reason());
        if (got == 0) return text;
        text.append(buffer, static_cast<std::size_t>(got));
        if (text.size() > max_bytes)
            throw Error(path, fmt::format("is larger than {} MiB", max_bytes >> 20));
    }
}

void write_file(const std::string& path, std::string_view text) {
    const auto fail = [&](const char* doing) {
        throw Error(path, fmt::format("cannot be {}: {}", doing, reason()),
                    "choose another output path or free some space");
    };
    struct stat before {};
    const bool exists = ::stat(path.c_str(), &before) == 0;
    // A rename would replace a file that its owner has protected.
    if (exists && ::access(path.c_str(), W_OK) != 0) fail("written");
    // A device or pipe cannot be replaced by a rename, so it is written to directly.
    if (exists && !S_ISREG(before.st_mode)) {
        if (write_descriptor(path, O_WRONLY, text)) return;
        fail("written");
    }
    // A link stays a link: what it leads to is replaced.
    std::error_code ignored;
    const auto place = exists ? fs::canonical(path, ignored).string() : path;
    const auto beside = fmt::format("{}.tmp{}", place, ::getpid());
    const auto drop = [&](const char* doing) {
        const auto why = errno;
        ::unlink(beside.c_str());
        errno = why;
        fail(doing);
    };
    if (!write_descriptor(beside, O_WRONLY | O_CREAT | O_TRUNC, text)) drop("written");
    if (exists && ::chmod(beside.c_str(), before.st_mode & 07777) != 0) drop("written");
    if (::rename(beside.c_str(), place.c_str()) != 0) drop("replaced");
}

void require_writable(const std::string& path) {
    const bool exists = ::access(path.c_str(), F_OK) == 0;
    const auto folder = fs::path(path).parent_path();
    const auto& place = exists ? fs::path(path) : folder.empty() ? fs::path(".") : folder;
    if (!fs::is_directory(path) && ::access(place.c_str(), W_OK) == 0) return;
    if (fs::is_directory(path)) errno = EISDIR;
    throw Error(path, fmt::format("cannot be written: {}", reason()), "choose another output path");
}

std::string resource_path(std::string_view relative) {
    const auto program = program_folder();
    std::vector<fs::path> roots;
    if (const char* given = std::getenv("TPLAN_DATA")) roots.emplace_back(given);
    roots.push_back(program / ".." / "share" / "tplan");
    roots.push_back(program / ".." / "..");
    roots.emplace_back(TPLAN_SOURCE_DIR);
    std::error_code ignored;
    for (const auto& root : roots) {
        // This one marks a root: an unrelated folder called data beside the program is passed over.
        if (fs::exists(root / "models" / "families", ignored))
            return (root / relative).lexically_normal().string();
    }
    throw Error("data", "the program's data folder was not found",
                "set TPLAN_DATA to the folder that holds data/ and models/");
}

std::vector<std::string> resource_names(std::string_view folder) {
    std::vector<std::string> names;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(resource_path(folder), error)) {
        if (entry.path().extension() == ".json") names.push_back(entry.path().stem().string());
    }
    if (error) throw Error(std::string(folder), "cannot be listed: " + error.message());
    std::sort(names.begin(), names.end());
    return names;
}

std::string cache_directory() {
    if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache && *cache)
        return std::string(cache) + "/tplan";
    if (const char* home = std::getenv("HOME"); home && *home)
        return std::string(home) + "/.cache/tplan";
    throw Error("cache directory", "neither XDG_CACHE_HOME nor HOME is set", "set one of them");
}

}  // namespace tplan
